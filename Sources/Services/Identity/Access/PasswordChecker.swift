import Crypto
import Glibc
import REST
import Synchronization

/// Hashes and checks passwords one at a time on a thread of its own: each takes 64 MiB and about 150 ms of CPU.
///
/// At most `waitingMax` wait; who comes then is told to come back. Any thread may ask.
final class PasswordChecker: Sendable {
    static let waitingMax: Int = 16
    static let retryAfterSeconds: Int = 3

    private enum Job: Sendable {
        case verify(password: String, hash: String, CheckedContinuation<Bool, any Error>)
        case hash(password: String, CheckedContinuation<String, any Error>)
    }

    private struct Queue: Sendable {
        var jobs: [Job] = []
        var isWorking: Bool = false
    }

    private let queue: Mutex<Queue> = Mutex(Queue())
    private let verifyNow: @Sendable (_ password: String, _ hash: String) throws -> Bool
    private let hashNow: @Sendable (_ password: String) throws -> String

    /// Works with argon2id unless told otherwise; tests tell otherwise.
    init(
        verify: @escaping @Sendable (_ password: String, _ hash: String) throws -> Bool = {
            try Password.verify($0, against: $1)
        },
        hash: @escaping @Sendable (_ password: String) throws -> String = { try Password.hash($0) }
    ) {
        self.verifyNow = verify
        self.hashNow = hash
    }

    /// How many wait, without the one that is being worked on.
    var waitingCount: Int { self.queue.withLock { $0.jobs.count } }

    /// - Throws: an unavailable problem when too many wait already.
    func verify(_ password: String, against hash: String) async throws -> Bool {
        try await withCheckedThrowingContinuation { self.submit(.verify(password: password, hash: hash, $0)) }
    }

    func hash(_ password: String) async throws -> String {
        try await withCheckedThrowingContinuation { self.submit(.hash(password: password, $0)) }
    }

    private func submit(_ job: Job) {
        enum Verdict { case refused, queued, mustStart }
        let verdict: Verdict = self.queue.withLock { queue in
            guard queue.jobs.count < Self.waitingMax else { return .refused }
            queue.jobs.append(job)
            if queue.isWorking { return .queued }
            queue.isWorking = true
            return .mustStart
        }
        switch verdict {
        case .queued: return
        case .refused: Self.refuse(job)
        case .mustStart: self.startWorker()
        }
    }

    /// The thread lives while there is work: an idle platform keeps none of its 64 MiB.
    private func startWorker() {
        let context: UnsafeMutableRawPointer = Unmanaged.passRetained(self).toOpaque()
        var thread: pthread_t = pthread_t()
        let code: Int32 = pthread_create(
            &thread, nil,
            { context in
                guard let context: UnsafeMutableRawPointer else { return nil }
                Unmanaged<PasswordChecker>.fromOpaque(context).takeRetainedValue().work()
                return nil
            }, context)
        if code == 0 {
            pthread_detach(thread)
            return
        }
        Unmanaged<PasswordChecker>.fromOpaque(context).release()
        let waiting: [Job] = self.queue.withLock { queue in
            let jobs: [Job] = queue.jobs
            queue = Queue()
            return jobs
        }
        for job in waiting { Self.refuse(job) }
    }

    private func work() {
        while let job: Job = self.next() {
            switch job {
            case .verify(let password, let hash, let continuation):
                continuation.resume(with: Result { try self.verifyNow(password, hash) })
            case .hash(let password, let continuation):
                continuation.resume(with: Result { try self.hashNow(password) })
            }
        }
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

    private static func refuse(_ job: Job) {
        let problem: APIProblem = APIProblem.unavailable(
            "Too many sign-ins are waiting.", retryAfterSeconds: Self.retryAfterSeconds)
        switch job {
        case .verify(_, _, let continuation): continuation.resume(throwing: problem)
        case .hash(_, let continuation): continuation.resume(throwing: problem)
        }
    }
}
