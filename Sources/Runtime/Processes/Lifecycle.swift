import CLinux
import Glibc
import JSON
import Synchronization
package import Telemetry

/// Why the process stops.
package enum StopCause: Sendable, Equatable, CustomStringConvertible {
    /// SIGTERM or SIGINT.
    case signal(Int32)
    /// A part of the process asked for it, with its reason.
    case requested(String)

    package var description: String {
        switch self {
        case .signal(SIGTERM): return "SIGTERM"
        case .signal(SIGINT): return "SIGINT"
        case .signal(let number): return "signal \(number)"
        case .requested(let reason): return reason
        }
    }
}

/// The life of the process, as signals steer it.
///
/// ```
/// running ──SIGTERM, SIGINT, requestStop──► draining ──finish()──► done: the caller exits
///    │                                          ├──a second signal──► exit code 1, at once
///    └──SIGHUP──► reload, goes on               └──drain deadline passed──► exit code 1
/// ```
/// One a process: it owns the handlers of these signals. A thread of its own reads the pipe they write into, so neither a busy
/// cooperative pool nor a blocked loop keeps the process from stopping.
package final class Lifecycle: Sendable {
    private enum Phase {
        case running
        /// Until the deadline in monotonic nanoseconds.
        case draining(StopCause, deadline: UInt64)
        case done
    }

    private struct State {
        var phase: Phase = .running
        var waiting: [CheckedContinuation<StopCause, Never>] = []
        var reload: (@Sendable () async -> Void)?
        var isReloading: Bool = false
        var mustReloadAgain: Bool = false
    }

    /// What the pipe carries besides signal numbers: look at the state again.
    private static let wakeByte: UInt8 = 0
    /// How long the last log lines may take when the process is cut off.
    private static let lastWords: Duration = .milliseconds(200)
    private static let isStarted: Atomic<Bool> = Atomic(false)

    private let logger: Logger
    private let drainDeadline: Duration
    private let reading: Int32
    private let writing: Int32
    private let state: Mutex<State> = Mutex(State())

    private init(logger: Logger, drainDeadline: Duration, pipe: (reading: Int32, writing: Int32)) {
        self.logger = logger
        self.drainDeadline = drainDeadline
        self.reading = pipe.reading
        self.writing = pipe.writing
    }

    /// Takes over SIGTERM, SIGINT and SIGHUP. Once a process; a second call traps.
    package static func start(logger: Logger, drainDeadline: Duration = .seconds(30)) -> Lifecycle {
        let isFirst: Bool = !Lifecycle.isStarted.exchange(true, ordering: .sequentiallyConsistent)
        precondition(isFirst, "a process has one Lifecycle")
        let lifecycle = Lifecycle(logger: logger, drainDeadline: drainDeadline, pipe: Lifecycle.makePipe())
        lifecycle.startThread()
        for number in [SIGTERM, SIGINT, SIGHUP] {
            let result: Int32 = clinux_route_signal(number, lifecycle.writing)
            precondition(result == 0, "sigaction failed: errno \(errno)")
        }
        return lifecycle
    }

    /// What SIGHUP does. Runs as a task; signals that come meanwhile are one more run afterwards.
    package func onReload(_ reload: @escaping @Sendable () async -> Void) {
        self.state.withLock { $0.reload = reload }
    }

    /// Returns when the process is to stop, at once if that is so already. From then on the drain deadline runs.
    package func waitForStop() async -> StopCause {
        await withCheckedContinuation { (continuation: CheckedContinuation<StopCause, Never>) in
            let cause: StopCause? = self.state.withLock { (state: inout State) -> StopCause? in
                switch state.phase {
                case .draining(let cause, _): return cause
                case .done: return .requested("finished")
                case .running:
                    state.waiting.append(continuation)
                    return nil
                }
            }
            if let cause: StopCause { continuation.resume(returning: cause) }
        }
    }

    /// Begins the stop from inside, as a signal would; a stop under way goes on unchanged.
    ///
    /// - Parameter limit: in place of the drain deadline.
    package func requestStop(_ reason: String, within limit: Duration? = nil) {
        self.beginStop(.requested(reason), within: limit ?? self.drainDeadline)
    }

    /// Everything has stopped in time: the deadline no longer counts. The caller exits.
    package func finish() {
        self.state.withLock { $0.phase = .done }
        self.wake()
    }

    // MARK: Signals

    private static func makePipe() -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [0, 0]
        precondition(pipe(&ends) == 0, "pipe failed: errno \(errno)")
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        // The handler must never block, not even when nobody reads.
        _ = fcntl(ends[1], F_SETFL, fcntl(ends[1], F_GETFL) | O_NONBLOCK)
        return (ends[0], ends[1])
    }

    private func wake() {
        var byte: UInt8 = Lifecycle.wakeByte
        _ = write(self.writing, &byte, 1)
    }

    private func startThread() {
        var thread = pthread_t()
        // The thread ends with the process.
        let result: Int32 = pthread_create(
            &thread, nil,
            { (context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? in
                clinux_set_thread_name("lifecycle")
                Unmanaged<Lifecycle>.fromOpaque(context!).takeRetainedValue().watch()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        precondition(result == 0, "cannot start the thread for signals: error \(result)")
        pthread_detach(thread)
    }

    private func watch() {
        while true {
            let (timeout, isLate): (Int32, Bool) = self.timeout()
            if isLate { self.cutOff("not everything stopped in time: exiting with code 1") }
            var entry = pollfd(fd: self.reading, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, timeout) > 0 else { continue }
            var byte: UInt8 = 0
            guard read(self.reading, &byte, 1) == 1, byte != Lifecycle.wakeByte else { continue }
            self.handle(Int32(byte))
        }
    }

    /// How long to wait for a signal; -1 for ever.
    private func timeout() -> (milliseconds: Int32, isLate: Bool) {
        self.state.withLock { (state: inout State) -> (Int32, Bool) in
            guard case .draining(_, let deadline) = state.phase else { return (-1, false) }
            let now: UInt64 = clinux_monotonic_nanoseconds()
            if now >= deadline { return (0, true) }
            return (Int32(clamping: (deadline - now) / 1_000_000 + 1), false)
        }
    }

    private func handle(_ number: Int32) {
        if number == SIGHUP { return self.beginReload() }
        if !self.beginStop(.signal(number), within: self.drainDeadline) {
            self.cutOff("a second signal: exiting at once with code 1")
        }
    }

    /// False when a stop is under way.
    @discardableResult
    private func beginStop(_ cause: StopCause, within limit: Duration) -> Bool {
        let deadline: UInt64 = clinux_monotonic_nanoseconds() + UInt64(max(0, limit / .nanoseconds(1)))
        let waiting: [CheckedContinuation<StopCause, Never>]? = self.state.withLock { (state: inout State) in
            guard case .running = state.phase else { return nil }
            state.phase = .draining(cause, deadline: deadline)
            defer { state.waiting = [] }
            return state.waiting
        }
        guard let waiting: [CheckedContinuation<StopCause, Never>] else { return false }
        self.logger.info("stopping", ["cause": .string(cause.description)])
        for continuation in waiting { continuation.resume(returning: cause) }
        self.wake()
        return true
    }

    private func cutOff(_ message: String) -> Never {
        self.logger.error(message)
        self.logger.flush(within: Lifecycle.lastWords)
        // Not exit(): its handlers could wait for what does not stop.
        _exit(1)
    }

    // MARK: Reload

    private func beginReload() {
        let reload: (@Sendable () async -> Void)? = self.state.withLock { (state: inout State) in
            guard case .running = state.phase, let reload = state.reload else { return nil }
            if state.isReloading {
                state.mustReloadAgain = true
                return nil
            }
            state.isReloading = true
            return reload
        }
        guard let reload: @Sendable () async -> Void else { return }
        self.logger.info("reloading", ["cause": "SIGHUP"])
        Task.detached {
            repeat { await reload() } while self.mustGoOnReloading()
        }
    }

    private func mustGoOnReloading() -> Bool {
        self.state.withLock { (state: inout State) -> Bool in
            defer { state.mustReloadAgain = false }
            state.isReloading = state.mustReloadAgain
            return state.mustReloadAgain
        }
    }
}
