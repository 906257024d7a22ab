package import Contracts
import EventLog
package import Identifiers
import JSON
import Store
import Synchronization
import Telemetry

/// Puts refusals into the audit log: those of authenticated callers one by one, up to `singlesMax` a minute, and beyond that, like
/// anonymous ones, summed per address and account for a minute, so that a flood of them costs one entry each.
package final class RefusalRecorder: Sendable {
    /// Most (address, account) pairs summed in one minute; more are counted under the address `other`.
    static let pairsMax: Int = 10_000

    /// Refusals of one caller that are recorded one by one between two flushes: who may do nothing must not fill the disk by it.
    static let singlesMax: Int = 1_000

    private struct Source: Hashable {
        let ip: String
        let account: String
    }

    private let services: ServiceEnvironment
    private let sums: Mutex<[Source: Int64]> = Mutex([:])
    /// By caller, since the last flush.
    private let singles: Mutex<[String: Int]> = Mutex([:])

    package init(services: ServiceEnvironment) { self.services = services }

    /// Records a refusal of an authenticated caller. A store that cannot write loses no answer: the refusal stands, the log says so.
    package func record(_ caller: Caller, what operation: String, tenant: String, rule: String, trace: TraceContext)
        async
    {
        let number: Int = self.singles.withLock { singles in
            singles[caller.id, default: 0] += 1
            return singles[caller.id, default: 0]
        }
        guard number <= Self.singlesMax else { return self.countAnonymous(ip: caller.ip, account: caller.id) }
        let author: Author = Author(caller: caller, trace: trace)
        do {
            try await self.services.store.write { transaction in
                try author.audit(
                    "access.refused", tenant: tenant, resource: AuditEntry.Resource(type: "operation", id: operation),
                    changes: ["rule": .string(rule)], in: transaction)
            }
        } catch {
            self.services.logger.log(.warning, "a refusal could not be audited", ["error": .string("\(error)")])
        }
    }

    /// Counts a refusal of someone unknown. Cost: one short critical section.
    package func countAnonymous(ip: String, account: String) {
        self.sums.withLock { sums in
            let source: Source = Source(ip: ip, account: account)
            let key: Source =
                sums[source] != nil || sums.count < Self.pairsMax ? source : Source(ip: "other", account: "")
            sums[key, default: 0] += 1
        }
    }

    /// Writes the minute's sums.
    package func flush() async {
        self.singles.withLock { $0.removeAll() }
        let taken: [Source: Int64] = self.sums.withLock { sums in
            let taken: [Source: Int64] = sums
            sums.removeAll()
            return taken
        }
        guard !taken.isEmpty else { return }
        do {
            try await self.services.store.write { transaction in
                for (source, count) in taken {
                    let anonymous: Caller = Caller(kind: .platform, id: Caller.anonymousID, grants: [], ip: source.ip)
                    try Author(caller: anonymous, trace: TraceContext.make()).audit(
                        "access.refused-anonymous", tenant: "",
                        resource: AuditEntry.Resource(type: "address", id: source.ip, isPersonal: true),
                        changes: ["account": .string(source.account), "count": .int(count)], in: transaction)
                }
            }
        } catch {
            self.services.logger.log(
                .warning, "anonymous refusals could not be audited", ["error": .string("\(error)")])
        }
    }
}
