import Bytes

/// One partition as an index into arrays that hold something for every partition of the log.
struct PartitionSlot: Hashable, Sendable {
    let index: Int
}

/// The topics of a running log, each followed by its dead-letter topic. Immutable, so that every thread reads it freely.
final class TopicTable: Sendable {
    let topics: [TopicDefinition]
    private let indexByName: [String: Int]
    /// The first partition slot of each topic, and after the last the number of slots.
    private let firstSlots: [Int]
    private let topicOfSlot: [Int]

    /// Refuses impossible and repeated definitions.
    init(_ definitions: [TopicDefinition]) throws(LogError) {
        var topics: [TopicDefinition] = []
        for definition: TopicDefinition in definitions {
            if let problem: String = definition.problem {
                throw .invalidTopic(name: definition.name, problem: problem)
            }
            topics.append(definition)
            topics.append(definition.deadLetters)
        }
        var indexByName: [String: Int] = [:]
        var firstSlots: [Int] = [0]
        var topicOfSlot: [Int] = []
        for (index, topic): (Int, TopicDefinition) in topics.enumerated() {
            guard indexByName.updateValue(index, forKey: topic.name) == nil else {
                throw .invalidTopic(name: topic.name, problem: "it is defined twice")
            }
            for _ in 0..<topic.partitions { topicOfSlot.append(index) }
            firstSlots.append(topicOfSlot.count)
        }
        self.topics = topics
        self.indexByName = indexByName
        self.firstSlots = firstSlots
        self.topicOfSlot = topicOfSlot
    }

    var slotCount: Int { self.topicOfSlot.count }

    func definition(_ name: String) throws(LogError) -> TopicDefinition {
        self.topics[try self.index(name)]
    }

    func index(_ name: String) throws(LogError) -> Int {
        guard let index: Int = self.indexByName[name] else { throw .unknownTopic(name) }
        return index
    }

    func slot(_ topic: String, _ partition: Int) throws(LogError) -> PartitionSlot {
        let index: Int = try self.index(topic)
        guard partition >= 0, partition < self.topics[index].partitions else {
            throw .unknownPartition(topic: topic, partition: partition)
        }
        return PartitionSlot(index: self.firstSlots[index] + partition)
    }

    /// The slot of a partition that may be unknown: rows of a topic that this binary does not define are left alone.
    func knownSlot(_ topic: String, _ partition: Int64) -> PartitionSlot? {
        guard let index: Int = self.indexByName[topic], partition >= 0, partition < self.topics[index].partitions else {
            return nil
        }
        return PartitionSlot(index: self.firstSlots[index] + Int(partition))
    }

    func slots(of topic: String) throws(LogError) -> Range<Int> {
        self.slots(ofIndex: try self.index(topic))
    }

    func slots(ofIndex index: Int) -> Range<Int> { self.firstSlots[index]..<self.firstSlots[index + 1] }

    func topic(of slot: PartitionSlot) -> TopicDefinition { self.topics[self.topicOfSlot[slot.index]] }

    func partition(of slot: PartitionSlot) -> Int { slot.index - self.firstSlots[self.topicOfSlot[slot.index]] }

    /// The slot a key belongs to, by murmur2 as in Kafka's Java client.
    func slot(topicIndex: Int, key: [UInt8]) -> PartitionSlot {
        let count: Int = self.firstSlots[topicIndex + 1] - self.firstSlots[topicIndex]
        return PartitionSlot(
            index: self.firstSlots[topicIndex] + (count == 1 ? 0 : Murmur2.partition(key, of: count)))
    }
}
