import COpenSSL

/// Why a context could not be made or a session failed. Texts name no keys and no data of the connection.
package enum TLSError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Certificates, keys or settings that do not work: whoever configured it must act.
    case configuration(String)
    /// The peer's certificate was refused, or it refused ours; says why.
    case certificate(String)
    /// The client spoke plain HTTP to a TLS port.
    case plainHTTP
    /// The connection ended without TLS's own goodbye. Between two messages an ordinary end; within one, what came is cut off.
    case truncated
    /// Anything else the protocol refuses, in OpenSSL's words.
    case protocolViolation(String)
    /// A system call failed; `errno`.
    case system(Int32)

    package var description: String {
        switch self {
        case .configuration(let reason): return reason
        case .certificate(let reason): return "certificate refused: \(reason)"
        case .plainHTTP: return "plain HTTP on a TLS port"
        case .truncated: return "the connection ended without a TLS close"
        case .protocolViolation(let reason): return "TLS failed: \(reason)"
        case .system(let code): return "TLS connection failed: errno \(code)"
        }
    }

    /// The configuration error of `what`, with OpenSSL's reason; empties the error queue.
    static func configuration(_ what: String, reasonOf _: Void) -> TLSError {
        let error: UInt = ERR_get_error()
        ERR_clear_error()
        guard error != 0, let reason: UnsafePointer<CChar> = copenssl_reason(error) else { return .configuration(what) }
        return .configuration("\(what): \(String(cString: reason))")
    }
}
