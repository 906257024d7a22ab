import Synchronization

/// One attempt at a request, from `send` to the response's head. Settled exactly once, by whoever is first: the response, a
/// failure, a clock, or the caller's cancellation.
final class ClientExchange: Sendable {
    typealias Outcome = Result<HTTPClientResponse, HTTPClientError>

    private struct State {
        var continuation: CheckedContinuation<Outcome, Never>?
        var isSettled: Bool = false
        /// The connection working on it, which has to be told when the caller gives up.
        var connection: ClientConnection?
    }

    let request: PreparedRequest
    /// Monotonic nanoseconds; nil: none.
    let totalDeadline: UInt64?
    let connectDeadline: UInt64
    private let state: Mutex<State> = Mutex(State())

    init(_ request: PreparedRequest, connectDeadline: UInt64, totalDeadline: UInt64?) {
        self.request = request
        self.connectDeadline = connectDeadline
        self.totalDeadline = totalDeadline
    }

    var isSettled: Bool { self.state.withLock { $0.isSettled } }

    /// Stores whom to tell; false, having told, if the caller gave up before.
    func begin(_ continuation: CheckedContinuation<Outcome, Never>) -> Bool {
        let isFirst: Bool = self.state.withLock { (state: inout State) -> Bool in
            if state.isSettled { return false }
            state.continuation = continuation
            return true
        }
        if !isFirst { continuation.resume(returning: .failure(.cancelled)) }
        return isFirst
    }

    /// A connection takes the request; false if nobody waits for it any more.
    func attach(_ connection: ClientConnection) -> Bool {
        self.state.withLock { (state: inout State) -> Bool in
            if state.isSettled { return false }
            state.connection = connection
            return true
        }
    }

    /// Ends it; false if it had ended.
    @discardableResult func settle(_ outcome: Outcome) -> Bool {
        self.settleTaking(outcome).isFirst
    }

    /// Ends it on the caller's side; returns the connection that has to stop working on it.
    func giveUp(_ failure: HTTPClientError) -> ClientConnection? {
        self.settleTaking(.failure(failure)).connection
    }

    private func settleTaking(_ outcome: Outcome) -> (isFirst: Bool, connection: ClientConnection?) {
        var continuation: CheckedContinuation<Outcome, Never>?
        let result: (isFirst: Bool, connection: ClientConnection?) = self.state.withLock { (state: inout State) in
            if state.isSettled { return (false, nil) }
            state.isSettled = true
            continuation = state.continuation.take()
            return (true, state.connection.take())
        }
        continuation?.resume(returning: outcome)
        return result
    }
}
