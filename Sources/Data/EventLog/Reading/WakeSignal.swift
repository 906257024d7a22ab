import Synchronization

/// Wakes one waiting task. A wake that comes while nobody waits is kept for the next `wait`; several count as one.
final class WakeSignal: Sendable {
    private enum State {
        /// Nobody waits, nothing happened. → signalled, waiting
        case idle
        /// Woken before anybody waited. → idle, by the next wait
        case signalled
        /// One task waits. → idle, by a wake
        case waiting(CheckedContinuation<Void, Never>)
    }

    private let state: Mutex<State> = Mutex(.idle)

    /// Any thread.
    func wake() {
        let waiter: CheckedContinuation<Void, Never>? = self.state.withLock { state in
            guard case .waiting(let waiter) = state else {
                state = .signalled
                return nil
            }
            state = .idle
            return waiter
        }
        waiter?.resume()
    }

    /// Returns at the next wake, or at once if one is kept or the task is cancelled. One task at a time.
    func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (waiter: CheckedContinuation<Void, Never>) in
                let isSignalled: Bool = self.state.withLock { state in
                    if case .idle = state {
                        state = .waiting(waiter)
                        return false
                    }
                    state = .idle
                    return true
                }
                if isSignalled { waiter.resume() }
            }
        } onCancel: {
            self.wake()
        }
    }
}
