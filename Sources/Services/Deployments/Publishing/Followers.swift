import Synchronization
import Time

/// Those who wait until something changes, each for a limited time.
///
/// Whoever looks at an actor's state and then waits without leaving the actor misses no change that the actor makes: `wait`
/// has noted the caller before it suspends. From any thread; a wait costs a task for its time limit.
final class Followers: Sendable {
    private struct State {
        var count: UInt64 = 0
        /// Noted, and not suspended yet.
        var opening: Set<UInt64> = []
        var suspended: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    private let clock: any WallClock
    private let state: Mutex<State> = Mutex(State())

    init(clock: any WallClock) { self.clock = clock }

    /// Returns with the next `wakeAll`, after `limit`, when the caller is cancelled, or at once if it `isDue`: asked when a
    /// `wakeAll` would already be noticed, for those who look at what no actor guards.
    func wait(atMost limit: Duration, unless isDue: () -> Bool = { false }) async {
        let id: UInt64 = self.state.withLock { state in
            state.count += 1
            state.opening.insert(state.count)
            return state.count
        }
        if isDue() { return self.release(id) }
        let clock: any WallClock = self.clock
        let timer: Task<Void, Never> = Task {
            try? await clock.sleep(for: limit)
            self.release(id)
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { (follower: CheckedContinuation<Void, Never>) in
                let mustSuspend: Bool = self.state.withLock { state in
                    guard state.opening.remove(id) != nil else { return false }
                    state.suspended[id] = follower
                    return true
                }
                if !mustSuspend { follower.resume() }
            }
        } onCancel: {
            self.release(id)
        }
        timer.cancel()
    }

    /// Ends every wait.
    func wakeAll() {
        let followers: [CheckedContinuation<Void, Never>] = self.state.withLock { state in
            state.opening.removeAll()
            let followers: [CheckedContinuation<Void, Never>] = Array(state.suspended.values)
            state.suspended.removeAll()
            return followers
        }
        for follower in followers { follower.resume() }
    }

    private func release(_ id: UInt64) {
        let follower: CheckedContinuation<Void, Never>? = self.state.withLock { state in
            state.opening.remove(id)
            return state.suspended.removeValue(forKey: id)
        }
        follower?.resume()
    }
}
