import Synchronization
package import Time

/// A clock that stands until a test moves it. Sleepers wake, in the order of their deadlines, when it passes them.
package final class ManualClock: WallClock {
    private struct Sleeper {
        let number: Int
        let deadline: UInt64
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var now: Timestamp
        var monotonic: UInt64
        var sleepers: [Sleeper] = []
        var cancelled: Set<Int> = []
        var nextNumber: Int = 0
    }

    private let state: Mutex<State>

    /// Starts at 2026-01-01T00:00:00Z unless told otherwise; the monotonic clock starts at one second.
    package init(now: Timestamp = Timestamp(milliseconds: 1_767_225_600_000)) {
        self.state = Mutex(State(now: now, monotonic: 1_000_000_000))
    }

    package func now() -> Timestamp { self.state.withLock { $0.now } }

    package func monotonic() -> UInt64 { self.state.withLock { $0.monotonic } }

    /// How many tasks sleep on this clock: wait for it with `eventually` before moving the clock.
    package var sleeperCount: Int { self.state.withLock { $0.sleepers.count } }

    /// Moves both clocks on by `duration` (not negative) and wakes who has slept long enough.
    package func advance(by duration: Duration) {
        precondition(duration >= .zero, "a clock does not go back; use set(_:) for a stepped time of day")
        let due: [Sleeper] = self.state.withLock { (state: inout State) -> [Sleeper] in
            state.now = state.now.adding(duration)
            state.monotonic += UInt64(duration.nanosecondsClamped)
            var due: [Sleeper] = []
            var rest: [Sleeper] = []
            for sleeper in state.sleepers {
                if sleeper.deadline <= state.monotonic { due.append(sleeper) } else { rest.append(sleeper) }
            }
            state.sleepers = rest
            return due.sorted { ($0.deadline, $0.number) < ($1.deadline, $1.number) }
        }
        for sleeper in due { sleeper.continuation.resume() }
    }

    /// Sets the time of day, forward or back, as an administrator does; the monotonic clock does not move.
    package func set(_ now: Timestamp) {
        self.state.withLock { $0.now = now }
    }

    package func sleep(for duration: Duration) async throws {
        let number: Int = self.state.withLock { (state: inout State) -> Int in
            state.nextNumber += 1
            return state.nextNumber
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                self.add(number, duration, continuation)
            }
        } onCancel: {
            self.cancel(number)
        }
    }

    private func add(_ number: Int, _ duration: Duration, _ continuation: CheckedContinuation<Void, any Error>) {
        enum Outcome { case sleeps, done, cancelled }
        let outcome: Outcome = self.state.withLock { (state: inout State) -> Outcome in
            if state.cancelled.remove(number) != nil { return .cancelled }
            if duration <= .zero { return .done }
            let deadline: UInt64 = state.monotonic + UInt64(duration.nanosecondsClamped)
            state.sleepers.append(Sleeper(number: number, deadline: deadline, continuation: continuation))
            return .sleeps
        }
        switch outcome {
        case .sleeps: break
        case .done: continuation.resume()
        case .cancelled: continuation.resume(throwing: CancellationError())
        }
    }

    private func cancel(_ number: Int) {
        let sleeper: Sleeper? = self.state.withLock { (state: inout State) -> Sleeper? in
            guard let index: Int = state.sleepers.firstIndex(where: { $0.number == number }) else {
                // Cancelled before it fell asleep: `add` will find the note.
                state.cancelled.insert(number)
                return nil
            }
            return state.sleepers.remove(at: index)
        }
        sleeper?.continuation.resume(throwing: CancellationError())
    }
}
