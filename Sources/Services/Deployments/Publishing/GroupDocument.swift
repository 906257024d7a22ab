import GatewayConfiguration

/// The document of one gateway group, with enough of its recent past to tell a gateway just what changed.
struct GroupDocument: Sendable {
    /// Changes remembered: a gateway further behind gets the whole document.
    static let historyMax: Int = 4_096

    private struct Change: Sendable {
        let version: Int64
        let kind: EntryKind
        let key: EntryKey
    }

    private(set) var document: HashedDocument = HashedDocument()
    private var history: [Change] = []
    /// The version before the oldest remembered change.
    private var historyBegins: Int64 = 0

    var version: Int64 { self.document.version }

    /// Begins with a document whose past is not known.
    init(version: Int64) {
        if version > 0 { self.document.advance(to: version) }
        self.historyBegins = version
    }

    /// Puts an entry in, or takes it out when there is none any more. It belongs to the version that `advance` names next.
    mutating func set(_ kind: EntryKind, _ key: EntryKey, _ entry: ReadEntry?, version: Int64) {
        if let entry: ReadEntry { self.document.put(entry) } else { self.document.remove(kind, key) }
        self.history.append(Change(version: version, kind: kind, key: key))
    }

    /// Remembers nothing of what led here: gateways that run anything else get the whole document.
    ///
    /// What is read at a start says how things are and not what ended before: a change made from it would leave that in place.
    mutating func forgetPast() {
        self.history = []
        self.historyBegins = self.version
    }

    mutating func advance(to version: Int64) {
        if version > self.document.version { self.document.advance(to: version) }
        guard self.history.count > Self.historyMax else { return }
        let dropped: Int = self.history.count - Self.historyMax / 2
        self.historyBegins = self.history[dropped - 1].version
        self.history.removeFirst(dropped)
        self.history.removeAll { $0.version <= self.historyBegins }
    }

    /// What leads from `base` to now; nil when that is not remembered and the whole document must be sent.
    func delta(since base: Int64) -> SnapshotDelta? {
        guard base >= self.historyBegins, base > 0, base <= self.version else { return nil }
        var delta: SnapshotDelta = SnapshotDelta(base: base, version: self.version, hash: self.document.hash)
        var seen: Set<String> = []
        for change in self.history where change.version > base {
            guard seen.insert("\(change.kind.rawValue) \(change.key.text)").inserted else { continue }
            delta.add(change.kind, change.key, from: self.document)
        }
        return delta
    }
}
