import Synchronization
import TLS

/// Why a client's TLS handshake came to nothing.
enum HandshakeFailure: Int, CaseIterable, Sendable {
    /// The client spoke HTTP in the clear.
    case plainHTTP
    /// The client's certificate is missing, or was not accepted.
    case certificate
    /// Versions, ciphers or messages do not go together, or the client refused our certificate.
    case refused
    /// The client went away in the middle.
    case closed
    /// The client did not go on in time.
    case timedOut

    /// Of a session that ended before both sides were sure of each other.
    init(_ error: TLSError?) {
        switch error {
        case .plainHTTP: self = .plainHTTP
        case .certificate: self = .certificate
        case .protocolViolation, .configuration: self = .refused
        case .truncated, .system, nil: self = .closed
        }
    }

    var label: String {
        switch self {
        case .plainHTTP: return "plain-http"
        case .certificate: return "certificate"
        case .refused: return "refused"
        case .closed: return "closed"
        case .timedOut: return "timeout"
        }
    }
}

/// How many handshakes failed on one loop, by reason; read by any thread.
final class HandshakeCounters: Sendable {
    private let plainHTTP: Atomic<Int> = Atomic(0)
    private let certificate: Atomic<Int> = Atomic(0)
    private let refused: Atomic<Int> = Atomic(0)
    private let closed: Atomic<Int> = Atomic(0)
    private let timedOut: Atomic<Int> = Atomic(0)

    func add(_ failure: HandshakeFailure) {
        switch failure {
        case .plainHTTP: self.plainHTTP.wrappingAdd(1, ordering: .relaxed)
        case .certificate: self.certificate.wrappingAdd(1, ordering: .relaxed)
        case .refused: self.refused.wrappingAdd(1, ordering: .relaxed)
        case .closed: self.closed.wrappingAdd(1, ordering: .relaxed)
        case .timedOut: self.timedOut.wrappingAdd(1, ordering: .relaxed)
        }
    }

    func count(_ failure: HandshakeFailure) -> Int {
        switch failure {
        case .plainHTTP: return self.plainHTTP.load(ordering: .relaxed)
        case .certificate: return self.certificate.load(ordering: .relaxed)
        case .refused: return self.refused.load(ordering: .relaxed)
        case .closed: return self.closed.load(ordering: .relaxed)
        case .timedOut: return self.timedOut.load(ordering: .relaxed)
        }
    }
}
