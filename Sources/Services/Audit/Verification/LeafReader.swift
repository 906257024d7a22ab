import Contracts
import EventLog
package import Store

/// Reads all leaves of a log from a store, in order, as they stand there: the source of `audit verify` and of exports.
///
/// Page by page, each on a snapshot of its own, so that a long verification never holds one. Nothing is believed: batches that
/// fail their checksum are read as far as they go, gaps are told.
package struct LeafReader {
    /// Bytes of the log read at once.
    static let pageBytesDefault: Int = 4 << 20
    /// Leaves of one page of which only the hashes are read.
    private static let purgedMax: Int64 = 65_536
    /// Longest run of missing leaves that is told one by one. A longer one is no gap but a made-up offset: reading ends there.
    private static let gapMax: Int64 = 1 << 20

    private struct LeafPage: Sendable {
        var leaves: [AuditVerifier.Leaf] = []
        /// Reading ends here for good.
        var isLast: Bool = false
        var damage: Damage?
        var batches: [StoredBatch] = []
    }

    /// A batch that could not be read to its end: how many leaves it held, only the next one can tell.
    private struct Damage: Sendable {
        let baseOffset: Int64
        /// The leaf after the one that was told of.
        let next: Int64
    }

    private let store: Store
    private let pageBytesMax: Int
    private var next: Int64 = 0
    private var damage: Damage?
    private var isFinished: Bool = false
    /// The batches the last page was read from.
    private(set) var batches: [StoredBatch] = []

    package init(store: Store, pageBytesMax: Int = LeafReader.pageBytesDefault) {
        self.store = store
        self.pageBytesMax = pageBytesMax
    }

    /// What the log says of itself now.
    package static func describe(_ store: Store) async throws -> AuditLogDescription {
        try await store.read { reader in
            AuditLogDescription(
                head: try TreeTables.head(in: reader), checkpoints: try TreeTables.checkpoints(in: reader).map(\.note),
                keys: try CheckpointKeys.verifiers(in: reader))
        }
    }

    /// The next leaves; none at the end. What is missing at the very end is no leaf: a head must tell of it.
    package mutating func page() async throws -> [AuditVerifier.Leaf] {
        if self.isFinished { return [] }
        let next: Int64 = self.next
        let damage: Damage? = self.damage
        let bytesMax: Int = self.pageBytesMax
        let page: LeafPage = try await self.store.read { reader in
            try Self.page(from: next, after: damage, bytesMax: bytesMax, in: reader)
        }
        self.next += Int64(page.leaves.count)
        self.damage = page.damage
        self.batches = page.batches
        self.isFinished = page.isLast || page.leaves.isEmpty
        return page.leaves
    }

    private static func page(
        from start: Int64, after damage: Damage?, bytesMax: Int, in reader: Reader
    ) throws -> LeafPage {
        let hashes: HashReader = HashReader(reader)
        var page: LeafPage = LeafPage()
        page.damage = damage
        let available: Range<Int64> = try StoredLog.offsets(topic: Topics.auditLog, partition: 0, in: reader)
        if start < available.lowerBound {
            // Only what has a hash in the tree can have been removed by retention.
            let size: Int64 = try TreeTables.head(in: reader).size
            let end: Int64 = min(available.lowerBound, start + Self.purgedMax, max(start, size))
            for leaf in start..<end {
                page.leaves.append(AuditVerifier.Leaf(content: .purged, recordedHash: try hashes.hash(of: leaf)))
            }
            return page
        }
        var from: Int64 = start
        while page.leaves.isEmpty {
            let batches: [StoredBatch] = try StoredLog.batches(
                topic: Topics.auditLog, partition: 0, from: from, bytesMax: bytesMax, in: reader)
            for batch in batches where batch.baseOffset != page.damage?.baseOffset {
                page.batches.append(batch)
                guard try Self.append(batch, from: start, hashes, to: &page) else { return page }
            }
            // What stands at or before `start` may have been read before, as a gap or damage follows it: look behind it.
            guard let last: StoredBatch = batches.last,
                let next: Int64 = try StoredLog.baseOffset(
                    after: last.baseOffset, topic: Topics.auditLog, partition: 0, in: reader)
            else { break }
            from = next
        }
        return page
    }

    /// Adds the leaves up to the end of `batch`; false where reading ends for good.
    private static func append(
        _ batch: StoredBatch, from start: Int64, _ hashes: HashReader, to page: inout LeafPage
    ) throws -> Bool {
        func next() -> Int64 { start + Int64(page.leaves.count) }
        func add(_ content: AuditVerifier.Leaf.Content) throws {
            page.leaves.append(AuditVerifier.Leaf(content: content, recordedHash: try hashes.hash(of: next())))
        }
        guard batch.baseOffset - next() <= Self.gapMax else {
            try add(.missing)
            page.isLast = true
            return false
        }
        let isDamagedBefore: Bool = page.damage?.next == next()
        while next() < batch.baseOffset { try add(isDamagedBefore ? .unreadable : .missing) }
        let salvage: StoredBatch.Salvage = batch.salvage()
        for (offset, value) in salvage.values where offset >= next() {
            guard offset - next() <= Self.gapMax else { break }
            while next() < offset { try add(.missing) }
            try add(.bytes(value))
        }
        page.damage = nil
        if !salvage.isWhole, next() >= batch.baseOffset {
            try add(.unreadable)
            page.damage = Damage(baseOffset: batch.baseOffset, next: next())
        }
        return true
    }
}

/// The leaf hashes of the stored tree: level 0 of its tiles, one loaded at a time.
private final class HashReader {
    private let reader: Reader
    private var tile: TileCoordinate?
    private var bytes: [UInt8] = []

    init(_ reader: Reader) { self.reader = reader }

    /// - Returns: nil where the tree has no such leaf, or its tile is gone.
    func hash(of leaf: Int64) throws -> TreeHash? {
        let width: Int64 = Int64(TileCoordinate.widthMax)
        let tile: TileCoordinate = TileCoordinate(level: 0, index: leaf / width)
        if self.tile != tile {
            self.tile = tile
            self.bytes = try TreeTables.tile(tile, in: self.reader) ?? []
        }
        let start: Int = Int(leaf % width) * TreeHash.length
        guard start + TreeHash.length <= self.bytes.count else { return nil }
        return TreeHash(Array(self.bytes[start..<(start + TreeHash.length)]))
    }
}
