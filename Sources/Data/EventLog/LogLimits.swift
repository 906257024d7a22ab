/// Limits of the log. What goes beyond them is refused when it is published, inside the closure that does it.
package enum LogLimits {
    /// Bytes of a record's value.
    package static let valueBytesMax: Int = 1 << 20
    /// Bytes of a record's key.
    package static let keyBytesMax: Int = 1 << 10
    /// Headers of a record.
    package static let headersMax: Int = 64
    /// Bytes of a record's headers, names and lengths included.
    package static let headerBytesMax: Int = 8 << 10
    /// Bytes that one closure may publish.
    package static let closureBytesMax: Int = 32 << 20
    /// A batch that has reached this size is closed and another one begun, so that a reader need not take more at once.
    package static let batchBytesTarget: Int = 1 << 20
    /// Letters of a topic's name (Kafka's own limit).
    package static let topicNameMax: Int = 249
    /// Partitions of a topic.
    package static let partitionsMax: Int = 1024
    /// Bytes of committed batches kept in memory for readers at the end of the log.
    package static let tailCacheBytes: Int = 2 << 20
}
