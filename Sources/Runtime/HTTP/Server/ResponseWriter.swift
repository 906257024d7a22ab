import Synchronization

/// Where a `ResponseWriter` puts its bytes: a connection on its loop. Called from any thread, never under a lock; it hops.
protocol ResponseSink: AnyObject, Sendable {
    /// There are bytes to take, or the end.
    func outputReady(_ writer: ResponseWriter)
}

/// Streams a response body; made by the server for `HTTPResponse.Body.stream`.
///
/// `write` returns when its bytes are queued and suspends while more than `unsentBytesMax` wait for the client, so a
/// producer runs at the client's pace and memory is bounded by twice that limit and one write. Tasks of one producer may
/// write side by side; a write is never torn.
package final class ResponseWriter: Sendable {
    /// Bytes that may wait before `write` suspends.
    package static let unsentBytesMax: Int = 64 * 1024

    enum Framing: Sendable, Equatable {
        /// HTTP/1.1 without a length (RFC 9112, section 7.1).
        case chunked
        /// The head promised so many bytes.
        case counted(Int)
        /// HTTP/1.0 without a length: the end of the connection ends the body.
        case untilClose
    }

    private typealias Waiter = (id: Int, continuation: CheckedContinuation<Result<Void, HTTPError>, Never>)

    private struct State {
        var unsent: [UInt8] = []
        /// The loop has been told and has not taken everything yet.
        var isScheduled: Bool = false
        var isFinished: Bool = false
        var failure: HTTPError?
        /// Bytes still promised by Content-Length.
        var promised: Int = 0
        var waiters: [Waiter] = []
        var nextID: Int = 0
        /// Cancelled before their continuation was stored.
        var cancelled: Set<Int> = []
        var unsentPeak: Int = 0
    }

    private let state: Mutex<State> = Mutex(State())
    private let framing: Framing
    private let sink: any ResponseSink

    init(sink: any ResponseSink, framing: Framing) {
        self.sink = sink
        self.framing = framing
        if case .counted(let length) = framing { self.state.withLock { $0.promised = length } }
    }

    /// Sends bytes. Throws `disconnected` when the client is gone or the caller's task is cancelled while it waits, and
    /// `invalidResponse` for more bytes than `Content-Length` promised.
    package func write(_ bytes: [UInt8]) async throws(HTTPError) {
        if bytes.isEmpty { return }
        let decision: WriteDecision = self.state.withLock { self.enqueue(bytes, &$0) }
        if decision.mustTell { self.sink.outputReady(self) }
        if let failure: HTTPError = decision.failure { throw failure }
        if let id: Int = decision.waitAs { try await self.wait(id).get() }
    }

    package func write(_ text: String) async throws(HTTPError) {
        try await self.write(Array(text.utf8))
    }

    /// Sends one server-sent event.
    package func send(_ event: ServerSentEvent) async throws(HTTPError) {
        try await self.write(event.encoded)
    }

    /// Whether the client is known to be gone: lets a producer stop without a write.
    package var isDisconnected: Bool { self.state.withLock { $0.failure != nil } }

    /// Every write fails from now on, as if the client had gone: for who finds out that it may have no more. What then throws ends
    /// the connection. Any thread.
    package func abandon() { self.fail(.disconnected) }

    /// Highest number of bytes that waited for the loop; for tests of back-pressure.
    var unsentPeak: Int { self.state.withLock { $0.unsentPeak } }

    private struct WriteDecision {
        var mustTell: Bool = false
        var failure: HTTPError?
        var waitAs: Int?
    }

    private func enqueue(_ bytes: [UInt8], _ state: inout State) -> WriteDecision {
        if let failure: HTTPError = state.failure { return WriteDecision(failure: failure) }
        if state.isFinished { return WriteDecision(failure: .invalidResponse("a write after the end of the body")) }
        switch self.framing {
        case .chunked:
            state.unsent.append(contentsOf: String(bytes.count, radix: 16).utf8)
            state.unsent.append(contentsOf: ResponseWriter.lineEnd)
            state.unsent.append(contentsOf: bytes)
            state.unsent.append(contentsOf: ResponseWriter.lineEnd)
        case .counted:
            guard bytes.count <= state.promised else {
                return WriteDecision(failure: .invalidResponse("more bytes than the Content-Length of the response"))
            }
            state.promised -= bytes.count
            state.unsent.append(contentsOf: bytes)
        case .untilClose:
            state.unsent.append(contentsOf: bytes)
        }
        state.unsentPeak = max(state.unsentPeak, state.unsent.count)
        var decision: WriteDecision = WriteDecision(mustTell: !state.isScheduled)
        state.isScheduled = true
        if state.unsent.count > ResponseWriter.unsentBytesMax {
            decision.waitAs = state.nextID
            state.nextID += 1
        }
        return decision
    }

    private static let lineEnd: [UInt8] = [0x0D, 0x0A]

    private func wait(_ id: Int) async -> Result<Void, HTTPError> {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Result<Void, HTTPError>, Never>) in
                let answer: Result<Void, HTTPError>? = self.state.withLock { (state: inout State) in
                    if let failure: HTTPError = state.failure { return .failure(failure) }
                    if state.cancelled.remove(id) != nil { return .failure(.disconnected) }
                    // The loop may have taken the bytes between the two locks.
                    if state.unsent.count <= ResponseWriter.unsentBytesMax { return .success(()) }
                    state.waiters.append((id: id, continuation: continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiter: Waiter? = self.state.withLock { (state: inout State) -> Waiter? in
                for index in state.waiters.indices where state.waiters[index].id == id {
                    return state.waiters.remove(at: index)
                }
                state.cancelled.insert(id)
                return nil
            }
            waiter?.continuation.resume(returning: .failure(.disconnected))
        }
    }

    // MARK: The server's side

    /// The producer has returned. False if it wrote less than `Content-Length` promised: then the connection must break.
    func finish() -> Bool {
        let result: (isWhole: Bool, mustTell: Bool) = self.state.withLock { (state: inout State) in
            guard state.failure == nil, !state.isFinished else { return (true, false) }
            if state.promised > 0 { return (false, false) }
            state.isFinished = true
            if self.framing == .chunked { state.unsent.append(contentsOf: ResponseWriter.lastChunk) }
            let mustTell: Bool = !state.isScheduled
            state.isScheduled = true
            return (true, mustTell)
        }
        if result.mustTell { self.sink.outputReady(self) }
        return result.isWhole
    }

    private static let lastChunk: [UInt8] = Array("0\r\n\r\n".utf8)

    /// Puts a heartbeat in, unless something waits anyway. Not for a counted body, whose producer owns every byte. On the loop.
    func beat(_ bytes: [UInt8]) {
        let mustTell: Bool = self.state.withLock { (state: inout State) -> Bool in
            guard state.unsent.isEmpty, !state.isFinished else { return false }
            if case .counted = self.framing { return false }
            return self.enqueue(bytes, &state).mustTell
        }
        if mustTell { self.sink.outputReady(self) }
    }

    /// What waits, and whether it is the last of the body. Lets suspended writes go on. On the loop, when its own queue is
    /// empty: that is what makes producers wait for the client.
    func take() -> (bytes: [UInt8], isLast: Bool) {
        var waiters: [Waiter] = []
        let taken: (bytes: [UInt8], isLast: Bool) = self.state.withLock { (state: inout State) in
            let bytes: [UInt8] = state.unsent
            state.unsent = []
            // While bytes are taken the loop comes again by itself after sending them.
            state.isScheduled = !bytes.isEmpty && !state.isFinished
            swap(&waiters, &state.waiters)
            return (bytes, state.isFinished)
        }
        for waiter in waiters { waiter.continuation.resume(returning: .success(())) }
        return taken
    }

    /// The connection is gone: every write fails from now on. Any thread.
    func fail(_ failure: HTTPError) {
        var waiters: [Waiter] = []
        self.state.withLock { (state: inout State) in
            if state.failure == nil { state.failure = failure }
            state.unsent = []
            swap(&waiters, &state.waiters)
        }
        for waiter in waiters { waiter.continuation.resume(returning: .failure(failure)) }
    }
}
