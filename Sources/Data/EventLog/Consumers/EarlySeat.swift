import Store
import Synchronization
import Time

/// Where a transactional reader waits at the end of its partition, so that the commit which writes the next records can hand them
/// to it: their effects then need no commit, and no sync, of their own.
///
/// ```
/// reader waits ─► waiting(claim) ─ a commit writes at claim.next ─► serving ─ committed ─► waiting(claim, further on)
///       ▲              │ reader wakes: leaves with the claim          └ undone, aborted ─► waiting(claim as before)
///       └── away ◄─────┘
/// ```
/// The rules are those of any delivery: effects and offset in one transaction, under the claim, behind a savepoint. What fails
/// here undoes just this, and the reader, woken by the commit, delivers the records in the ordinary way, with tries and dead letters.
///
/// The reader's task sits down and leaves; everything else is the store's writer thread.
final class EarlySeat: Sendable {
    /// A commit with more records for the partition leaves them to the reader: others wait for that commit.
    static let recordsMax: Int = 16

    private enum State {
        /// The reader is at work. → waiting, by the reader
        case away
        /// The reader waits at `claim.next`. → serving, by the writer; → away, by the reader
        case waiting(Claim)
        /// A commit hands over records; `next` once they are handled. → waiting, at the commit's end
        case serving(Claim, next: Int64?)
    }

    private let at: GroupPartition
    private let handler: TransactionalHandler
    private let signal: WakeSignal
    private let state: Mutex<State> = Mutex(.away)

    init(at: GroupPartition, handler: @escaping TransactionalHandler, signal: WakeSignal) {
        self.at = at
        self.handler = handler
        self.signal = signal
    }

    // MARK: - The reader's task

    /// The reader waits at `claim.next` from now on, with nothing to try again.
    func sit(_ claim: Claim) { self.state.withLock { $0 = .waiting(claim) } }

    /// The reader goes back to work: returns where it stands. nil while a commit is serving it, whose end wakes it.
    func leave() -> Claim? {
        self.state.withLock { (state: inout State) -> Claim? in
            guard case .waiting(let claim) = state else { return nil }
            state = .away
            return claim
        }
    }

    /// Whether the reader waits for the record `next`.
    func isWaiting(at next: Int64) -> Bool {
        self.state.withLock { (state: inout State) -> Bool in
            if case .waiting(let claim) = state { return claim.next == next }
            return false
        }
    }

    // MARK: - The writer's thread

    /// Whether the reader waits for the record `next`; it is then served by this commit.
    func beginServing(at next: Int64) -> Bool {
        self.state.withLock { (state: inout State) -> Bool in
            guard case .waiting(let claim) = state, claim.next == next else { return false }
            state = .serving(claim, next: nil)
            return true
        }
    }

    /// Handles the records and moves the offset. Throws what the handler throws, and `FencedError` when the claim does not hold.
    func serve(_ records: [Record], in transaction: Transaction) throws {
        guard let last: Record = records.last, case .serving(let claim, _) = self.state.withLock({ $0 }) else { return }
        for record: Record in records { try self.handler(transaction, record) }
        let change: PartitionChange = PartitionChange(
            claim: claim, next: last.offset + 1, steps: [], now: transaction.now)
        try ConsumerTables.apply(change, self.at, in: transaction)
        self.state.withLock { $0 = .serving(claim, next: change.next) }
    }

    /// The commit is durable, or was rolled back.
    func endServing(isCommitted: Bool) {
        self.state.withLock { (state: inout State) in
            guard case .serving(var claim, let next) = state else { return }
            if isCommitted, let next: Int64 { claim.next = next }
            state = .waiting(claim)
        }
        self.signal.wake()
    }
}
