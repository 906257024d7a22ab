/// Why the log refused. Inside a `Store.write` closure it undoes the closure like any other error.
package enum LogError: Error, Sendable, Equatable {
    /// The topic is not one of those the log was started with.
    case unknownTopic(String)
    case unknownPartition(topic: String, partition: Int)
    /// A topic was defined with a name, partition count or retention that is not possible.
    case invalidTopic(name: String, problem: String)
    /// Keys are bound to partitions by their number, which therefore never changes.
    case partitionsChanged(topic: String, stored: Int, configured: Int)
    case valueTooLarge(topic: String, bytes: Int, limit: Int)
    case keyTooLarge(topic: String, bytes: Int, limit: Int)
    case tooManyHeaders(topic: String, count: Int, limit: Int)
    case headersTooLarge(topic: String, bytes: Int, limit: Int)
    /// One closure published more than a commit may hold.
    case closureTooLarge(bytes: Int, limit: Int)
    /// An audit entry holds an integer beyond 2^53, which canonical JSON would round; it belongs in a string.
    case inexactAuditNumber(pointer: String)
    /// The store was opened without the log's commit extension.
    case notAttached
    /// Nothing stands at this offset: it is not written yet, or retention has removed it.
    case offsetOutOfRange(topic: String, partition: Int, offset: Int64, earliest: Int64, next: Int64)
    /// A stored batch cannot be read: the file is damaged.
    case corrupt(topic: String, partition: Int, offset: Int64, problem: String)
    /// Offsets in memory and in the database disagree: something else wrote to the log's tables.
    case conflict(topic: String, partition: Int)
    /// A group of this name runs already in this process.
    case groupRunning(String)
    case unknownGroup(String)
    /// A text that should say where to read on does not.
    case invalidPosition(String)
    /// No dead letter stands at this offset, or it was dealt with already.
    case unknownDeadLetter(topic: String, offset: Int64)
}

extension LogError: CustomStringConvertible {
    /// One English sentence: what is wrong and what was expected.
    package var description: String {
        switch self {
        case .unknownTopic(let name): "topic '\(name)' does not exist"
        case .unknownPartition(let topic, let partition): "topic '\(topic)' has no partition \(partition)"
        case .invalidTopic(let name, let problem): "topic '\(name)' cannot be defined: \(problem)"
        case .partitionsChanged(let topic, let stored, let configured):
            "topic '\(topic)' was created with \(stored) partitions and is now defined with \(configured); the number never changes"
        case .valueTooLarge(let topic, let bytes, let limit):
            "the value for topic '\(topic)' has \(bytes) bytes, at most \(limit) are allowed"
        case .keyTooLarge(let topic, let bytes, let limit):
            "the key for topic '\(topic)' has \(bytes) bytes, at most \(limit) are allowed"
        case .tooManyHeaders(let topic, let count, let limit):
            "the record for topic '\(topic)' has \(count) headers, at most \(limit) are allowed"
        case .headersTooLarge(let topic, let bytes, let limit):
            "the headers for topic '\(topic)' have \(bytes) bytes, at most \(limit) are allowed"
        case .closureTooLarge(let bytes, let limit):
            "one change would publish \(bytes) bytes, at most \(limit) are allowed"
        case .inexactAuditNumber(let pointer):
            "the audit entry's integer at '\(pointer)' is beyond 2^53 and would be rounded; write it as a string"
        case .notAttached: "the store was opened without the log"
        case .offsetOutOfRange(let topic, let partition, let offset, let earliest, let next):
            "offset \(offset) of '\(topic)' partition \(partition) is not there; it holds \(earliest) up to, not including, \(next)"
        case .corrupt(let topic, let partition, let offset, let problem):
            "the batch at offset \(offset) of '\(topic)' partition \(partition) is damaged: \(problem); restore a backup"
        case .conflict(let topic, let partition):
            "the offsets of '\(topic)' partition \(partition) were changed by something else than the log"
        case .groupRunning(let name): "consumer group '\(name)' runs already"
        case .unknownGroup(let name): "consumer group '\(name)' does not exist"
        case .invalidPosition(let text):
            "'\(text)' is no position; expected 'earliest', 'latest', a time or partition:offset pairs such as '0:12,1:7'"
        case .unknownDeadLetter(let topic, let offset): "there is no open dead letter at offset \(offset) of '\(topic)'"
        }
    }
}
