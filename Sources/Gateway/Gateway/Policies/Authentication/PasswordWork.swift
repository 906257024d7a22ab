import Crypto

/// Checks a password away from the loop.
final class PasswordWork: PolicyWork, @unchecked Sendable {
    enum Answer {
        case right
        case wrong
        /// Too many wait, or memory is out.
        case unavailable
    }

    // Safe to share: `answer` is written before `done` is called and read after, on the loop that `done` reaches.
    private let password: String
    private let hash: String
    private let isKnown: Bool
    private let workers: AuthenticationWorkers
    private(set) var answer: Answer = .unavailable

    /// Without a hash a dummy is checked, so that the time does not tell which users there are.
    init(password: String, hash: String?, _ workers: AuthenticationWorkers) {
        self.password = password
        self.hash = hash ?? Password.dummy
        self.isKnown = hash != nil
        self.workers = workers
    }

    override func start(_ done: @escaping @Sendable () -> Void) {
        let isTaken: Bool = self.workers.submit {
            if let isRight: Bool = try? Password.verify(self.password, against: self.hash) {
                self.answer = isRight && self.isKnown ? .right : .wrong
            }
            done()
        }
        if !isTaken { done() }
    }
}
