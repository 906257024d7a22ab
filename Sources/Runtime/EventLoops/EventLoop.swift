import CLinux
import Glibc
import Synchronization

/// One thread that waits on epoll and runs what is ready: descriptors first, then jobs from other threads, then timers.
///
/// Nothing that runs here may block. Sendable by this rule: `execute`, `isCurrent`, `stop` and `join` are for any thread and
/// touch only what `inbox` guards or what never changes; everything else is for the loop's own thread, which
/// `preconditionOnLoop()` checks at every entry that is not on the path of each request.
package final class EventLoop: @unchecked Sendable {
    package typealias Job = @Sendable () -> Void

    private struct Inbox {
        var jobs: [Job] = []
        var isStopping: Bool = false
    }

    /// Events taken from the kernel in one call.
    private static let eventCapacity: Int = 512
    /// Marks the wake-up descriptor: no registration has this generation and descriptor.
    private static let wakeToken: UInt64 = .max

    package let name: String
    private let epoll: Int32
    private let wake: Int32
    private let inbox: Mutex<Inbox> = Mutex(Inbox())
    /// True while the inbox holds jobs; lets the loop look without taking the lock.
    private let hasJobs: Atomic<Bool> = Atomic(false)
    private let joined: Mutex<pthread_t?> = Mutex(nil)

    // Owned by the loop's thread.
    private var registrations: Registrations = Registrations()
    private var clock: LoopClock = LoopClock()
    private var wheel: TimerWheel
    private var isRunning: Bool = true
    /// Who wants to be called before the turn ends.
    private var turnEnders: [Unmanaged<ReadinessHandler>] = []

    private init(name: String, epoll: Int32, wake: Int32) {
        self.name = name
        self.epoll = epoll
        self.wake = wake
        self.now = self.clock.now
        self.wheel = TimerWheel(now: self.now)
    }

    deinit {
        // Stopped and never joined: nobody will ask for its end any more, so the system may forget the thread by itself.
        if let thread: pthread_t = self.joined.withLock({ $0.take() }) { pthread_detach(thread) }
        close(self.wake)
        close(self.epoll)
    }

    /// Starts a loop on a thread of its own. Traps when the process has no descriptors or threads left: nothing can start then.
    package static func start(name: String) -> EventLoop {
        let epoll: Int32 = clinux_epoll_create()
        precondition(epoll >= 0, "epoll_create1: \(SystemError.last("epoll_create1").reason)")
        let wake: Int32 = clinux_eventfd()
        precondition(wake >= 0, "eventfd: \(SystemError.last("eventfd").reason)")
        let loop: EventLoop = EventLoop(name: name, epoll: epoll, wake: wake)
        // Edge-triggered: every write is told once, so the counter never has to be read back.
        let added: Int32 = clinux_epoll_add(epoll, wake, CLINUX_EPOLLIN | CLINUX_EPOLLET, EventLoop.wakeToken)
        precondition(added == 0, "epoll_ctl: \(SystemError.last("epoll_ctl").reason)")
        loop.startThread()
        return loop
    }

    /// Runs the job on the loop, after all jobs given before; also from the loop itself (then: later in this turn).
    /// Any thread. - Returns: false after `stop`, when the job is dropped.
    @discardableResult
    package func execute(_ job: @escaping Job) -> Bool {
        let (isTaken, mustWake): (Bool, Bool) = self.inbox.withLock { (inbox: inout Inbox) -> (Bool, Bool) in
            if inbox.isStopping { return (false, false) }
            inbox.jobs.append(job)
            self.hasJobs.store(true, ordering: .releasing)
            return (true, inbox.jobs.count == 1)
        }
        if mustWake && !self.isCurrent { self.wakeUp() }
        return isTaken
    }

    /// Whether the caller runs on this loop's thread.
    package var isCurrent: Bool { clinux_thread_tag() == self.tag }

    package func preconditionOnLoop() {
        precondition(self.isCurrent, "this belongs to the event loop's own thread")
    }

    /// Ends the loop after the current turn and the jobs given before. Handlers and timers still there are released
    /// without being told, so their owners close them first. Any thread.
    package func stop() {
        self.execute { self.isRunning = false }
        let mustWake: Bool = self.inbox.withLock { (inbox: inout Inbox) -> Bool in
            inbox.isStopping = true
            return true
        }
        if mustWake { self.wakeUp() }
    }

    /// Waits for the thread to end; once is enough, more do nothing. Not from the loop itself.
    package func join() {
        precondition(!self.isCurrent, "a loop cannot wait for itself")
        let thread: pthread_t? = self.joined.withLock { (thread: inout pthread_t?) -> pthread_t? in thread.take() }
        if let thread: pthread_t = thread { pthread_join(thread, nil) }
    }

    // MARK: On the loop

    /// Monotonic nanoseconds at the beginning of this turn. On the loop.
    package private(set) var now: UInt64
    /// Nanoseconds since 1970 at the beginning of this turn; follows a set clock within a second. On the loop.
    package var wallNow: Int64 { self.clock.wallNow }
    /// The 29 bytes of a `Date` header, valid until the end of the turn. On the loop.
    package func httpDate() -> UnsafeRawBufferPointer { self.clock.httpDate() }
    /// How many descriptors are registered. On the loop.
    package var registeredCount: Int { self.registrations.count }

    /// Calls the handler whenever `fd` is ready. Holds a reference to it until `deregister`. On the loop.
    package func register(_ handler: ReadinessHandler, fd: Int32, interest: Interest) throws(SystemError) {
        self.preconditionOnLoop()
        let token: UInt64 = self.registrations.insert(handler, fd: fd)
        if clinux_epoll_add(self.epoll, fd, interest.rawValue, token) != 0 {
            let failure: SystemError = SystemError.last("epoll_ctl(ADD)")
            _ = self.registrations.remove(fd: fd)
            throw failure
        }
    }

    /// Changes what the handler of `fd` is told. On the loop.
    package func modify(fd: Int32, interest: Interest) throws(SystemError) {
        self.preconditionOnLoop()
        guard let token: UInt64 = self.registrations.token(fd: fd) else {
            throw SystemError(code: ENOENT, call: "modify")
        }
        if clinux_epoll_modify(self.epoll, fd, interest.rawValue, token) != 0 {
            throw SystemError.last("epoll_ctl(MOD)")
        }
    }

    /// Ends the registration; events already queued for it are dropped. Before `close(fd)`, which by itself removes the
    /// descriptor from epoll: `closing: true` saves the system call. Doing it twice does nothing. On the loop.
    package func deregister(fd: Int32, closing: Bool = false) {
        self.preconditionOnLoop()
        guard self.registrations.remove(fd: fd) else { return }
        if !closing { _ = clinux_epoll_remove(self.epoll, fd) }
    }

    /// Calls `turnEnded()` once, when all that is ready in this turn was served: what many events gave can then be done at once.
    /// The handler lives at least until the turn's end by its registration. On the loop.
    package func callAtTurnEnd(_ handler: ReadinessHandler) { self.turnEnders.append(.passUnretained(handler)) }

    /// Keeps an object that has no registration alive until the end of this turn: it may still be running. On the loop.
    package func releaseAtTurnEnd(_ handler: ReadinessHandler) { self.registrations.retire(handler) }

    /// Arms the timer, or moves it. On the loop.
    package func schedule(_ timer: Timer, at deadline: UInt64) { self.wheel.schedule(timer, at: deadline) }

    /// Arms the timer `delay` after the beginning of this turn, or moves it. On the loop.
    package func schedule(_ timer: Timer, after delay: Duration) {
        self.wheel.schedule(timer, at: self.clock.now &+ delay.clampedNanoseconds)
    }

    /// Disarms the timer and lets go of it. On the loop.
    package func cancel(_ timer: Timer) { self.wheel.cancel(timer) }

    /// Disarms the timer with one store and leaves its node where it is: for timers that are armed again soon. The loop
    /// keeps its reference until the node's slot comes, at most 34 s later. On the loop.
    package func disarm(_ timer: Timer) { timer.deadline = Timer.never }

    // MARK: The thread

    private var tag: UInt { UInt(bitPattern: Unmanaged.passUnretained(self).toOpaque()) }

    private func wakeUp() {
        var one: UInt64 = 1
        // Fails only when the counter is full, and then a wake-up is pending anyway.
        _ = write(self.wake, &one, MemoryLayout<UInt64>.size)
    }

    private func startThread() {
        var thread: pthread_t = pthread_t()
        let context: UnsafeMutableRawPointer = Unmanaged.passRetained(self).toOpaque()
        let code: Int32 = pthread_create(&thread, nil, EventLoop.threadEntry, context)
        precondition(code == 0, "pthread_create: errno \(code)")
        self.joined.withLock { $0 = thread }
    }

    private static let threadEntry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
        guard let context: UnsafeMutableRawPointer = context else { return nil }
        let loop: EventLoop = Unmanaged<EventLoop>.fromOpaque(context).takeRetainedValue()
        clinux_set_thread_tag(loop.tag)
        clinux_set_thread_name(loop.name)
        loop.run()
        clinux_set_thread_tag(0)
        return nil
    }

    private func run() {
        let events: UnsafeMutablePointer<epoll_event> = .allocate(capacity: EventLoop.eventCapacity)
        events.initialize(repeating: epoll_event(), count: EventLoop.eventCapacity)
        defer { events.deallocate() }
        while self.isRunning {
            let timeout: Int32 =
                self.hasJobs.load(ordering: .acquiring) ? 0 : self.wheel.timeoutMilliseconds(now: self.clock.now)
            let count: Int32 = clinux_epoll_wait(self.epoll, events, Int32(EventLoop.eventCapacity), timeout)
            precondition(count >= 0, "epoll_wait: errno \(-count)")
            self.clock.refresh()
            self.now = self.clock.now
            self.deliver(events, count: Int(count))
            if self.hasJobs.load(ordering: .acquiring) { self.runJobs() }
            while let timer: Timer = self.wheel.nextDue(now: self.clock.now) { timer.fired() }
            while let handler: Unmanaged<ReadinessHandler> = self.turnEnders.popLast() {
                handler._withUnsafeGuaranteedRef { $0.turnEnded() }
            }
            while let handler: Unmanaged<ReadinessHandler> = self.registrations.takeDeparted() { handler.release() }
        }
        self.releaseEverything()
    }

    @inline(__always)
    private func deliver(_ events: UnsafeMutablePointer<epoll_event>, count: Int) {
        for index in 0..<count {
            // A handler deregistered earlier in this turn is not found; the one being called lives until the turn's end.
            guard let handler: Unmanaged<ReadinessHandler> = self.registrations.handler(token: events[index].data.u64)
            else { continue }
            handler._withUnsafeGuaranteedRef { $0.ready(Readiness(rawValue: events[index].events)) }
        }
    }

    private func runJobs() {
        let jobs: [Job] = self.inbox.withLock { (inbox: inout Inbox) -> [Job] in
            self.hasJobs.store(false, ordering: .releasing)
            let jobs: [Job] = inbox.jobs
            inbox.jobs = []
            return jobs
        }
        for job in jobs { job() }
    }

    private func releaseEverything() {
        self.inbox.withLock { (inbox: inout Inbox) in
            inbox.isStopping = true
            inbox.jobs = []
        }
        self.registrations = Registrations()
        self.wheel = TimerWheel(now: self.clock.now)
    }
}

extension Duration {
    /// Nanoseconds, 0 for negative durations and at most 2^62: safe to add to a clock.
    package var clampedNanoseconds: UInt64 {
        let parts: (seconds: Int64, attoseconds: Int64) = self.components
        if parts.seconds < 0 || parts.attoseconds < 0 { return 0 }
        if parts.seconds >= 4_000_000_000 { return 1 << 62 }
        return UInt64(parts.seconds) * 1_000_000_000 + UInt64(parts.attoseconds / 1_000_000_000)
    }
}
