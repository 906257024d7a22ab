/// Hexadecimal digits of whole 64-bit words, written into and read from raw bytes: what identifiers are made of, without an
/// array for each. General conversions are `Hex` in Bytes.
enum HexDigits {
    /// Writes the low `count` digits of `word`, lower case, most significant first.
    static func write(_ word: UInt64, count: Int, to bytes: UnsafeMutableBufferPointer<UInt8>, at offset: Int) {
        for index in 0..<count {
            let nibble: UInt8 = UInt8((word >> UInt64(4 * (count - 1 - index))) & 15)
            bytes[offset + index] = nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10
        }
    }

    /// Reads `count` (at most 16) lower-case digits; nil when one is not.
    static func read(_ bytes: UnsafeRawBufferPointer, at offset: Int, count: Int) -> UInt64? {
        var word: UInt64 = 0
        for index in offset..<(offset + count) {
            let byte: UInt8 = bytes[index]
            let nibble: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): nibble = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): nibble = byte - UInt8(ascii: "a") + 10
            default: return nil
            }
            word = word << 4 | UInt64(nibble)
        }
        return word
    }
}
