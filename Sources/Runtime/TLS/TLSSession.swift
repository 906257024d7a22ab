import COpenSSL
package import Crypto
import Glibc

/// What a step of a session came to.
package enum TLSResult: Equatable, Sendable {
    /// So many bytes were read or written; 0 for a handshake or goodbye that is done.
    case done(Int)
    /// Go on when the descriptor is readable.
    case wantRead
    /// Go on when the descriptor is writable. Also a read can want this.
    case wantWrite
    /// The peer said goodbye: nothing more comes.
    case closed
    /// The session is over; close the descriptor.
    case failed(TLSError)
}

/// One TLS connection over a non-blocking descriptor, which stays the caller's: close it after the session is gone.
///
/// Belongs to one loop. No call blocks. Each step may want reading or writing, whatever it is itself; repeat the same step when
/// the descriptor is ready. **Read until `wantRead`**: what was received is kept in the session, where epoll does not see it.
/// SIGPIPE must be ignored in the process.
package final class TLSSession {
    private let pointer: OpaquePointer
    private let context: TLSContext
    /// Under which name a client's session is kept for the next connection.
    private let peer: String?
    private var isBroken: Bool = false
    /// Both sides have been sure of each other at some time. Unlike `isHandshakeDone` a later failure does not take it back.
    package private(set) var isEstablished: Bool = false
    /// For the owner of a server's session: the version of what it knew of revoked certificates when it last found the client's good.
    package var checkedRevocations: UInt64 = 0
    /// Why the session is over; nil as long as nothing failed.
    package private(set) var failure: TLSError?

    /// A server's side of a connection that was just accepted.
    package convenience init(server context: TLSContext, descriptor: Int32) throws(TLSError) {
        precondition(context.isServer, "this context is a client's")
        try self.init(context, descriptor, peer: nil)
        SSL_set_accept_state(self.pointer)
    }

    /// A client's side. `host` is the DNS name or IP address that the server's certificate must be valid for; names are also
    /// sent (SNI). `peer` names the server among those whose sessions are resumed: host and port.
    package convenience init(
        client context: TLSContext, descriptor: Int32, host: String, peer: String
    ) throws(TLSError) {
        precondition(!context.isServer, "this context is a server's")
        try self.init(context, descriptor, peer: peer)
        SSL_set_connect_state(self.pointer)
        try self.expect(host)
        context.sessionCache.resume(self.pointer, for: peer)
    }

    private init(_ context: TLSContext, _ descriptor: Int32, peer: String?) throws(TLSError) {
        guard let pointer: OpaquePointer = SSL_new(context.pointer) else {
            throw .configuration("a TLS session cannot be made", reasonOf: ())
        }
        self.pointer = pointer
        self.context = context
        self.peer = peer
        guard SSL_set_fd(pointer, descriptor) == 1 else {
            throw .configuration("a TLS session cannot be made", reasonOf: ())
        }
        SSL_set_ex_data(pointer, TLSSession.ownerIndex, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit {
        // Without this OpenSSL takes a session whose connection simply ended for a bad one and forbids to resume it.
        if !self.isBroken { SSL_set_shutdown(self.pointer, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN) }
        SSL_free(self.pointer)
    }

    // MARK: Steps

    /// Goes on with the handshake; `done(0)` once both sides are sure of each other. Reading and writing do it by themselves.
    package func handshake() -> TLSResult {
        ERR_clear_error()
        let result: Int32 = SSL_do_handshake(self.pointer)
        return result == 1 ? .done(0) : self.outcome(result)
    }

    /// Reads what has come, up to the size of `buffer` (not empty).
    package func read(into buffer: UnsafeMutableRawBufferPointer) -> TLSResult {
        ERR_clear_error()
        var count: Int = 0
        let result: Int32 = SSL_read_ex(self.pointer, buffer.baseAddress, buffer.count, &count)
        if result == 1 {
            self.isEstablished = true
            return .done(count)
        }
        return self.outcome(result)
    }

    /// Writes as much of `bytes` as fits. After `wantWrite` or `wantRead` call again with the same bytes (or more behind them), wherever
    /// they lie by then. Small pieces cost a record and a system call each: gather them first.
    package func write(_ bytes: UnsafeRawBufferPointer) -> TLSResult {
        guard bytes.count > 0 else { return .done(0) }
        ERR_clear_error()
        var count: Int = 0
        let result: Int32 = SSL_write_ex(self.pointer, bytes.baseAddress, bytes.count, &count)
        return result == 1 ? .done(count) : self.outcome(result)
    }

    /// Says goodbye (close_notify). `done(0)` when it is out; the peer's own need not be waited for.
    package func shutdown() -> TLSResult {
        guard !self.isBroken, SSL_is_init_finished(self.pointer) == 1 else { return .done(0) }
        ERR_clear_error()
        let result: Int32 = SSL_shutdown(self.pointer)
        return result >= 0 ? .done(0) : self.outcome(result)
    }

    // MARK: What was agreed

    package var isHandshakeDone: Bool { SSL_is_init_finished(self.pointer) == 1 }

    /// Whether bytes wait inside the session (perhaps not yet a whole record).
    package var hasBufferedInput: Bool { SSL_has_pending(self.pointer) == 1 }

    /// Whether an earlier session was resumed, without certificates and signatures.
    package var isResumed: Bool { SSL_session_reused(self.pointer) == 1 }

    package var version: TLSVersion { SSL_version(self.pointer) == TLS1_3_VERSION ? .tls13 : .tls12 }

    /// The application protocol agreed on, such as `h2`.
    package var applicationProtocol: String? {
        var start: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(self.pointer, &start, &count)
        guard let start: UnsafePointer<UInt8>, count > 0 else { return nil }
        return String(decoding: UnsafeBufferPointer(start: start, count: Int(count)), as: UTF8.self)
    }

    /// The host name the client asked for.
    package var serverName: String? {
        SSL_get_servername(self.pointer, TLSEXT_NAMETYPE_host_name).map { String(cString: $0) }
    }

    /// The peer's certificate, once the handshake is done. A server sees only verified ones.
    package var peerCertificate: Certificate? {
        SSL_get1_peer_certificate(self.pointer).map { Certificate(adopting: $0) }
    }

    // MARK: Inside

    /// Index 0 is what OpenSSL reserves for the application (`SSL_set_app_data`).
    private static let ownerIndex: Int32 = 0

    /// Takes a session the server offers for resumption. Returns 1 when it took over the reference.
    static func keep(_ resumption: OpaquePointer?, of session: OpaquePointer?) -> Int32 {
        guard let session: OpaquePointer, let resumption: OpaquePointer,
            let raw: UnsafeMutableRawPointer = SSL_get_ex_data(session, TLSSession.ownerIndex)
        else { return 0 }
        // Called from within a step of the session, which its caller holds.
        let owner: TLSSession = Unmanaged<TLSSession>.fromOpaque(raw).takeUnretainedValue()
        guard let peer: String = owner.peer else { return 0 }
        owner.context.sessionCache.put(resumption, for: peer)
        return 1
    }

    /// The keys for the tickets of a server's session, for OpenSSL's callback.
    static func ticketKeys(of session: OpaquePointer?) -> TLSTicketKeys? {
        guard let session: OpaquePointer,
            let raw: UnsafeMutableRawPointer = SSL_get_ex_data(session, TLSSession.ownerIndex)
        else { return nil }
        // Called from within a step of the session, which its caller holds.
        return Unmanaged<TLSSession>.fromOpaque(raw).takeUnretainedValue().context.ticketKeys
    }

    private func expect(_ host: String) throws(TLSError) {
        let isAddress: Bool = TLSSession.isAddress(host)
        if !isAddress {
            // A literal address is no name: RFC 6066 section 3.
            guard copenssl_set_servername(self.pointer, host) == 1 else {
                throw .configuration("the host name cannot be used for TLS", reasonOf: ())
            }
        }
        guard self.context.verifiesPeer else { return }
        SSL_set_hostflags(self.pointer, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        let isSet: Bool =
            isAddress
            ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(self.pointer), host) == 1
            : !host.isEmpty && SSL_set1_host(self.pointer, host) == 1
        guard isSet else { throw .configuration("the host name cannot be used for TLS", reasonOf: ()) }
    }

    private static func isAddress(_ host: String) -> Bool {
        var buffer = in6_addr()
        return inet_pton(AF_INET, host, &buffer) == 1 || inet_pton(AF_INET6, host, &buffer) == 1
    }

    /// What a step that did not succeed means. Empties the error queue.
    private func outcome(_ result: Int32) -> TLSResult {
        let systemError: Int32 = errno
        switch SSL_get_error(self.pointer, result) {
        case SSL_ERROR_WANT_READ:
            // A server reads until it has to wait: here it learns that the handshake is over before anything else can go wrong.
            if !self.isEstablished { self.isEstablished = SSL_is_init_finished(self.pointer) == 1 }
            return .wantRead
        case SSL_ERROR_WANT_WRITE: return .wantWrite
        case SSL_ERROR_ZERO_RETURN: return .closed
        case SSL_ERROR_SYSCALL:
            ERR_clear_error()
            return self.failed(systemError == 0 ? .truncated : .system(systemError))
        default: return self.failed(self.reason())
        }
    }

    private func failed(_ error: TLSError) -> TLSResult {
        self.isBroken = true
        self.failure = error
        return .failed(error)
    }

    private func reason() -> TLSError {
        let error: UInt = ERR_get_error()
        ERR_clear_error()
        if copenssl_is_reason(error, SSL_R_UNEXPECTED_EOF_WHILE_READING) == 1 { return .truncated }
        if copenssl_is_reason(error, SSL_R_HTTP_REQUEST) == 1 { return .plainHTTP }
        let reason: String = copenssl_reason(error).map { String(cString: $0) } ?? "unknown reason"
        if copenssl_is_reason(error, SSL_R_CERTIFICATE_VERIFY_FAILED) == 1 {
            let code: Int = SSL_get_verify_result(self.pointer)
            return .certificate(String(cString: X509_verify_cert_error_string(code)))
        }
        if copenssl_is_reason(error, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) == 1 {
            return .certificate("the client showed none")
        }
        return .protocolViolation(reason)
    }
}
