import COpenSSL
import Synchronization

/// Sessions a client may resume, one per peer. Each is used once (RFC 8446 appendix C.4), so that nobody can link connections.
final class TLSSessionCache: Sendable {
    /// Peers remembered; beyond it an arbitrary one is forgotten.
    static let peersMax: Int = 1024

    /// Owns one reference of an `SSL_SESSION`. Sendable: its reference count is atomic and it is not changed here.
    private final class Resumption: @unchecked Sendable {
        let pointer: OpaquePointer
        init(adopting pointer: OpaquePointer) { self.pointer = pointer }
        deinit { SSL_SESSION_free(self.pointer) }
    }

    private let sessions: Mutex<[String: Resumption]> = Mutex([:])

    /// Keeps a session, of which it takes over a reference.
    func put(_ pointer: OpaquePointer, for peer: String) {
        let resumption = Resumption(adopting: pointer)
        self.sessions.withLock { (sessions: inout [String: Resumption]) in
            if sessions.count >= TLSSessionCache.peersMax, sessions[peer] == nil, let victim = sessions.first {
                sessions[victim.key] = nil
            }
            sessions[peer] = resumption
        }
    }

    /// Gives a session to `session`, if there is one for the peer, and forgets it.
    func resume(_ session: OpaquePointer, for peer: String) {
        guard let resumption: Resumption = self.sessions.withLock({ $0.removeValue(forKey: peer) }) else { return }
        // Takes its own reference.
        SSL_set_session(session, resumption.pointer)
    }
}
