import Store
import TestKit
import Testing
import Time

@testable import EventLog

/// The made-up tables of the simulation against the real ones: the same steps, the same rows.
@Suite struct GroupWorldTests {
    private static let topic: String = "t"

    private static func at(_ partition: Int) -> GroupPartition {
        GroupPartition(group: "g", topic: self.topic, partition: partition)
    }

    private static func record(_ offset: Int64) -> Record {
        Record(
            topic: self.topic, partition: 0, offset: offset, timestamp: Timestamp(milliseconds: 5), key: [1, 2],
            value: [UInt8(truncatingIfNeeded: offset)], isTombstone: false, headers: [])
    }

    /// A change such as readers make, and such as they must never get through with.
    private static func change(_ random: inout SeededRandom, _ row: GroupWorld.OffsetRow) -> PartitionChange {
        let epoch: Int64 = random.oneIn(4) ? row.epoch - 1 : row.epoch
        let from: Int64 = random.oneIn(6) ? row.next + 1 : row.next
        let moves: Bool = random.oneIn(2)
        let offset: Int64 = Int64(random.below(8))
        let due: Timestamp = Timestamp(milliseconds: random.below(Int64(1000)))
        let entry: RetryEntry = RetryEntry(offset: offset, key: [1, 2], tries: random.below(5), due: due)
        var steps: [PartitionChange.Step] = []
        switch random.below(5) {
        case 0: steps = [.park(entry, reason: "r", self.record(offset))]
        case 1: steps = [.postpone(entry, reason: "later")]
        case 2: steps = [.remove(entry)]
        case 3: steps = [.remove(entry), .bury(self.record(offset), tries: 3, reason: "dead")]
        default: break
        }
        return PartitionChange(
            claim: Claim(epoch: epoch, next: from), next: moves ? from + 1 : nil, steps: steps, now: due)
    }

    @Test(arguments: TestEngine.allCases) func agreesWithTheRealTables(_ engine: TestEngine) async throws {
        let place: StorePlace = StorePlace(engine)
        let writer: LogWriter = try LogWriter(topics: [TopicDefinition(Self.topic, partitions: 2)])
        let store: Store = try Store.open(
            StoreConfiguration(folder: place.folder.file("data"), url: place.url),
            migrations: [LogMigrations.service], extensions: [writer])
        var random: SeededRandom = SeededRandom(seed: 7, stream: 3)
        var world: GroupWorld = GroupWorld()
        for step: Int in 0..<400 {
            let partition: Int = random.below(2)
            let (at, place): (GroupPartition, TopicPartition) = (
                Self.at(partition), TopicPartition(topic: Self.topic, partition: partition)
            )
            let row: GroupWorld.OffsetRow = world.offsets[place] ?? GroupWorld.OffsetRow(next: 0, epoch: 0, member: nil)
            switch random.below(6) {
            case 0:
                let (name, expected): (String, Int64?) = (
                    "m\(random.below(3))", random.oneIn(3) ? nil : row.epoch - Int64(random.below(2))
                )
                let model: Claim? = world.claim(place, member: name, expecting: expected)
                let real: Claim? = try await store.write { tx in
                    try ConsumerTables.claim(at, member: name, start: 0, expecting: expected, in: tx)
                }
                #expect(model == real, "step \(step)")
            case 1:
                let claim: Claim = Claim(epoch: row.epoch - Int64(random.below(2)), next: row.next)
                world.release(place, claim)
                try await store.write { tx in try ConsumerTables.release(at, claim, in: tx) }
            default:
                let change: PartitionChange = Self.change(&random, row)
                let model: Bool = world.apply(change, place)
                var real: Bool = true
                do {
                    try await store.write { tx in try ConsumerTables.apply(change, at, in: tx) }
                } catch is FencedError {
                    real = false
                }
                #expect(model == real, "step \(step): \(change)")
            }
            try await Self.compare(world, place, at, store, step)
        }
        await store.close()
    }

    private static func compare(
        _ world: GroupWorld, _ place: TopicPartition, _ at: GroupPartition, _ store: Store, _ step: Int
    ) async throws {
        let (owner, next, waiting): (PartitionOwner?, Int64?, [RetryEntry]) = try await store.read { reader in
            let owner: PartitionOwner? = try ConsumerTables.owners(of: "g", in: reader).first { $0.at == place }
            let next: Int64? = try ConsumerTables.groups(in: reader).first { $0.partition == at.partition }?.next
            return (owner, next, try ConsumerTables.retries(at, in: reader))
        }
        #expect(owner?.epoch == world.offsets[place]?.epoch, "step \(step)")
        #expect(owner?.member == world.offsets[place]?.member, "step \(step)")
        #expect(next == world.offsets[place]?.next, "step \(step)")
        #expect(waiting == world.waiting(place), "step \(step)")
    }
}
