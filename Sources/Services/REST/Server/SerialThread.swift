package import Crypto
import Glibc
import Synchronization

/// Runs what takes long on a thread of its own, one after the other, so that nothing else waits for it.
///
/// At most `waitingMax` wait; who comes then is told to come back. Any thread may ask.
package final class SerialThread: Sendable {
    private struct Job: Sendable {
        let run: @Sendable () -> Void
        let refuse: @Sendable () -> Void
    }

    private struct Queue: Sendable {
        var jobs: [Job] = []
        var isWorking: Bool = false
    }

    private let waitingMax: Int
    private let refusal: APIProblem
    private let queue: Mutex<Queue> = Mutex(Queue())

    /// - Parameter refusal: what those get who come when `waitingMax` wait.
    package init(waitingMax: Int, refusal: APIProblem) {
        self.waitingMax = waitingMax
        self.refusal = refusal
    }

    /// How many wait, without the one that is being worked on.
    package var waitingCount: Int { self.queue.withLock { $0.jobs.count } }

    /// - Throws: what the work throws, or the refusal.
    package func run<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Value, any Error>) in
            let refusal: APIProblem = self.refusal
            self.submit(
                Job(
                    run: { continuation.resume(with: Result { try work() }) },
                    refuse: { continuation.resume(throwing: refusal) }))
        }
    }

    private func submit(_ job: Job) {
        enum Verdict { case refused, queued, mustStart }
        let verdict: Verdict = self.queue.withLock { queue in
            guard queue.jobs.count < self.waitingMax else { return .refused }
            queue.jobs.append(job)
            if queue.isWorking { return .queued }
            queue.isWorking = true
            return .mustStart
        }
        switch verdict {
        case .queued: return
        case .refused: job.refuse()
        case .mustStart: self.start()
        }
    }

    /// The thread lives while there is work: an idle platform keeps none of what it takes.
    private func start() {
        let context: UnsafeMutableRawPointer = Unmanaged.passRetained(self).toOpaque()
        var thread: pthread_t = pthread_t()
        let code: Int32 = pthread_create(
            &thread, nil,
            { context in
                guard let context: UnsafeMutableRawPointer else { return nil }
                Unmanaged<SerialThread>.fromOpaque(context).takeRetainedValue().work()
                return nil
            }, context)
        if code == 0 {
            pthread_detach(thread)
            return
        }
        Unmanaged<SerialThread>.fromOpaque(context).release()
        let waiting: [Job] = self.queue.withLock { queue in
            let jobs: [Job] = queue.jobs
            queue = Queue()
            return jobs
        }
        for job in waiting { job.refuse() }
    }

    private func work() {
        while let job: Job = self.next() { job.run() }
    }

    private func next() -> Job? {
        self.queue.withLock { queue in
            if queue.jobs.isEmpty {
                queue.isWorking = false
                return nil
            }
            return queue.jobs.removeFirst()
        }
    }
}

extension PrivateKey {
    private static let thread: SerialThread = SerialThread(
        waitingMax: 16,
        refusal: APIProblem.unavailable("Too many keys are waiting to be made.", retryAfterSeconds: 3))

    /// A fresh key, made off the pool where that takes long: an RSA key some 0.3 s of CPU, the others microseconds.
    package static func make(_ kind: KeyKind) async throws -> PrivateKey {
        guard kind == .rsa else { return try .generate(kind) }
        return try await Self.thread.run { try PrivateKey.generate(.rsa) }
    }
}
