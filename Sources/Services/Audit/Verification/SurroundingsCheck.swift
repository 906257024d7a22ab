import Contracts
import EventLog
import JSON
import Store
import Time

/// Compares what stands around the leaves in a store with them: what is beside each in the log, the index they are found by, the tiles
/// above them, what tombstones state, and whether keys that open sealed values are there.
///
/// None of it is under the root of the tree: an export has none of it and verifies without. But who alters it hides an entry from
/// lists, makes wrong proofs, or erases somebody without saying so.
struct SurroundingsCheck {
    /// The first of a kind, and how many there are.
    private struct Bad {
        var first: Int64?
        var count: Int64 = 0

        mutating func note(_ leaf: Int64) {
            if self.first == nil { self.first = leaf }
            self.count += 1
        }
    }

    private let store: Store
    /// Leaves of the tree as it was when the verification began; it may grow meanwhile.
    private let size: Int64
    private var next: Int64 = 0
    private var tiles: TileAppender
    private var badTiles: [TileCoordinate] = []
    private var badIndex: Bad = Bad()
    private var badRecord: Bad = Bad()
    private var badTombstone: Int64?
    /// The keys that seal something, each with the first entry where it does.
    private var keys: [String: Int64] = [:]
    private var keysTold: Set<String> = []

    init(_ store: Store, size: Int64) throws {
        self.store = store
        self.size = size
        self.tiles = try TileAppender(size: 0, edge: [:])
    }

    /// Takes the next page of leaves, and the batches they were read from.
    mutating func add(_ page: [AuditVerifier.Leaf], from batches: [StoredBatch]) async throws {
        let first: Int64 = self.next
        self.next += Int64(page.count)
        var entries: [Int64: JSONValue] = [:]
        for (position, leaf) in page.enumerated() {
            let number: Int64 = first + Int64(position)
            if number < self.size { self.addHash(leaf) }
            guard case .bytes(let bytes) = leaf.content else { continue }
            let entry: JSONValue = (try? JSONReader.parse(bytes)) ?? .null
            entries[number] = entry
            self.noteKeys(of: entry, number)
        }
        for batch in batches { self.check(batch, against: entries) }
        try await self.checkIndex(first..<min(self.next, self.size), entries.mapValues { EntryFields($0) })
        try await self.compare(self.tiles.takeFilled())
        try await self.checkTombstones(entries)
    }

    private mutating func addHash(_ leaf: AuditVerifier.Leaf) {
        if let hash: TreeHash = leaf.recordedHash { return self.tiles.append(hash) }
        if case .bytes(let bytes) = leaf.content { return self.tiles.append(TreeHash(leaf: bytes)) }
        self.tiles.append(TreeHash.ofEmptyTree)
    }

    // MARK: - The log

    private mutating func check(_ batch: StoredBatch, against entries: [Int64: JSONValue]) {
        guard let records: [Record] = batch.records(topic: Topics.auditLog, partition: 0) else {
            if batch.baseOffset < self.next { self.badRecord.note(batch.baseOffset) }
            return
        }
        for record in records {
            guard let entry: JSONValue = entries[record.offset] else { continue }
            if !Self.isTold(by: record, entry) { self.badRecord.note(record.offset) }
        }
    }

    /// Whether key, headers and time of a record repeat what its entry says, and say nothing else.
    private static func isTold(by record: Record, _ entry: JSONValue) -> Bool {
        let fields: EntryFields = EntryFields(entry)
        let time: String? = entry["time"]?.text
        // A bit for each header that is there once.
        var told: Int = 0
        for header in record.headers {
            let expected: String?
            let bit: Int
            switch header.name {
            case "ce_specversion": (expected, bit) = ("1.0", 0)
            case "content-type": (expected, bit) = ("application/json", 1)
            case "ce_source": (expected, bit) = (Event.sourceDefault, 2)
            case "ce_time": (expected, bit) = (time, 3)
            case "ce_id": (expected, bit) = (entry["id"]?.text, 4)
            case "ce_type": (expected, bit) = (fields.eventType, 5)
            case "ce_subject": (expected, bit) = (fields.resourceID, 6)
            case "tenantid": (expected, bit) = (fields.tenant, 7)
            case "actor": (expected, bit) = (fields.actor, 8)
            case "traceparent":
                // The entry has the trace and not the span.
                guard let trace: String = entry["trace_id"]?.text, header.text?.hasPrefix("00-\(trace)-") == true
                else { return false }
                continue
            default: return false
            }
            guard let expected: String, header.text == expected, told & (1 << bit) == 0 else { return false }
            told |= 1 << bit
        }
        return told == Self.headersTold
            && record.keyText == fields.resourceID
            && record.timestamp.milliseconds == time.flatMap { Timestamp(rfc3339: $0) }?.milliseconds
    }

    /// The bits of what each record has beside `traceparent`.
    private static let headersTold: Int = (1 << 9) - 1

    // MARK: - The index

    private mutating func checkIndex(_ leaves: Range<Int64>, _ entries: [Int64: EntryFields]) async throws {
        let (rows, removed): ([(leaf: Int64, fields: EntryFields)], Int64) = try await self.store.read { reader in
            (
                try EntryIndex.rows(of: leaves, in: reader),
                // Retention may have gone on since the page was read.
                try StoredLog.offsets(topic: Topics.auditLog, partition: 0, in: reader).lowerBound
            )
        }
        var row: Int = 0
        for leaf in leaves {
            var found: [EntryFields] = []
            while row < rows.count, rows[row].leaf == leaf {
                found.append(rows[row].fields)
                row += 1
            }
            guard let entry: EntryFields = entries[leaf], leaf >= removed else { continue }
            if found != [entry] { self.badIndex.note(leaf) }
        }
    }

    // MARK: - The tiles

    private mutating func compare(_ tiles: [TileAppender.Changed]) async throws {
        // Level 0 is where the hashes came from.
        let above: [TileAppender.Changed] = tiles.filter { $0.tile.level > 0 }
        if above.isEmpty { return }
        self.badTiles += try await self.store.read { reader in
            try above.filter { tile in
                // As the beginning of what is there: the tree may have grown.
                try TreeTables.tile(tile.tile, in: reader)?.starts(with: tile.bytes) != true
            }
        }.map(\.tile)
    }

    private mutating func checkTombstones(_ entries: [Int64: JSONValue]) async throws {
        guard self.badTombstone == nil else { return }
        for leaf in entries.keys.sorted() {
            guard let entry: JSONValue = entries[leaf], entry["event_type"]?.text == Tombstone.eventType,
                let tombstone: Tombstone = Tombstone(entry: entry.canonical())
            else { continue }
            let end: Int64 = tombstone.leaves.upperBound
            let root: TreeHash? = try await self.store.read { reader in
                try? MerkleTree.root(size: end, from: TreeTables.tree(in: reader))
            }
            if root == nil || root != tombstone.root {
                self.badTombstone = leaf
                return
            }
        }
    }

    // MARK: - Keys

    private mutating func noteKeys(of entry: JSONValue, _ leaf: Int64) {
        for key in EntryOpener.keysNeeded(for: [entry], .everything) where self.keys[key] == nil {
            self.keys[key] = leaf
        }
        guard entry["event_type"]?.text == SubjectKeys.erasedEvent else { return }
        for key in entry["changes"]?["keys"]?.elements ?? [] {
            if let id: String = key.text { self.keysTold.insert(id) }
        }
    }

    // MARK: - The verdict

    /// Everything that is wrong around leaves that are right.
    mutating func findings() async throws -> [AuditFinding] {
        try await self.compare(self.tiles.changed)
        let (misfit, stray, keys): ((tile: TileCoordinate, more: Int64)?, Int64?, [String: Int64]) =
            try await self.store.read { [keys = self.keys] reader in
                let size: Int64 = try TreeTables.head(in: reader).size
                var left: [String: Int64] = keys
                try SubjectKeyTable.visitIDs(in: reader) { left[$0] = nil }
                return (
                    try TreeTables.misfit(size: size, in: reader), try EntryIndex.stray(size: size, in: reader), left
                )
            }
        if let stray: Int64 { self.badIndex.note(stray) }
        var findings: [AuditFinding] = []
        if let leaf: Int64 = self.badRecord.first {
            findings.append(.badRecord(leaf: leaf, more: self.badRecord.count - 1))
        }
        if let leaf: Int64 = self.badIndex.first {
            findings.append(.badIndex(leaf: leaf, more: self.badIndex.count - 1))
        }
        if let tile: TileCoordinate = self.badTiles.first ?? misfit?.tile {
            let count: Int64 = Int64(self.badTiles.count) + (misfit.map { $0.more + 1 } ?? 0)
            findings.append(.badTile(level: tile.level, index: tile.index, more: count - 1))
        }
        if let leaf: Int64 = self.badTombstone { findings.append(.badTombstone(leaf: leaf)) }
        let lost: [String: Int64] = keys.filter { !self.keysTold.contains($0.key) }
        if let first: (key: String, value: Int64) = lost.min(by: { ($0.value, $0.key) < ($1.value, $1.key) }) {
            findings.append(.lostKey(id: first.key, leaf: first.value, more: Int64(lost.count) - 1))
        }
        return findings
    }
}
