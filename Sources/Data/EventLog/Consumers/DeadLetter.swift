import Store
package import Time

/// A record that a consumer group gave up, as it lies in `<topic>.dlq`.
package struct DeadLetter: Sendable {
    /// Its offset in the dead-letter topic, by which it is redriven or dropped.
    package let offset: Int64
    package let group: String
    package let topic: String
    /// Where the record stood.
    package let partition: Int
    package let recordOffset: Int64
    package let tries: Int
    package let reason: String
    package let failedAt: Timestamp
    /// nil while it is open.
    package let outcome: DeadLetterOutcome?
    /// Key, value and headers of the record itself.
    package let record: Record
}

/// What was done about a dead letter.
package enum DeadLetterOutcome: String, Sendable {
    /// It was given to its group again.
    case redriven
    /// Nobody wants it any more.
    case dropped
}

/// Why and by whom a record was given up: turns it into a record of the dead-letter topic and back.
///
/// Key, value and headers stay as they were; these headers are added behind them.
struct DeadLetterNote: Sendable {
    private static let groupHeader: String = "dlq_group"
    private static let partitionHeader: String = "dlq_partition"
    private static let offsetHeader: String = "dlq_offset"
    private static let timestampHeader: String = "dlq_timestamp"
    private static let triesHeader: String = "dlq_tries"
    private static let reasonHeader: String = "dlq_reason"
    private static let headerCount: Int = 6

    let at: GroupPartition
    let tries: Int
    let reason: String

    init(at: GroupPartition, tries: Int, reason: String) {
        self.at = at
        self.tries = tries
        self.reason = reason
    }

    func publish(_ record: Record, in transaction: Transaction) throws(LogError) {
        var headers: HeaderBlock = HeaderBlock(record.headers)
        headers.add(Self.groupHeader, self.at.group)
        headers.add(Self.partitionHeader, String(self.at.partition))
        headers.add(Self.offsetHeader, String(record.offset))
        headers.add(Self.timestampHeader, String(record.timestamp.milliseconds))
        headers.add(Self.triesHeader, String(self.tries))
        headers.add(Self.reasonHeader, self.reason)
        try transaction.publishAgain(
            topic: TopicDefinition.deadLetterName(of: self.at.topic), key: record.key,
            value: record.isTombstone ? nil : record.value, headers: headers)
    }

    /// Reads a record of a dead-letter topic; nil when it is none of ours.
    static func read(_ letter: Record, topic: String, outcome: DeadLetterOutcome?) -> DeadLetter? {
        let own: Int = letter.headers.count - self.headerCount
        guard own >= 0 else { return nil }
        // Only the last headers are ours: a record may carry headers of these names itself.
        let added: [RecordHeader] = Array(letter.headers[own...])
        guard added[0].name == self.groupHeader, let group: String = added[0].text,
            added[1].name == self.partitionHeader, let partition: Int = added[1].text.flatMap({ Int($0) }),
            added[2].name == self.offsetHeader, let offset: Int64 = added[2].text.flatMap({ Int64($0) }),
            added[3].name == self.timestampHeader, let timestamp: Int64 = added[3].text.flatMap({ Int64($0) }),
            added[4].name == self.triesHeader, let tries: Int = added[4].text.flatMap({ Int($0) }),
            added[5].name == self.reasonHeader
        else { return nil }
        let record: Record = Record(
            topic: topic, partition: partition, offset: offset, timestamp: Timestamp(milliseconds: timestamp),
            key: letter.key, value: letter.value, isTombstone: letter.isTombstone,
            headers: Array(letter.headers[..<own]))
        return DeadLetter(
            offset: letter.offset, group: group, topic: topic, partition: partition, recordOffset: offset, tries: tries,
            reason: added[5].text ?? "", failedAt: letter.timestamp, outcome: outcome, record: record)
    }
}
