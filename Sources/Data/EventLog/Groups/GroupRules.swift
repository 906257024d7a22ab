/// One partition of one topic.
struct TopicPartition: Sendable, Hashable, Comparable {
    let topic: String
    let partition: Int

    static func < (left: TopicPartition, right: TopicPartition) -> Bool {
        left.topic == right.topic ? left.partition < right.partition : left.topic < right.topic
    }
}

/// A member that has shown life within the group's time-out.
struct GroupMember: Sendable, Equatable {
    let name: String
    let topics: Set<String>
}

/// A row of log_offsets: who holds a partition, under which epoch.
struct PartitionOwner: Sendable, Equatable {
    let at: TopicPartition
    let epoch: Int64
    let member: String?
}

/// What a member sees of its group in one transaction.
struct GroupView: Sendable {
    /// Alive, in any order, the member itself among them.
    var members: [GroupMember]
    /// Partitions without a row have never been claimed.
    var owners: [PartitionOwner]
}

/// What one member does about its group's partitions.
struct GroupPlan: Sendable, Equatable {
    /// A partition to take, which must still have this epoch (0: no row yet).
    struct Claim: Sendable, Equatable {
        let at: TopicPartition
        let epoch: Int64
    }

    var claims: [Claim] = []
    /// To be given back once what is at work there has ended, with the epoch as stored.
    var releases: [Claim] = []
    /// Held, with the epoch as stored: a higher one than the member knows says that something was changed from outside.
    var keeps: [Claim] = []
}

/// How a group's partitions are shared. Pure: every member computes it from what it saw, no member decides for others.
///
/// Members that see the same compute the same. Members that see different moments may disagree for a moment, which costs
/// nothing but time: a claim names the epoch it saw, so only one of two succeeds, and only who holds a partition gives it back.
/// A partition moves by release and then claim, never under the hands of a living owner.
enum GroupRules {
    /// What `me` does about what it sees.
    static func plan(for me: String, _ view: GroupView, partitions: [TopicPartition]) -> GroupPlan {
        var rows: [TopicPartition: PartitionOwner] = [:]
        for row: PartitionOwner in view.owners { rows[row.at] = row }
        let living: Set<String> = Set(view.members.map(\.name))
        var owners: [TopicPartition: String] = [:]
        for (at, row): (TopicPartition, PartitionOwner) in rows {
            if let owner: String = row.member, living.contains(owner) { owners[at] = owner }
        }
        let assigned: [TopicPartition: String] = self.assign(partitions, owners: owners, members: view.members)
        var plan: GroupPlan = GroupPlan()
        for at: TopicPartition in partitions {
            let epoch: Int64 = rows[at]?.epoch ?? 0
            switch (assigned[at] == me, owners[at] == me) {
            case (true, true): plan.keeps.append(GroupPlan.Claim(at: at, epoch: epoch))
            case (false, true): plan.releases.append(GroupPlan.Claim(at: at, epoch: epoch))
            case (true, false): if owners[at] == nil { plan.claims.append(GroupPlan.Claim(at: at, epoch: epoch)) }
            case (false, false): break
            }
        }
        return plan
    }

    /// Shares partitions evenly among the members that read their topic, and moves as few as possible: owners keep theirs,
    /// free ones go to who has least, and then one by one from who has at least two more.
    static func assign(
        _ partitions: [TopicPartition], owners: [TopicPartition: String], members: [GroupMember]
    ) -> [TopicPartition: String] {
        let members: [GroupMember] = members.sorted { $0.name < $1.name }
        let sorted: [TopicPartition] = partitions.sorted()
        var loads: [String: Int] = [:]
        for member: GroupMember in members { loads[member.name] = 0 }
        var assigned: [TopicPartition: String] = [:]
        for at: TopicPartition in sorted {
            guard let owner: String = owners[at],
                members.contains(where: { $0.name == owner && $0.topics.contains(at.topic) })
            else { continue }
            assigned[at] = owner
            loads[owner, default: 0] += 1
        }
        for at: TopicPartition in sorted where assigned[at] == nil {
            guard let least: String = self.leastLoaded(at, members, loads) else { continue }
            assigned[at] = least
            loads[least, default: 0] += 1
        }
        while let (at, to): (TopicPartition, String) = self.move(sorted, assigned, members, loads) {
            loads[assigned[at] ?? "", default: 0] -= 1
            assigned[at] = to
            loads[to, default: 0] += 1
        }
        return assigned
    }

    private static func leastLoaded(
        _ at: TopicPartition, _ members: [GroupMember], _ loads: [String: Int]
    ) -> String? {
        var found: String?
        for member: GroupMember in members where member.topics.contains(at.topic) {
            if let best: String = found, loads[member.name, default: 0] >= loads[best, default: 0] { continue }
            found = member.name
        }
        return found
    }

    /// The next move that makes the shares more even: from who has most.
    private static func move(
        _ sorted: [TopicPartition], _ assigned: [TopicPartition: String], _ members: [GroupMember],
        _ loads: [String: Int]
    ) -> (TopicPartition, String)? {
        var best: (TopicPartition, String)?
        var bestGap: Int = 1
        for at: TopicPartition in sorted {
            guard let owner: String = assigned[at], let least: String = self.leastLoaded(at, members, loads) else {
                continue
            }
            let gap: Int = loads[owner, default: 0] - loads[least, default: 0]
            if gap > bestGap {
                best = (at, least)
                bestGap = gap
            }
        }
        return best
    }
}
