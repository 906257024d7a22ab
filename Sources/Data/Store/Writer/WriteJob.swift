/// A waiting `Store.write`: the closure, then its result, then the caller to resume.
///
/// `@unchecked Sendable`: the caller makes it and lets go of it; from then on only one writer thread touches it.
class WriteJob: @unchecked Sendable {
    let isolation: WriteIsolation
    let durability: WriteDurability

    init(isolation: WriteIsolation, durability: WriteDurability) {
        self.isolation = isolation
        self.durability = durability
    }

    /// Runs the closure and keeps its result. Returns its error when it threw. May be called again after a group failed.
    func run(_ transaction: Transaction) -> (any Error)? { nil }
    /// Replaces the result.
    func fail(_ error: any Error) {}
    /// Hands the result to the caller. Once, last, with no lock held.
    func finish() {}
}

final class TypedWriteJob<T: Sendable>: WriteJob, @unchecked Sendable {
    private let body: @Sendable (Transaction) throws -> T
    private let caller: CheckedContinuation<T, any Error>
    private var result: Result<T, any Error> = .failure(StoreError.closed)

    init(
        _ body: @escaping @Sendable (Transaction) throws -> T, isolation: WriteIsolation, durability: WriteDurability,
        caller: CheckedContinuation<T, any Error>
    ) {
        self.body = body
        self.caller = caller
        super.init(isolation: isolation, durability: durability)
    }

    override func run(_ transaction: Transaction) -> (any Error)? {
        do {
            self.result = .success(try self.body(transaction))
            return nil
        } catch {
            self.result = .failure(error)
            return error
        }
    }

    override func fail(_ error: any Error) { self.result = .failure(error) }

    override func finish() { self.caller.resume(with: self.result) }
}

/// What an extension runs in a group, where nobody waits for the result.
final class FollowUpJob: WriteJob, @unchecked Sendable {
    private let body: FollowUp

    init(_ body: @escaping FollowUp) {
        self.body = body
        super.init(isolation: .serializable, durability: .synced)
    }

    override func run(_ transaction: Transaction) -> (any Error)? {
        do {
            try self.body(transaction)
            return nil
        } catch {
            return error
        }
    }
}
