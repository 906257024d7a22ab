package import Store
import Synchronization

/// The log's part in every commit. Made before the store, which is opened with it, and then given to `EventLog.open`.
package final class LogWriter: CommitExtension {
    let topics: TopicTable
    let heads: LogHeads
    let shared: SharedLog = SharedLog()
    let sealing: SealingPlace = SealingPlace()
    private let isOpened: Atomic<Bool> = Atomic(false)

    /// - Parameters:
    ///   - topics: every topic that can be published to. Each gets a dead-letter topic `<name>.dlq` beside it.
    ///   - tailCacheBytes: bytes of the newest batches kept in memory for readers at the end of the log.
    package init(
        topics: [TopicDefinition], tailCacheBytes: Int = LogLimits.tailCacheBytes
    ) throws(LogError) {
        self.topics = try TopicTable(topics)
        self.heads = LogHeads(slotCount: self.topics.slotCount, recentBytesMax: tailCacheBytes)
    }

    /// True once: what earlier processes have left behind is removed then.
    func isFirstOpening() -> Bool { !self.isOpened.exchange(true, ordering: .relaxed) }

    package func makeAttachment() -> any CommitAttachment {
        LogStage(topics: self.topics, heads: self.heads, shared: self.shared, sealing: self.sealing)
    }
}
