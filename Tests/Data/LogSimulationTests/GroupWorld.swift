import Time

@testable import EventLog

/// The tables of groups and the log, made up: every function is one transaction, whole or not at all, one after the other.
/// `GroupWorldTests` holds them against the real SQL.
struct GroupWorld {
    struct OffsetRow: Equatable {
        var next: Int64
        var epoch: Int64
        var member: String?
    }

    struct Waiting: Equatable {
        var entry: RetryEntry
        let record: Record
    }

    var log: [TopicPartition: [Record]] = [:]
    var members: [String: Int64] = [:]
    var offsets: [TopicPartition: OffsetRow] = [:]
    var retries: [TopicPartition: [Int64: Waiting]] = [:]
    var deadLetters: [Record] = []

    // MARK: - Members

    mutating func beat(_ member: String, now: Int64, timeout: Int64, topics: Set<String>) -> GroupView {
        self.members[member] = now + timeout
        var living: [GroupMember] = []
        for (name, until): (String, Int64) in self.members.sorted(by: { $0.key < $1.key }) {
            if LeaseRules.isOver(until: until, now: now, term: timeout) {
                self.members[name] = nil
            } else {
                living.append(GroupMember(name: name, topics: topics))
            }
        }
        let owners: [PartitionOwner] = self.offsets.sorted(by: { $0.key < $1.key }).map {
            PartitionOwner(at: $0.key, epoch: $0.value.epoch, member: $0.value.member)
        }
        return GroupView(members: living, owners: owners)
    }

    mutating func leave(_ member: String) { self.members[member] = nil }

    // MARK: - Claims

    mutating func claim(_ at: TopicPartition, member: String, expecting epoch: Int64?) -> Claim? {
        var row: OffsetRow = self.offsets[at] ?? OffsetRow(next: 0, epoch: 0, member: nil)
        if self.offsets[at] != nil, let epoch: Int64, row.epoch != epoch { return nil }
        row.epoch += 1
        row.member = member
        self.offsets[at] = row
        return Claim(epoch: row.epoch, next: row.next)
    }

    func claim(_ at: TopicPartition, heldBy member: String) -> Claim? {
        guard let row: OffsetRow = self.offsets[at], row.member == member else { return nil }
        return Claim(epoch: row.epoch, next: row.next)
    }

    mutating func release(_ at: TopicPartition, _ claim: Claim) {
        if self.offsets[at]?.epoch == claim.epoch { self.offsets[at]?.member = nil }
    }

    func waiting(_ at: TopicPartition) -> [RetryEntry] {
        (self.retries[at] ?? [:]).values.map {
            var entry: RetryEntry = $0.entry
            // Not stored.
            entry.waits = 0
            return entry
        }.sorted { $0.offset < $1.offset }
    }

    // MARK: - Changes

    /// False, with nothing done, when the claim does not hold any more.
    mutating func apply(_ change: PartitionChange, _ at: TopicPartition) -> Bool {
        guard var row: OffsetRow = self.offsets[at], row.epoch == change.claim.epoch else { return false }
        if let next: Int64 = change.next {
            if row.next != change.claim.next { return false }
            row.next = next
        }
        var waiting: [Int64: Waiting] = self.retries[at] ?? [:]
        var buried: [Record] = []
        for step: PartitionChange.Step in change.steps {
            switch step {
            case .park(let entry, _, let record):
                if waiting[entry.offset] == nil { waiting[entry.offset] = Waiting(entry: entry, record: record) }
            case .postpone(let entry, _): waiting[entry.offset]?.entry = entry
            case .remove(let entry): if waiting.removeValue(forKey: entry.offset) == nil { return false }
            case .bury(let record, _, _): buried.append(record)
            }
        }
        self.offsets[at] = row
        self.retries[at] = waiting
        self.deadLetters += buried
        return true
    }
}
