/// Words as lower-case hexadecimal digits, eight digits at a time.
enum HexadecimalWords {
    /// Writes 16 digits, the most significant first.
    @inline(__always)
    static func write(_ value: UInt64, to place: UnsafeMutableRawPointer) {
        let high: UInt64 = self.digits(UInt32(truncatingIfNeeded: value >> 32))
        let low: UInt64 = self.digits(UInt32(truncatingIfNeeded: value))
        place.storeBytes(of: high.bigEndian, as: UInt64.self)
        place.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
    }

    /// The eight digits of a half word, one a byte, the least significant in the lowest.
    @inline(__always)
    private static func digits(_ value: UInt32) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        var word: UInt64 = UInt64(value)
        word = (word | word << 16) & 0x0000_FFFF_0000_FFFF
        word = (word | word << 8) & 0x00FF_00FF_00FF_00FF
        word = (word | word << 4) & 0x0F0F_0F0F_0F0F_0F0F
        // Six more reach 16 where the digit is a letter, which stands 0x27 further on than the next one after 9 would.
        let isLetter: UInt64 = (word &+ ones &* 6) >> 4 & ones
        return word &+ ones &* 0x30 &+ isLetter &* 0x27
    }
}
