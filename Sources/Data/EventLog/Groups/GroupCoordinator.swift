import JSON
import Store
import Synchronization
import Telemetry
import Time

/// How quickly a group notices that a member has died.
package struct GroupTiming: Sendable {
    /// Pause between two signs of life.
    package var heartbeat: Duration = .milliseconds(250)
    /// A member that has shown no sign for so long is taken for dead, and its partitions go to others.
    package var timeout: Duration = .milliseconds(1000)

    package init() {}
}

/// Keeps this process's members in their groups and lets them take and give back partitions, where several processes share the
/// database. One task for all groups; it writes one small transaction a heartbeat, and nothing while no consumer runs.
final class GroupCoordinator: Sendable {
    let timing: GroupTiming
    private let signal: WakeSignal = WakeSignal()

    init(timing: GroupTiming) { self.timing = timing }

    /// Something about a group has changed: look now.
    func wake() { self.signal.wake() }

    /// Until the task is cancelled or the store is closed.
    func run(_ log: EventLog) async {
        while !Task.isCancelled {
            let consumers: [Consumer] = log.runningConsumers
            do {
                if !consumers.isEmpty { try await self.round(log, consumers) }
            } catch StoreError.closed {
                return
            } catch {
                log.logger.debug("groups could not be looked at", ["error": .string("\(error)")])
            }
            let timer: Task<Void, Never>? =
                consumers.isEmpty ? nil : log.timer(self.timing.heartbeat, self.signal)
            await self.signal.wait()
            timer?.cancel()
        }
    }

    /// Shows life for every member, sees who else lives, and carries out what follows.
    private func round(_ log: EventLog, _ consumers: [Consumer]) async throws {
        let timeout: Int64 = self.timing.timeout.millisecondsClamped
        let clock: any WallClock = log.clock
        let own: [(group: String, name: String, topics: Set<String>)] =
            consumers.filter { !$0.member.isStopping.load(ordering: .sequentiallyConsistent) }
            .map { ($0.group, $0.member.name, Set($0.topics)) }
        let views: [String: GroupView] = try await log.store.write(isolation: .readCommitted) { transaction in
            let now: Int64 = try LogTime.milliseconds(transaction, clock)
            for member in own {
                let row: MemberRow = MemberRow(
                    group: member.group, name: member.name, topics: member.topics, until: now + timeout)
                try MemberTable.beat(row, in: transaction)
            }
            return try Self.views(of: own.map(\.group), now: now, timeout: timeout, in: transaction)
        }
        for consumer: Consumer in consumers {
            guard let view: GroupView = views[consumer.group] else { continue }
            consumer.perform(GroupRules.plan(for: consumer.member.name, view, partitions: consumer.allPartitions))
        }
    }

    private static func views(
        of groups: [String], now: Int64, timeout: Int64, in transaction: Transaction
    ) throws(StoreError) -> [String: GroupView] {
        var views: [String: GroupView] = [:]
        for group: String in groups {
            views[group] = GroupView(members: [], owners: try ConsumerTables.owners(of: group, in: transaction))
        }
        for row: MemberRow in try MemberTable.rows(in: transaction) {
            if LeaseRules.isOver(until: row.until, now: now, term: timeout) {
                try MemberTable.leave(row.group, row.name, in: transaction)
            } else {
                views[row.group]?.members.append(GroupMember(name: row.name, topics: row.topics))
            }
        }
        return views
    }
}
