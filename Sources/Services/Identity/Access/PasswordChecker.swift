import Crypto
import REST

/// Hashes and checks passwords one at a time on a thread of its own: each takes 64 MiB and about 150 ms of CPU.
///
/// At most `waitingMax` wait; who comes then is told to come back. But nobody keeps others out: who comes to a full queue gets the
/// place of the last one of the network that has most of them, if it has at least two more. Any thread may ask.
final class PasswordChecker: Sendable {
    static let waitingMax: Int = 16
    static let retryAfterSeconds: Int = 3

    private let thread: SerialThread = SerialThread(
        waitingMax: PasswordChecker.waitingMax,
        refusal: APIProblem.unavailable(
            "Too many sign-ins are waiting.", retryAfterSeconds: PasswordChecker.retryAfterSeconds))
    private let verifyNow: @Sendable (_ password: String, _ hash: String) throws -> Bool
    private let hashNow: @Sendable (_ password: String) throws -> String
    private let isOutdatedNow: @Sendable (_ hash: String) -> Bool

    /// Works with argon2id unless told otherwise; tests tell otherwise.
    init(
        verify: @escaping @Sendable (_ password: String, _ hash: String) throws -> Bool = {
            try Password.verify($0, against: $1)
        },
        hash: @escaping @Sendable (_ password: String) throws -> String = { try Password.hash($0) },
        isOutdated: @escaping @Sendable (_ hash: String) -> Bool = { Password.isOutdated($0) }
    ) {
        self.verifyNow = verify
        self.hashNow = hash
        self.isOutdatedNow = isOutdated
    }

    /// How many wait, without the one that is being worked on.
    var waitingCount: Int { self.thread.waitingCount }

    /// - Parameter address: where the request came from; empty: from here.
    /// - Throws: an unavailable problem when too many wait already.
    func verify(_ password: String, against hash: String, from address: String = "") async throws -> Bool {
        let verify = self.verifyNow
        return try await self.thread.run(from: SignInThrottle.network(of: address)) { try verify(password, hash) }
    }

    func hash(_ password: String, from address: String = "") async throws -> String {
        let hash = self.hashNow
        return try await self.thread.run(from: SignInThrottle.network(of: address)) { try hash(password) }
    }

    /// Whether a hash was made at another cost than today's.
    func isOutdated(_ hash: String) -> Bool { self.isOutdatedNow(hash) }
}
