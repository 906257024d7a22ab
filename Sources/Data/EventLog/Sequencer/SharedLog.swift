import Store
import Synchronization

/// How the processes that share a log tell one another what happened. Hints only: everything is also looked at now and then.
///
/// | message | says |
/// | --- | --- |
/// | `o` | records without offsets lie in the outbox: for the sequencer |
/// | `g` | a member of a group came or went, or a partition is free |
/// | `h` | partitions have grown; followed by ` topic:partition:next …` when it fits, otherwise look at all |
final class SharedLog: Sendable {
    private static let published: String = "o"
    private static let groups: String = "g"
    static let heads: String = "h"

    /// Wakes the sequencer, if it is in this process.
    let sequencerSignal: WakeSignal = WakeSignal()
    let isSequencer: Atomic<Bool> = Atomic(false)
    private let signals: Mutex<StoreSignals?> = Mutex(nil)

    func connect(_ signals: StoreSignals?) { self.signals.withLock { $0 = signals } }

    /// Records were committed to the outbox. Called by the store's writer threads.
    func recordsCommitted() {
        if self.isSequencer.load(ordering: .sequentiallyConsistent) {
            self.sequencerSignal.wake()
        } else {
            self.send(Self.published)
        }
    }

    func groupsChanged() { self.send(Self.groups) }

    /// Partitions have grown up to their `next`.
    func headsMoved(_ moved: [(topic: String, partition: Int, next: Int64)]) {
        var message: String = Self.heads
        for head: (topic: String, partition: Int, next: Int64) in moved {
            message += " \(head.topic):\(head.partition):\(head.next)"
            if message.utf8.count > StoreSignals.messageBytesMax { return self.send(Self.heads) }
        }
        self.send(message)
    }

    private func send(_ message: String) { self.signals.withLock { $0 }?.send(message) }

    /// What a message means.
    enum Message: Equatable {
        case published, groupsChanged
        /// Empty: look at all.
        case headsMoved([Head])
    }

    struct Head: Equatable {
        let topic: String
        let partition: Int64
        let next: Int64
    }

    /// nil for what another version may say.
    static func read(_ message: String) -> Message? {
        var words: ArraySlice<Substring> = message.split(separator: " ")[...]
        switch words.popFirst() {
        case "o": return .published
        case "g": return .groupsChanged
        case "h":
            var heads: [Head] = []
            for word: Substring in words {
                let parts: [Substring] = word.split(separator: ":")
                guard parts.count == 3, let partition: Int64 = Int64(parts[1]), let next: Int64 = Int64(parts[2]) else {
                    return .headsMoved([])
                }
                heads.append(Head(topic: String(parts[0]), partition: partition, next: next))
            }
            return .headsMoved(heads)
        default: return nil
        }
    }
}
