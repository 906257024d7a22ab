import JSON
package import Store
import Synchronization
import Telemetry
import Time

/// A time during which this process is the only one to do something. Handed to the work of `EventLog.whileHolding`.
package final class LeaseTerm: Sendable {
    package let name: String
    /// Higher than that of every holder before.
    package let epoch: Int64

    init(name: String, epoch: Int64) {
        self.name = name
        self.epoch = epoch
    }

    /// Throws unless the lease is still held: first in every transaction that only its holder may make. A process that was
    /// stopped for longer than its lease changes nothing when it wakes.
    package func fence(_ transaction: Transaction) throws {
        try LeaseTable.fence(self.name, epoch: self.epoch, in: transaction)
    }
}

extension EventLog {
    /// How long a lease lasts without renewal: so long nobody does the work after its holder has died.
    package static let leaseTermDefault: Duration = .milliseconds(1500)
    /// Renewals, and looks at a lease that another process has, in one term.
    private static let leaseLooksPerTerm: Int = 4

    /// Runs `work` for as long as this process holds the lease `name`, again and again, until the task is cancelled or the store
    /// is closed. Of all processes on the database one at a time does.
    ///
    /// `work` is cancelled when the lease cannot be renewed in time; it should end soon then, and fences what it writes in any
    /// case. When it returns by itself, or the task is cancelled, the lease is given back at once.
    package func whileHolding(
        _ name: String, term: Duration = EventLog.leaseTermDefault,
        _ work: @escaping @Sendable (LeaseTerm) async -> Void
    ) async {
        let keeper: LeaseKeeper = LeaseKeeper(log: self, name: name, term: term)
        let pause: Duration = term / Self.leaseLooksPerTerm
        var seen: LeaseRow?
        var watch: Watch = Watch(every: pause)
        while !Task.isCancelled {
            do {
                // Renewed lately: then its holder lives, and nothing need be written to find that out.
                let row: LeaseRow? = try await keeper.look()
                let isSilent: Bool = watch.look(at: self.clock.monotonic(), isRenewed: row != seen)
                seen = row
                if row?.holder == nil || isSilent, let held: LeaseTerm = try await keeper.acquire() {
                    await keeper.keep(held, looking: pause, work)
                    seen = nil
                }
            } catch StoreError.closed {
                return
            } catch {
                self.logger.debug(
                    "a lease could not be asked for", ["lease": .string(name), "error": .string("\(error)")])
            }
            do { try await self.clock.sleep(for: pause) } catch { return }
        }
    }
}

/// Asks for one lease and keeps it.
private struct LeaseKeeper: Sendable {
    let log: EventLog
    let name: String
    let term: Duration

    private var termMilliseconds: Int64 { self.term.millisecondsClamped }

    func look() async throws -> LeaseRow? {
        let name: String = self.name
        return try await self.log.store.read { reader in try LeaseTable.row(name, in: reader) }
    }

    /// nil while another process holds it.
    func acquire() async throws -> LeaseTerm? {
        let (name, term, clock, holder): (String, Int64, any WallClock, String) =
            (self.name, self.termMilliseconds, self.log.clock, self.log.process)
        let epoch: Int64? = try await self.log.store.write(isolation: .readCommitted) { transaction in
            let row: LeaseRow? = try LeaseTable.row(name, in: transaction)
            // After the row was read: what is renewed between the two would seem to end too far away to be true.
            let now: Int64 = try LogTime.milliseconds(transaction, clock)
            guard let taken: LeaseRow = LeaseRules.acquire(row, holder: holder, now: now, term: term) else {
                return nil
            }
            try LeaseTable.awaitFenced(name, in: transaction)
            return try LeaseTable.replace(name, row, with: taken, in: transaction) ? taken.epoch : nil
        }
        return epoch.map { LeaseTerm(name: name, epoch: $0) }
    }

    /// Runs the work and renews the lease beside it; returns when the work has ended.
    func keep(_ held: LeaseTerm, looking pause: Duration, _ work: @escaping @Sendable (LeaseTerm) async -> Void) async {
        self.log.logger.debug("a lease was taken", ["lease": .string(self.name), "epoch": .int(held.epoch)])
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await work(held) }
            group.addTask { await self.renew(held, every: pause) }
            // Whichever ends first ends the other.
            await group.next()
            group.cancelAll()
        }
        do {
            try await self.log.store.write(isolation: .readCommitted) { transaction in
                try LeaseTable.release(held.name, epoch: held.epoch, in: transaction)
            }
        } catch {
            // It runs out by itself.
            self.log.logger.debug("a lease was not given back", ["lease": .string(self.name)])
        }
    }

    /// Returns when the lease is lost, when it could not be renewed for a whole term, or when cancelled.
    private func renew(_ held: LeaseTerm, every pause: Duration) async {
        // One process owns the database: nobody else can want the lease.
        if !self.log.isShared { return await self.untilCancelled() }
        var renewedAt: UInt64 = self.log.clock.monotonic()
        while (try? await self.log.clock.sleep(for: pause)) != nil {
            let start: UInt64 = self.log.clock.monotonic()
            do {
                guard try await self.renewOnce(held) else {
                    self.log.logger.warning("a lease was lost", ["lease": .string(self.name)])
                    return
                }
                renewedAt = start
            } catch {
                let age: UInt64 = self.log.clock.monotonic() &- renewedAt
                if age > UInt64(clamping: self.term.nanosecondsClamped) { return }
            }
        }
    }

    private func renewOnce(_ held: LeaseTerm) async throws -> Bool {
        let (term, clock): (Int64, any WallClock) = (self.termMilliseconds, self.log.clock)
        return try await self.log.store.pulse { transaction in
            let now: Int64 = try LogTime.milliseconds(transaction, clock)
            let row: LeaseRow? = try LeaseTable.row(held.name, in: transaction)
            guard let renewed: LeaseRow = LeaseRules.renew(row, epoch: held.epoch, now: now, term: term) else {
                return false
            }
            return try LeaseTable.replace(held.name, row, with: renewed, in: transaction)
        }
    }

    private func untilCancelled() async {
        let signal: WakeSignal = WakeSignal()
        while !Task.isCancelled { await signal.wait() }
    }
}
