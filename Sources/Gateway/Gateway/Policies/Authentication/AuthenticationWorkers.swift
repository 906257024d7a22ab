import CLinux
import Glibc
import Synchronization

/// A few threads for computations that are too long for a loop, with a bounded queue: when it is full, new work is refused and
/// the request answered 503. Started when first used.
final class AuthenticationWorkers: @unchecked Sendable {
    // Safe to share: everything that changes is under `lock`.

    private struct State {
        var queue: [@Sendable () -> Void] = []
        var head: Int = 0
        var isStarted: Bool = false
        var isStopped: Bool = false

        var count: Int { self.queue.count - self.head }
    }

    private let threads: Int
    private let queueMax: Int
    private let lock: UnsafeMutablePointer<pthread_mutex_t> = .allocate(capacity: 1)
    private let bell: UnsafeMutablePointer<pthread_cond_t> = .allocate(capacity: 1)
    private var state: State = State()

    init(threads: Int, queueMax: Int) {
        self.threads = max(1, threads)
        self.queueMax = queueMax
        pthread_mutex_init(self.lock, nil)
        pthread_cond_init(self.bell, nil)
    }

    deinit {
        // Threads hold a reference while they run, so none is left here.
        pthread_cond_destroy(self.bell)
        pthread_mutex_destroy(self.lock)
        self.bell.deallocate()
        self.lock.deallocate()
    }

    /// Runs a job on one of the threads; false when too many wait already.
    func submit(_ job: @escaping @Sendable () -> Void) -> Bool {
        pthread_mutex_lock(self.lock)
        defer { pthread_mutex_unlock(self.lock) }
        if self.state.count >= self.queueMax || self.state.isStopped { return false }
        self.state.queue.append(job)
        if !self.state.isStarted {
            self.state.isStarted = true
            for _ in 0..<self.threads { self.startThread() }
        }
        pthread_cond_signal(self.bell)
        return true
    }

    private func startThread() {
        var thread: pthread_t = pthread_t()
        let context: UnsafeMutableRawPointer = Unmanaged.passRetained(self).toOpaque()
        let result: Int32 = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                Unmanaged<AuthenticationWorkers>.fromOpaque(raw).takeRetainedValue().run()
                return nil
            }, context)
        if result == 0 {
            pthread_detach(thread)
        } else {
            Unmanaged<AuthenticationWorkers>.fromOpaque(context).release()
        }
    }

    private func run() {
        while let job: @Sendable () -> Void = self.next() { job() }
    }

    /// Waits for a job; nil when the threads are to end.
    private func next() -> (@Sendable () -> Void)? {
        pthread_mutex_lock(self.lock)
        defer { pthread_mutex_unlock(self.lock) }
        while self.state.count == 0 {
            if self.state.isStopped { return nil }
            pthread_cond_wait(self.bell, self.lock)
        }
        let job: @Sendable () -> Void = self.state.queue[self.state.head]
        self.state.head += 1
        if self.state.head == self.state.queue.count {
            self.state.queue.removeAll(keepingCapacity: true)
            self.state.head = 0
        }
        return job
    }

    /// Lets the threads end when the queue is empty.
    func stop() {
        pthread_mutex_lock(self.lock)
        self.state.isStopped = true
        pthread_cond_broadcast(self.bell)
        pthread_mutex_unlock(self.lock)
    }
}
