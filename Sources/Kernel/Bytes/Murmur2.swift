/// The hash by which Kafka's Java client chooses a partition: MurmurHash2, 32 bits, seed 0x9747b28c.
package enum Murmur2 {
    /// The hash as Java's signed 32-bit integer.
    package static func hash(_ bytes: [UInt8]) -> Int32 {
        let multiplier: UInt32 = 0x5BD1_E995
        var state: UInt32 = 0x9747_B28C ^ UInt32(truncatingIfNeeded: bytes.count)
        var index: Int = 0
        while index + 4 <= bytes.count {
            var word: UInt32 =
                UInt32(bytes[index]) | UInt32(bytes[index + 1]) << 8
                | UInt32(bytes[index + 2]) << 16 | UInt32(bytes[index + 3]) << 24
            word = word &* multiplier
            word ^= word >> 24
            state = state &* multiplier ^ word &* multiplier
            index += 4
        }
        let rest: Int = bytes.count - index
        if rest >= 3 { state ^= UInt32(bytes[index + 2]) << 16 }
        if rest >= 2 { state ^= UInt32(bytes[index + 1]) << 8 }
        if rest >= 1 { state = (state ^ UInt32(bytes[index])) &* multiplier }
        state ^= state >> 13
        state = state &* multiplier
        state ^= state >> 15
        return Int32(bitPattern: state)
    }

    /// The partition of `key` among `count`: the hash without its sign bit, modulo `count` (which must be positive).
    package static func partition(_ key: [UInt8], of count: Int) -> Int {
        precondition(count > 0, "a topic has at least one partition")
        return Int(self.hash(key) & Int32.max) % count
    }
}
