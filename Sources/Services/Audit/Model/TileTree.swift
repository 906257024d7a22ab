/// The tree over stored tiles: joins the hashes of a tile where a subtree lies between two tile levels.
///
/// One proof touches few tiles; each is loaded once.
package final class TileTree: SubtreeSource {
    private let load: (TileCoordinate) throws -> [UInt8]?
    private var loaded: [TileCoordinate: [UInt8]] = [:]

    /// - Parameter load: the stored bytes of a tile, 32 for each hash, nil where there is none.
    package init(load: @escaping (TileCoordinate) throws -> [UInt8]?) { self.load = load }

    package func subtree(level: Int, index: Int64) throws -> TreeHash {
        let (tile, offset, count): (TileCoordinate, Int, Int) = TileCoordinate.locate(level: level, index: index)
        let bytes: [UInt8] = try self.bytes(of: tile)
        guard let hash: TreeHash = TileTree.join(bytes, offset: offset, count: count) else {
            throw TreeError.missingNode(level: level, index: index)
        }
        return hash
    }

    private func bytes(of tile: TileCoordinate) throws -> [UInt8] {
        if let known: [UInt8] = self.loaded[tile] { return known }
        let bytes: [UInt8] = try self.load(tile) ?? []
        self.loaded[tile] = bytes
        return bytes
    }

    /// The root over `count` (a power of two) hashes of a tile from `offset`; nil where the tile ends before.
    static func join(_ tile: [UInt8], offset: Int, count: Int) -> TreeHash? {
        guard (offset + count) * TreeHash.length <= tile.count else { return nil }
        var hashes: [TreeHash] = []
        for position in offset..<(offset + count) {
            let start: Int = position * TreeHash.length
            guard let hash: TreeHash = TreeHash(Array(tile[start..<(start + TreeHash.length)])) else { return nil }
            hashes.append(hash)
        }
        while hashes.count > 1 {
            var above: [TreeHash] = []
            for pair in stride(from: 0, to: hashes.count, by: 2) {
                above.append(TreeHash(left: hashes[pair], right: hashes[pair + 1]))
            }
            hashes = above
        }
        return hashes.first
    }
}

/// Appends leaf hashes to the tiles at the right edge of the tree and remembers which tiles changed.
///
/// Lives as long as one batch: made from the stored edge, asked for what changed, written in the same transaction.
package struct TileAppender: Sendable {
    /// A tile to be stored in place of what was there.
    package struct Changed: Sendable, Equatable {
        package let tile: TileCoordinate
        package let bytes: [UInt8]
    }

    package private(set) var size: Int64
    /// Bytes of the partial tile of each level; empty where the level ends with a full tile.
    private var edge: [[UInt8]]
    private var filled: [Changed] = []
    private var touchedLevels: Int = 0

    /// - Parameter edge: the partial tiles of a tree of `size` leaves by level, as `edgeTiles(size:)` names them.
    package init(size: Int64, edge: [TileCoordinate: [UInt8]]) throws(TreeError) {
        self.size = size
        self.edge = []
        for tile in Self.edgeTiles(size: size) {
            let width: Int = tile.width(size: size)
            let bytes: [UInt8] = edge[tile] ?? []
            // A longer stored tile can only be damage: tiles and size are written in one transaction.
            guard bytes.count == width * TreeHash.length else {
                throw .missingNode(level: tile.level * TileCoordinate.height, index: tile.index)
            }
            self.edge.append(bytes)
        }
    }

    /// The tile at the right end of each level, the empty ones too: what the next leaves go into.
    package static func edgeTiles(size: Int64) -> [TileCoordinate] {
        var tiles: [TileCoordinate] = []
        var hashes: Int64 = size
        for level in 0...TileCoordinate.levelMax {
            tiles.append(TileCoordinate(level: level, index: hashes / Int64(TileCoordinate.widthMax)))
            hashes /= Int64(TileCoordinate.widthMax)
            if hashes == 0 { break }
        }
        return tiles
    }

    package mutating func append(_ leaf: TreeHash) {
        var hash: TreeHash = leaf
        var level: Int = 0
        while true {
            if level == self.edge.count { self.edge.append([]) }
            self.edge[level].append(contentsOf: hash.bytes)
            self.touchedLevels = max(self.touchedLevels, level + 1)
            guard self.edge[level].count == TileCoordinate.widthMax * TreeHash.length else { break }
            let index: Int64 = self.size >> Int64(TileCoordinate.height * (level + 1))
            let bytes: [UInt8] = self.edge[level]
            self.filled.append(Changed(tile: TileCoordinate(level: level, index: index), bytes: bytes))
            self.edge[level] = []
            guard let joined: TreeHash = TileTree.join(bytes, offset: 0, count: TileCoordinate.widthMax) else { break }
            hash = joined
            level += 1
        }
        self.size += 1
    }

    /// Takes out the tiles that were filled since the last time: for who appends without end.
    mutating func takeFilled() -> [Changed] {
        defer { self.filled.removeAll() }
        return self.filled
    }

    /// Every tile that differs from what was stored.
    package var changed: [Changed] {
        var tiles: [Changed] = self.filled
        for level in 0..<self.touchedLevels where !self.edge[level].isEmpty {
            let index: Int64 = self.size >> Int64(TileCoordinate.height * (level + 1))
            tiles.append(Changed(tile: TileCoordinate(level: level, index: index), bytes: self.edge[level]))
        }
        return tiles
    }

    /// The root over all leaves: the subtrees it needs all lie in the partial tiles.
    package var root: TreeHash {
        var parts: [TreeHash] = []
        for bytes in self.edge.reversed() { Self.appendSubtrees(of: bytes, to: &parts) }
        return MerkleTree.fold(parts)
    }

    /// The complete subtrees of a partial tile, the largest first.
    private static func appendSubtrees(of tile: [UInt8], to parts: inout [TreeHash]) {
        let width: Int = tile.count / TreeHash.length
        var offset: Int = 0
        for bit in stride(from: TileCoordinate.height - 1, through: 0, by: -1) where width & (1 << bit) != 0 {
            if let hash: TreeHash = TileTree.join(tile, offset: offset, count: 1 << bit) { parts.append(hash) }
            offset += 1 << bit
        }
    }
}
