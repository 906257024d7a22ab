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
///
/// A sign of life waits neither for other changes nor for a sync (`Store.pulse`), so a busy disk kills nobody. One that is lost
/// with a crash of the server makes its member look dead earlier, which the epochs of its partitions make harmless.
final class GroupCoordinator: Sendable {
    let timing: GroupTiming
    private let signal: WakeSignal = WakeSignal()

    init(timing: GroupTiming) { self.timing = timing }

    /// Something about a group has changed: look now.
    func wake() { self.signal.wake() }

    /// Until the task is cancelled or the store is closed.
    func run(_ log: EventLog) async {
        var watch: Watch = Watch(every: self.timing.heartbeat)
        while !Task.isCancelled {
            let consumers: [Consumer] = log.runningConsumers
            do {
                if !consumers.isEmpty { try await self.round(log, consumers, &watch) }
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
    private func round(_ log: EventLog, _ consumers: [Consumer], _ watch: inout Watch) async throws {
        let timeout: Int64 = self.timing.timeout.millisecondsClamped
        let clock: any WallClock = log.clock
        let own: [(group: String, name: String, topics: Set<String>)] =
            consumers.filter { !$0.member.isStopping.load(ordering: .sequentiallyConsistent) }
            .map { ($0.group, $0.member.name, Set($0.topics)) }
        let seen: Seen = try await log.store.pulse { transaction in
            let until: Int64 = try LogTime.milliseconds(transaction, clock) + timeout
            for member in own {
                let row: MemberRow = MemberRow(
                    group: member.group, name: member.name, topics: member.topics, until: until)
                try MemberTable.beat(row, in: transaction)
            }
            var seen: Seen = Seen(members: try MemberTable.rows(in: transaction))
            // After the rows were read: what others wrote between the two would seem to end too far away to be true.
            seen.now = try LogTime.milliseconds(transaction, clock)
            for member in own {
                seen.owners[member.group] = try ConsumerTables.owners(of: member.group, in: transaction)
            }
            return seen
        }
        var dead: [MemberRow] = []
        if watch.look(at: log.clock.monotonic()) {
            dead = seen.members.filter { LeaseRules.isOver(until: $0.until, now: seen.now, term: timeout) }
        }
        let views: [String: GroupView] = Self.views(seen, without: Set(dead.map(\.name)))
        for consumer: Consumer in consumers {
            guard let view: GroupView = views[consumer.group] else { continue }
            consumer.perform(GroupRules.plan(for: consumer.member.name, view, partitions: consumer.allPartitions))
        }
        if !dead.isEmpty {
            let forgotten: [MemberRow] = dead
            try await log.store.pulse { transaction in
                for row: MemberRow in forgotten { try MemberTable.forget(row, in: transaction) }
            }
        }
    }

    /// What one transaction shows of the groups.
    private struct Seen: Sendable {
        let members: [MemberRow]
        var now: Int64 = 0
        var owners: [String: [PartitionOwner]] = [:]
    }

    private static func views(_ seen: Seen, without dead: Set<String>) -> [String: GroupView] {
        var views: [String: GroupView] = [:]
        for (group, owners): (String, [PartitionOwner]) in seen.owners {
            views[group] = GroupView(members: [], owners: owners)
        }
        for row: MemberRow in seen.members where !dead.contains(row.name) {
            views[row.group]?.members.append(GroupMember(name: row.name, topics: row.topics))
        }
        return views
    }
}
