import COpenSSL

/// A memory buffer as OpenSSL reads and writes it.
struct MemoryBIO: ~Copyable {
    let handle: OpaquePointer

    /// Empty, to write into.
    init() {
        guard let handle: OpaquePointer = BIO_new(BIO_s_mem()) else { preconditionFailure("out of memory") }
        self.handle = handle
    }

    /// With the bytes of `text`, to read from.
    init(_ text: String) {
        self.init()
        let bytes: [UInt8] = Array(text.utf8)
        let written: Int32 = BIO_write(self.handle, bytes, Int32(clamping: bytes.count))
        precondition(Int(written) == bytes.count || bytes.isEmpty, "out of memory")
    }

    deinit { BIO_free_all(self.handle) }

    /// What was written.
    var text: String {
        var start: UnsafeMutablePointer<CChar>?
        let count: Int = copenssl_bio_memory(self.handle, &start)
        guard let start: UnsafeMutablePointer<CChar>, count > 0 else { return "" }
        return String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
    }
}

/// Limits of PEM texts.
enum PEM {
    /// Longest text read; a chain of several certificates fits many times.
    static let bytesMax: Int = 1 << 20

    static func check(_ text: String) throws(CryptoError) {
        guard text.utf8.count <= PEM.bytesMax else {
            throw .unsupported("a PEM text has at most \(PEM.bytesMax) bytes")
        }
    }
}
