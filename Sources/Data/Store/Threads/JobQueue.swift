import Glibc

/// A bounded first-in, first-out queue between callers and a store's threads.
///
/// `@unchecked Sendable`: every access to the stored state is between `lock` and `unlock` of `mutex`, and nothing is
/// called out to in between.
final class JobQueue<Job: Sendable>: @unchecked Sendable {
    enum Refusal { case full, closed }

    let limit: Int
    private let mutex: UnsafeMutablePointer<pthread_mutex_t> = .allocate(capacity: 1)
    private let filled: UnsafeMutablePointer<pthread_cond_t> = .allocate(capacity: 1)
    private var jobs: [Job] = []
    /// Jobs before this index were taken.
    private var head: Int = 0
    /// Threads in `take`: without one, a push need not signal.
    private var sleepers: Int = 0
    private var isClosed: Bool = false

    init(limit: Int) {
        self.limit = limit
        pthread_mutex_init(self.mutex, nil)
        var attributes: pthread_condattr_t = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(self.filled, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(self.filled)
        pthread_mutex_destroy(self.mutex)
        self.filled.deallocate()
        self.mutex.deallocate()
    }

    /// How many jobs wait.
    var count: Int {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        return self.jobs.count - self.head
    }

    /// Adds a job and wakes a sleeping thread; nil when it was accepted.
    func push(_ job: Job) -> Refusal? {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        if self.isClosed { return .closed }
        if self.jobs.count - self.head >= self.limit { return .full }
        self.jobs.append(job)
        if self.sleepers > 0 { pthread_cond_signal(self.filled) }
        return nil
    }

    /// No more jobs are accepted; threads in `take` get what is left, then `.closed`.
    func close() {
        pthread_mutex_lock(self.mutex)
        self.isClosed = true
        pthread_cond_broadcast(self.filled)
        pthread_mutex_unlock(self.mutex)
    }

    enum Taken { case jobs, timedOut, closed }

    /// Appends up to `max` jobs to `batch`, sleeping until there is one, `wait` nanoseconds have passed (nil: no limit),
    /// or the queue is closed and empty.
    func take(_ max: Int, into batch: inout [Job], wait: UInt64?) -> Taken {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        var deadline: timespec? = wait.map(Self.deadline)
        while self.jobs.count == self.head {
            if self.isClosed { return .closed }
            self.sleepers += 1
            var result: Int32 = 0
            if deadline != nil {
                result = pthread_cond_timedwait(self.filled, self.mutex, &deadline!)
            } else {
                pthread_cond_wait(self.filled, self.mutex)
            }
            self.sleepers -= 1
            if result == ETIMEDOUT, self.jobs.count == self.head { return .timedOut }
        }
        self.move(max, into: &batch)
        return .jobs
    }

    /// Appends up to `max` jobs to `batch` without sleeping; false when there was none.
    func takeWaiting(_ max: Int, into batch: inout [Job]) -> Bool {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        guard self.jobs.count > self.head else { return false }
        self.move(max, into: &batch)
        return true
    }

    /// Assumes the lock is held.
    private func move(_ max: Int, into batch: inout [Job]) {
        let end: Int = min(self.jobs.count, self.head + max)
        batch.append(contentsOf: self.jobs[self.head..<end])
        self.head = end
        if self.head == self.jobs.count {
            self.jobs.removeAll(keepingCapacity: true)
            self.head = 0
        } else if self.head >= 1024 {
            self.jobs.removeFirst(self.head)
            self.head = 0
        }
    }

    private static func deadline(_ nanoseconds: UInt64) -> timespec {
        var time: timespec = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let sum: UInt64 = UInt64(time.tv_nsec) + nanoseconds
        time.tv_sec += Int(sum / 1_000_000_000)
        time.tv_nsec = Int(sum % 1_000_000_000)
        return time
    }
}
