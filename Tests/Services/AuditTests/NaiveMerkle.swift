import Crypto

@testable import Audit

/// RFC 9162, 2.1 written down word by word over the entries themselves: slow, and independent of what it checks.
enum NaiveMerkle {
    static func root(_ entries: ArraySlice<[UInt8]>) -> [UInt8] {
        guard let first: [UInt8] = entries.first else { return SHA256.hash([]) }
        if entries.count == 1 { return SHA256.hash([0x00] + first) }
        let middle: Int = entries.startIndex + self.split(entries.count)
        return SHA256.hash([0x01] + self.root(entries[..<middle]) + self.root(entries[middle...]))
    }

    static func path(_ leaf: Int, _ entries: ArraySlice<[UInt8]>) -> [[UInt8]] {
        if entries.count == 1 { return [] }
        let half: Int = self.split(entries.count)
        let middle: Int = entries.startIndex + half
        if leaf < half { return self.path(leaf, entries[..<middle]) + [self.root(entries[middle...])] }
        return self.path(leaf - half, entries[middle...]) + [self.root(entries[..<middle])]
    }

    static func proof(_ size: Int, _ entries: ArraySlice<[UInt8]>) -> [[UInt8]] { self.subproof(size, entries, true) }

    private static func subproof(_ size: Int, _ entries: ArraySlice<[UInt8]>, _ isWhole: Bool) -> [[UInt8]] {
        if size == entries.count { return isWhole ? [] : [self.root(entries)] }
        let half: Int = self.split(entries.count)
        let middle: Int = entries.startIndex + half
        if size <= half { return self.subproof(size, entries[..<middle], isWhole) + [self.root(entries[middle...])] }
        return self.subproof(size - half, entries[middle...], false) + [self.root(entries[..<middle])]
    }

    private static func split(_ count: Int) -> Int {
        var power: Int = 1
        while power * 2 < count { power *= 2 }
        return power
    }
}

/// Entries of different lengths: number n repeated n mod 7 times, and its own number, so that no two are equal.
func makeEntries(_ count: Int) -> [[UInt8]] {
    (0..<count).map { (number: Int) -> [UInt8] in
        Array("entry \(number)".utf8) + [UInt8](repeating: UInt8(number % 251), count: number % 7)
    }
}

/// A tree kept as tiles in memory, filled in batches as the service does.
struct MemoryTree {
    var tiles: [TileCoordinate: [UInt8]] = [:]
    var size: Int64 = 0
    var root: TreeHash = TreeHash.ofEmptyTree

    mutating func append(_ entries: some Sequence<[UInt8]>) throws {
        var edge: [TileCoordinate: [UInt8]] = [:]
        for tile in TileAppender.edgeTiles(size: self.size) { edge[tile] = self.tiles[tile] }
        var appender: TileAppender = try TileAppender(size: self.size, edge: edge)
        for entry in entries { appender.append(TreeHash(leaf: entry)) }
        for changed in appender.changed { self.tiles[changed.tile] = changed.bytes }
        self.size = appender.size
        self.root = appender.root
    }

    var source: TileTree {
        let tiles: [TileCoordinate: [UInt8]] = self.tiles
        return TileTree { (tile: TileCoordinate) -> [UInt8]? in tiles[tile] }
    }

    init(_ entries: [[UInt8]] = []) throws { try self.append(entries) }
}
