/// What a topic is. Name and partition count are for ever: keys are bound to partitions by the count.
package struct TopicDefinition: Sendable, Equatable {
    package static let partitionsDefault: Int = 6
    package static let retentionDefault: Duration = .seconds(7 * 86_400)

    /// Letters, digits, `.`, `_`, `-`.
    package let name: String
    package let partitions: Int
    /// Batches whose newest record is older are deleted; nil keeps them.
    package let retention: Duration?
    /// Bytes a partition may hold before its oldest batches are deleted; nil is without limit.
    package let retentionBytes: Int64?
    /// Only the last record of each key matters; retention by time and size does not apply.
    package let compacted: Bool

    package init(
        _ name: String, partitions: Int = TopicDefinition.partitionsDefault,
        retention: Duration? = TopicDefinition.retentionDefault, retentionBytes: Int64? = nil, compacted: Bool = false
    ) {
        self.name = name
        self.partitions = partitions
        self.retention = retention
        self.retentionBytes = retentionBytes
        self.compacted = compacted
    }

    /// The audit log: one partition, so that record n is leaf n of the audit tree; kept one year, never compacted.
    package static let auditLog: TopicDefinition = TopicDefinition(
        "audit-log", partitions: 1, retention: .seconds(365 * 86_400))

    /// Where the events go that a consumer group gave up: one partition, kept 30 days.
    package var deadLetters: TopicDefinition {
        TopicDefinition(Self.deadLetterName(of: self.name), partitions: 1, retention: .seconds(30 * 86_400))
    }

    package static let deadLetterSuffix: String = ".dlq"

    package static func deadLetterName(of topic: String) -> String { topic + self.deadLetterSuffix }

    /// What makes the definition impossible, or nil.
    var problem: String? {
        if self.name.isEmpty || self.name.utf8.count > LogLimits.topicNameMax - Self.deadLetterSuffix.utf8.count {
            return "the name must have 1 to \(LogLimits.topicNameMax - Self.deadLetterSuffix.utf8.count) letters"
        }
        for byte: UInt8 in self.name.utf8 where !Self.isNameByte(byte) {
            return "the name may hold letters, digits, '.', '_' and '-' only"
        }
        if self.name == "." || self.name == ".." { return "'.' and '..' are no names" }
        if self.partitions < 1 || self.partitions > LogLimits.partitionsMax {
            return "a topic has 1 to \(LogLimits.partitionsMax) partitions"
        }
        if let retention: Duration = self.retention, retention <= .zero { return "retention must be positive" }
        if let bytes: Int64 = self.retentionBytes, bytes <= 0 { return "retentionBytes must be positive" }
        return nil
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
