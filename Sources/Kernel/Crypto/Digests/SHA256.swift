import COpenSSL

/// SHA-256 (FIPS 180-4).
package enum SHA256 {
    package static let length: Int = 32

    /// Fetched once: looking an algorithm up by name costs more than hashing a key. `EVP_MD` objects are immutable and
    /// reference-counted; OpenSSL allows any number of threads to use one (EVP_MD_fetch(3)).
    nonisolated(unsafe) static let algorithm: OpaquePointer = {
        guard let algorithm: OpaquePointer = EVP_MD_fetch(nil, "SHA256", nil) else {
            preconditionFailure("this OpenSSL has no SHA-256: \(OpenSSLErrors.drain())")
        }
        return algorithm
    }()

    /// The 32 bytes of the hash. Allocates the result only.
    package static func hash(_ bytes: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: SHA256.length) {
            (output: inout UnsafeMutableBufferPointer<UInt8>, count: inout Int) in
            bytes.withUnsafeBytes { SHA256.hash($0, into: UnsafeMutableRawBufferPointer(output)) }
            count = SHA256.length
        }
    }

    /// The hash of a text's UTF-8 bytes.
    package static func hash(_ text: String) -> [UInt8] { SHA256.hash(Array(text.utf8)) }

    /// Writes the hash of `bytes` into the first 32 bytes of `output`.
    package static func hash(_ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) {
        var context = SHA256Context()
        context.hash(bytes, into: output)
    }
}

/// A SHA-256 computation that can be used again and again: nothing is allocated, not even by `init`.
///
/// `hash(_:into:)` costs about 70 ns for a short key; or feed it with `update` and read it with `finish`.
package struct SHA256Context: ~Copyable {
    /// Plain memory of 112 bytes; the functions on it cannot fail.
    private var state: copenssl_sha256_state

    package init() {
        self.state = copenssl_sha256_state()
        copenssl_sha256_init(&self.state)
    }

    /// Writes the hash of `bytes` into the first 32 bytes of `output`. What was fed before is forgotten.
    package mutating func hash(_ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) {
        copenssl_sha256_init(&self.state)
        self.update(bytes)
        self.finish(into: output)
    }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        // Without bytes there may be no address.
        guard bytes.count > 0 else { return }
        copenssl_sha256_update(&self.state, bytes.baseAddress, bytes.count)
    }

    package mutating func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { self.update($0) }
    }

    /// Writes the hash of everything fed into the first 32 bytes of `output`; then it starts anew.
    package mutating func finish(into output: UnsafeMutableRawBufferPointer) {
        precondition(output.count >= SHA256.length, "a SHA-256 hash needs 32 bytes")
        copenssl_sha256_final(&self.state, output.baseAddress)
        copenssl_sha256_init(&self.state)
    }

    /// The hash of everything fed; then it starts anew.
    package mutating func finish() -> [UInt8] {
        var output: [UInt8] = [UInt8](repeating: 0, count: SHA256.length)
        output.withUnsafeMutableBytes { self.finish(into: $0) }
        return output
    }
}
