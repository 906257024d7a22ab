import COpenSSL

/// Why a cryptographic operation did not work. Texts never hold keys, passwords or plaintext.
package enum CryptoError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The input is not what it should be; says what was expected.
    case malformed(String)
    /// Well-formed, but a kind, size or parameter that is refused here.
    case unsupported(String)
    /// Sealed data, a signature or a key does not fit: wrong key, or changed on the way.
    case notAuthentic
    /// The library failed; `reason` is its own words.
    case failed(operation: String, reason: String)

    package var description: String {
        switch self {
        case .malformed(let what): return what
        case .unsupported(let what): return what
        case .notAuthentic: return "the data was changed or the key is not the right one"
        case .failed(let operation, let reason): return "\(operation) failed: \(reason)"
        }
    }
}

/// OpenSSL keeps errors in a queue per thread. Each of our calls that fails empties it, so that none is taken for another's.
enum OpenSSLErrors {
    /// The reason of the oldest queued error, with the queue emptied.
    static func drain() -> String {
        let first: UInt = ERR_get_error()
        ERR_clear_error()
        guard first != 0, let reason: UnsafePointer<CChar> = copenssl_reason(first) else { return "unknown reason" }
        return String(cString: reason)
    }

    /// The failure of `operation`, with the queue emptied.
    static func failure(_ operation: String) -> CryptoError {
        .failed(operation: operation, reason: OpenSSLErrors.drain())
    }
}
