import Bytes

/// The SHA-256 of an API key: what a gateway knows of it.
package struct KeyDigest: Sendable, Hashable, BitwiseCopyable {
    /// The 32 bytes as four words in memory order.
    package let words: (UInt64, UInt64, UInt64, UInt64)

    /// Takes 32 bytes; nil when there are not 32.
    package init?(bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self = bytes.withUnsafeBytes { KeyDigest(loading: $0) }
    }

    /// Reads 64 hexadecimal digits, either case; nil when it is anything else.
    package init?(hex: String) {
        guard let bytes: [UInt8] = Hex.decode(hex) else { return nil }
        self.init(bytes: bytes)
    }

    package init(words: (UInt64, UInt64, UInt64, UInt64)) {
        self.words = words
    }

    /// Takes the first 32 bytes of a buffer that holds at least as many.
    package init(loading bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count >= 32)
        self.words = (
            bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
            bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
            bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self),
            bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
        )
    }

    /// The 32 bytes.
    package var bytes: [UInt8] {
        var copy: (UInt64, UInt64, UInt64, UInt64) = self.words
        return withUnsafeBytes(of: &copy) { Array($0) }
    }

    /// 64 hexadecimal digits, lower case.
    package var hex: String { Hex.encode(self.bytes) }

    /// Compares all words, whichever differs.
    package static func == (left: KeyDigest, right: KeyDigest) -> Bool {
        let difference: UInt64 =
            (left.words.0 ^ right.words.0) | (left.words.1 ^ right.words.1) | (left.words.2 ^ right.words.2)
            | (left.words.3 ^ right.words.3)
        return difference == 0
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(self.words.0)
        hasher.combine(self.words.1)
    }
}
