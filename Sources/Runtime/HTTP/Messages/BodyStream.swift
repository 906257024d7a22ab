import Synchronization

/// Whoever fills a `BodyStream`: a connection on its loop. Called from any thread, never under the stream's lock; it hops.
protocol BodySource: AnyObject, Sendable {
    /// The consumer asks for the first time: the moment to send `100 Continue`.
    func bodyWanted()
    /// There is room again after `append` said to pause.
    func bodyDrained()
    /// The consumer gave up (cancelled, or over its limit): nothing more will be read.
    func bodyAbandoned()
}

/// A message body on its way from a loop to one `async` consumer, with back-pressure.
///
/// The loop appends what it received; the consumer takes everything unread at once. When the unread bytes reach
/// `unreadBytesMax` the loop is told to stop reading its socket, and told to go on when less than half is left. So memory is
/// at most the limit and one receive buffer. The lock guards a few assignments; continuations are resumed after it.
final class BodyStream<Failure: Error>: Sendable {
    /// What `append` and `next` decided under the lock, to be done after it.
    private enum Action {
        case none
        case resume(CheckedContinuation<Outcome, Never>, Outcome)
        case answer(Outcome, thenResumeReading: Bool)
        case suspend
    }

    typealias Outcome = Result<[UInt8]?, Failure>

    private enum End {
        /// More may come.
        case open
        /// All of it has been appended.
        case finished
        /// Broken: the consumer gets what came before, then this.
        case failed(Failure)
    }

    private struct State {
        var unread: [UInt8] = []
        var end: End = .open
        var waiting: CheckedContinuation<Outcome, Never>?
        var isPaused: Bool = false
        var wasWanted: Bool = false
        var isAbandoned: Bool = false
        var unreadPeak: Int = 0
    }

    private let state: Mutex<State> = Mutex(State())
    private let unreadBytesMax: Int
    /// What a cancelled consumer gets.
    private let cancelled: Failure
    /// Held as long as the stream: a connection lets go of its stream when the message has ended, which breaks the cycle.
    private let source: any BodySource

    init(source: any BodySource, unreadBytesMax: Int, cancelled: Failure) {
        self.source = source
        self.unreadBytesMax = unreadBytesMax
        self.cancelled = cancelled
    }

    // MARK: The loop's side

    /// Hands bytes over; false when the loop should stop reading until `bodyDrained`. On the loop.
    func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if bytes.isEmpty { return true }
        var goOn: Bool = true
        let action: Action = self.state.withLock { (state: inout State) -> Action in
            guard case .open = state.end, !state.isAbandoned else { return .none }
            if let waiting: CheckedContinuation<Outcome, Never> = state.waiting.take() {
                return .resume(waiting, .success(Array(bytes)))
            }
            state.unread.append(contentsOf: bytes)
            state.unreadPeak = max(state.unreadPeak, state.unread.count)
            if state.unread.count >= self.unreadBytesMax {
                state.isPaused = true
                goOn = false
            }
            return .none
        }
        self.perform(action)
        return goOn
    }

    /// The body is complete. On the loop.
    func finish() { self.end(.finished) }

    /// The body will never be complete. On the loop. Later calls change nothing.
    func fail(_ failure: Failure) { self.end(.failed(failure)) }

    /// Highest number of bytes that waited for the consumer; for tests of back-pressure.
    var unreadPeak: Int { self.state.withLock { $0.unreadPeak } }

    private func end(_ end: End) {
        let action: Action = self.state.withLock { (state: inout State) -> Action in
            guard case .open = state.end else { return .none }
            state.end = end
            guard let waiting: CheckedContinuation<Outcome, Never> = state.waiting.take() else { return .none }
            if case .failed(let failure) = end { return .resume(waiting, .failure(failure)) }
            return .resume(waiting, .success(nil))
        }
        self.perform(action)
    }

    // MARK: The consumer's side

    /// Everything unread, or nil at the end. Suspends while there is nothing. One consumer at a time.
    func next() async throws(Failure) -> [UInt8]? {
        let isFirst: Bool = self.state.withLock { (state: inout State) -> Bool in
            if state.wasWanted { return false }
            state.wasWanted = true
            guard case .open = state.end else { return false }
            return state.unread.isEmpty
        }
        if isFirst { self.source.bodyWanted() }
        let first: Action = self.state.withLock { self.take(&$0) }
        if case .answer(let outcome, let resumeReading) = first {
            if resumeReading { self.source.bodyDrained() }
            return try outcome.get()
        }
        return try await self.wait().get()
    }

    /// Drops what is unread and tells the source, unless the body had ended. Any thread; twice does nothing.
    func abandon() {
        var tell: Bool = false
        let action: Action = self.state.withLock { (state: inout State) -> Action in
            state.unread = []
            guard case .open = state.end, !state.isAbandoned else { return .none }
            state.isAbandoned = true
            state.end = .failed(self.cancelled)
            tell = true
            guard let waiting: CheckedContinuation<Outcome, Never> = state.waiting.take() else { return .none }
            return .resume(waiting, .failure(self.cancelled))
        }
        self.perform(action)
        if tell { self.source.bodyAbandoned() }
    }

    private func wait() async -> Outcome {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Outcome, Never>) in
                let action: Action = self.state.withLock { (state: inout State) -> Action in
                    let action: Action = self.take(&state)
                    if case .suspend = action { state.waiting = continuation }
                    return action
                }
                if case .answer(let outcome, let resumeReading) = action {
                    if resumeReading { self.source.bodyDrained() }
                    continuation.resume(returning: outcome)
                }
            }
        } onCancel: {
            self.abandon()
        }
    }

    /// What the consumer gets now, or `.suspend`.
    private func take(_ state: inout State) -> Action {
        precondition(state.waiting == nil, "a body has one consumer at a time")
        if !state.unread.isEmpty {
            let bytes: [UInt8] = state.unread
            state.unread = []
            let wasPaused: Bool = state.isPaused
            state.isPaused = false
            return .answer(.success(bytes), thenResumeReading: wasPaused)
        }
        switch state.end {
        case .open: return .suspend
        case .finished: return .answer(.success(nil), thenResumeReading: false)
        case .failed(let failure): return .answer(.failure(failure), thenResumeReading: false)
        }
    }

    private func perform(_ action: Action) {
        if case .resume(let continuation, let outcome) = action { continuation.resume(returning: outcome) }
    }
}
