package import Crypto
import Glibc
import Synchronization

/// Runs what takes long on a thread of its own, one after the other, so that nothing else waits for it.
///
/// At most `waitingMax` wait; who comes then is told to come back. But nobody keeps others out: who comes to a full queue gets the
/// place of the last one of the source that has most of them, if it has at least two more. Any thread may ask.
package final class SerialThread: Sendable {
    private struct Job: Sendable {
        let source: String
        let run: @Sendable () -> Void
        let refuse: @Sendable () -> Void
    }

    private struct Queue: Sendable {
        var jobs: [Job] = []
        var isWorking: Bool = false

        /// Makes room in a full queue for one from `source`. - Returns: who has to go; nil when nobody has.
        mutating func makeRoom(for source: String) -> Job? {
            var counts: [String: Int] = [:]
            for job in self.jobs { counts[job.source, default: 0] += 1 }
            guard let most = counts.max(by: { $0.value < $1.value }), most.value > counts[source, default: 0] + 1,
                let last: Int = self.jobs.lastIndex(where: { $0.source == most.key })
            else { return nil }
            return self.jobs.remove(at: last)
        }
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

    /// - Parameter source: on whose behalf, as places are given: a network, for example. Empty: nobody's in particular.
    /// - Throws: what the work throws, or the refusal.
    package func run<Value: Sendable>(
        from source: String = "", _ work: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Value, any Error>) in
            let refusal: APIProblem = self.refusal
            self.submit(
                Job(
                    source: source,
                    run: { continuation.resume(with: Result { try work() }) },
                    refuse: { continuation.resume(throwing: refusal) }))
        }
    }

    private func submit(_ job: Job) {
        enum Verdict { case refused(Job), queued, mustStart }
        let verdict: Verdict = self.queue.withLock { queue in
            var verdict: Verdict = .queued
            if queue.jobs.count >= self.waitingMax {
                guard let ousted: Job = queue.makeRoom(for: job.source) else { return .refused(job) }
                verdict = .refused(ousted)
            }
            queue.jobs.append(job)
            if queue.isWorking { return verdict }
            queue.isWorking = true
            return .mustStart
        }
        switch verdict {
        case .queued: return
        case .refused(let job): job.refuse()
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
