/// A fast hash of byte strings for tables in memory; never stored, never sent.
///
/// Folded 64 × 64 → 128 bit multiplications, sixteen bytes a step. The seed is random for each process, so that nobody can
/// prepare paths or header values that meet in one slot.
struct ByteHash: Sendable {
    let seed: UInt64

    /// The seed of this process.
    static let process: ByteHash = ByteHash(seed: UInt64.random(in: .min ... .max))

    private static let first: UInt64 = 0xa076_1d64_78bd_642f
    private static let second: UInt64 = 0xe703_7ed1_a0b4_28db

    @inline(__always)
    static func mix(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product: (high: UInt64, low: UInt64) = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }

    /// Hashes `count` bytes together with a number (a scope or node). Never 0, which tables use for "empty".
    @inline(__always)
    func hash(_ bytes: UnsafeRawPointer, count: Int, with number: UInt64 = 0) -> UInt64 {
        var state: UInt64 = self.seed ^ Self.mix(number ^ Self.first, Self.second)
        var rest: Int = count
        var position: UnsafeRawPointer = bytes
        while rest > 16 {
            let low: UInt64 = position.loadUnaligned(as: UInt64.self)
            let high: UInt64 = position.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
            state = Self.mix(low ^ Self.first, high ^ state)
            position += 16
            rest &-= 16
        }
        var low: UInt64 = 0
        var high: UInt64 = 0
        if rest >= 8 {
            low = position.loadUnaligned(as: UInt64.self)
            high = position.loadUnaligned(fromByteOffset: rest &- 8, as: UInt64.self)
        } else if rest >= 4 {
            low = UInt64(position.loadUnaligned(as: UInt32.self))
            high = UInt64(position.loadUnaligned(fromByteOffset: rest &- 4, as: UInt32.self))
        } else if rest > 0 {
            low = UInt64(position.load(as: UInt8.self))
            high =
                UInt64(position.load(fromByteOffset: rest >> 1, as: UInt8.self)) << 8
                | UInt64(position.load(fromByteOffset: rest &- 1, as: UInt8.self))
        }
        let mixed: UInt64 = Self.mix(low ^ Self.first, high ^ state)
        let result: UInt64 = Self.mix(mixed ^ UInt64(truncatingIfNeeded: count), Self.second)
        return result == 0 ? 1 : result
    }
}
