package import Store

/// The log's part in every commit. Made before the store, which is opened with it, and then given to `EventLog.open`.
package final class LogWriter: CommitExtension {
    let topics: TopicTable
    let heads: LogHeads

    /// - Parameters:
    ///   - topics: every topic that can be published to. Each gets a dead-letter topic `<name>.dlq` beside it.
    ///   - tailCacheBytes: bytes of the newest batches kept in memory for readers at the end of the log.
    package init(
        topics: [TopicDefinition], tailCacheBytes: Int = LogLimits.tailCacheBytes
    ) throws(LogError) {
        self.topics = try TopicTable(topics)
        self.heads = LogHeads(slotCount: self.topics.slotCount, recentBytesMax: tailCacheBytes)
    }

    package func makeAttachment() -> any CommitAttachment {
        LogStage(topics: self.topics, heads: self.heads)
    }
}
