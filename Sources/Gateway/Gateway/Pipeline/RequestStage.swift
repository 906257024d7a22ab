/// A policy on the request's way, made when the snapshot is compiled; one final class for each kind.
///
/// `run` is called on the loops of all connections at once, so a stage never changes: what it learns of a request is in the
/// context. It must not block; work that takes time, or cannot be done on a loop, is a `PolicyWork`.
class RequestStage: @unchecked Sendable {
    // Safe to share: subclasses hold constants, or guard what changes themselves.
    let rank: RequestRank

    init(rank: RequestRank) { self.rank = rank }

    /// Every pipeline has it; runs before others of its rank.
    var isBuiltIn: Bool { false }

    /// Whether `Snapshot.decide` does the same, so that it alone makes no pipeline.
    var isDecided: Bool { false }

    /// Whether it asks for `PolicyContext.seats`.
    var countsConnections: Bool { false }

    /// Decides about a request. `request` points into memory of the context: valid for the whole exchange.
    func run(_ request: RequestView, _ context: PolicyContext, _ decision: inout Decision) -> StageOutcome { .next }
}

/// What a stage makes of a request.
enum StageOutcome {
    /// The next stage, or the upstream.
    case next
    /// The gateway refuses: `decision.reason` and `decision.headerLines` are set (see `Decision.refuse`).
    case reject
    /// The gateway answers itself: mock, cache hit, redirect, preflight, replayed answer.
    case answer(LocalAnswer)
    /// Waits for work elsewhere; then the stage runs again and finds the work in `context.work`.
    case suspend(PolicyWork)
    /// Waits for the whole body; then the stage runs again and finds it in `context.body`. A larger one than this, or than the
    /// route takes, is refused with 413 before the stage sees anything.
    case needsBody(max: Int)
}

/// Work of a stage that is done away from the loop: a call over the network, a computation that is too long for a loop.
///
/// A subclass keeps its input and its result, and is safe to share between the loop and whoever does the work. The exchange
/// may end before the work does (the client went away): then `cancel` is called on the loop, and what comes later is ignored.
class PolicyWork: @unchecked Sendable {
    // Safe to share: subclasses say by which rule.

    /// Nanoseconds after which the engine gives up (503 `policy-unavailable`). A stage that can fail open sets its own, shorter
    /// time-out inside the work and makes this one longer.
    var timeout: UInt64 { 60_000_000_000 }

    /// After the time-out the stage runs again, as if the work were done, instead of the answer 503.
    var goesOnAfterTimeout: Bool { false }

    /// Begins. `done` is called once, on any thread, at once or later; the stage runs again on the loop.
    func start(_ done: @escaping @Sendable () -> Void) { done() }

    /// Nobody waits any more. On the loop; also after `done`.
    func cancel() {}
}

extension Decision {
    /// Refuses the request with this reason; lines are complete header lines the answer carries.
    mutating func refuse(_ reason: RequestReason, _ lines: [UInt8] = []) -> StageOutcome {
        self.reason = reason
        self.headerLines.append(contentsOf: lines)
        return .reject
    }
}
