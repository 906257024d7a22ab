import COpenSSL

/// Bytes of a key: wiped when the last reference goes, and in no array that stays.
///
/// Sendable by this rule: the memory is written before `init` returns and after the last reference is gone, and only read between.
package final class SecretBytes: @unchecked Sendable {
    private let memory: UnsafeMutableRawBufferPointer

    package var count: Int { self.memory.count }

    /// Takes a copy, and wipes the array it comes from; another array that shares its memory keeps it.
    package init(wiping bytes: inout [UInt8]) {
        self.memory = .allocate(byteCount: bytes.count, alignment: 16)
        self.memory.copyBytes(from: bytes)
        SecretBytes.wipe(&bytes)
    }

    deinit {
        OPENSSL_cleanse(self.memory.baseAddress, self.memory.count)
        self.memory.deallocate()
    }

    /// A fresh key.
    package static func random(_ count: Int) -> SecretBytes {
        var bytes: [UInt8] = Random.bytes(count)
        return SecretBytes(wiping: &bytes)
    }

    /// Hands the bytes out for as long as `body` runs; it must not keep them.
    package func reveal<Value>(_ body: ([UInt8]) throws -> Value) rethrows -> Value {
        var bytes: [UInt8] = Array(self.memory)
        defer { SecretBytes.wipe(&bytes) }
        return try body(bytes)
    }

    /// The same where it takes a while.
    package func reveal<Value>(_ body: ([UInt8]) async throws -> Value) async rethrows -> Value {
        var bytes: [UInt8] = Array(self.memory)
        defer { SecretBytes.wipe(&bytes) }
        return try await body(bytes)
    }

    /// Overwrites in a way that no compiler leaves out.
    package static func wipe(_ bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
    }
}
