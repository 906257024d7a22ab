import Testing

@testable import Audit

@Suite struct TileTreeTests {
    @Test func tilesHaveTheWidthsOfTheSpecification() {
        // The example of tlog-tiles: a tree of 70,000.
        func width(_ level: Int, _ index: Int64, size: Int64 = 70_000) -> Int {
            TileCoordinate(level: level, index: index).width(size: size)
        }
        #expect(width(0, 0) == 256 && width(0, 272) == 256 && width(0, 273) == 112 && width(0, 274) == 0)
        #expect(width(1, 0) == 256 && width(1, 1) == 17 && width(1, 2) == 0)
        #expect(width(2, 0) == 1 && width(3, 0) == 0)
        #expect(width(0, 0, size: 256) == 256 && width(1, 0, size: 256) == 1)
        #expect(width(40, 0) == 0 && width(0, Int64.max) == 0)
    }

    @Test(
        arguments: [
            (0, 0, 256, "0/000"), (0, 999, 256, "0/999"), (0, 1_000, 256, "0/x001/000"),
            (3, 1_234_067, 256, "3/x001/x234/067"), (0, 273, 112, "0/273.p/112"),
            (12, 1_234_067, 1, "12/x001/x234/067.p/1"),
        ] as [(Int, Int64, Int, String)])
    func pathsAreWrittenAndReadAsSpecified(level: Int, index: Int64, width: Int, text: String) {
        let path: TilePath = TilePath(tile: TileCoordinate(level: level, index: index), width: width)
        #expect(path.text == text)
        #expect(TilePath(parsing: text) == path)
    }

    @Test(arguments: [
        "", "0", "0/", "0/1", "0/01", "0/0001", "00/000", "64/000", "-1/000", "a/000", "0/x000/000", "0/x001/x000",
        "0/001/000",
        "0/000.p", "0/000.p/", "0/000.p/0", "0/000.p/256", "0/000.p/01", "0/000.p/x", "0/x001", "0/000/", "0/+01",
        "0/x001/x001/x001/x001/x001/001",
    ])
    func anyOtherSpellingOfAPathIsRefused(text: String) {
        #expect(TilePath(parsing: text) == nil)
    }

    @Test func batchesOfAnySizeMakeTheSameTiles() throws {
        let entries: [[UInt8]] = makeEntries(70_000)
        let whole: MemoryTree = try MemoryTree(entries)
        #expect(whole.tiles.count == 274 + 2 + 1)
        for (tile, bytes) in whole.tiles { #expect(bytes.count == 32 * tile.width(size: 70_000)) }
        var batched: MemoryTree = try MemoryTree()
        var at: Int = 0
        for step in [1, 1, 254, 1, 255, 256, 257, 3, 65_000] {
            try batched.append(entries[at..<(at + step)])
            at += step
            let root: TreeHash = try MerkleTree.root(size: Int64(at), from: batched.source)
            #expect(batched.root == root)
            #expect(try MerkleTree.root(size: Int64(at), from: whole.source) == root)
        }
        try batched.append(entries[at...])
        #expect(batched.tiles == whole.tiles)
        #expect(batched.root == whole.root)
    }

    @Test func proofsReachAcrossTileLevels() throws {
        let entries: [[UInt8]] = makeEntries(70_000)
        let tree: MemoryTree = try MemoryTree(entries)
        for leaf: Int64 in [0, 255, 256, 65_535, 65_536, 69_888, 69_999] {
            let proof: [TreeHash] = try MerkleTree.inclusionProof(leaf: leaf, size: 70_000, from: tree.source)
            #expect(
                MerkleTree.verifiesInclusion(
                    of: TreeHash(leaf: entries[Int(leaf)]), leaf: leaf, size: 70_000, root: tree.root, proof: proof))
        }
        for size: Int64 in [1, 255, 256, 257, 65_535, 65_536, 65_537, 69_999] {
            let root: TreeHash = try MerkleTree.root(size: size, from: tree.source)
            let proof: [TreeHash] = try MerkleTree.consistencyProof(from: size, to: 70_000, from: tree.source)
            #expect(MerkleTree.verifiesConsistency(from: size, root: root, to: 70_000, root: tree.root, proof: proof))
        }
    }

    @Test func aDamagedEdgeIsRefusedRatherThanBuiltUpon() throws {
        let tree: MemoryTree = try MemoryTree(makeEntries(300))
        let edge: TileCoordinate = TileCoordinate(level: 0, index: 1)
        var tiles: [TileCoordinate: [UInt8]] = tree.tiles
        tiles[edge] = tree.tiles[edge].map { Array($0.dropLast(32)) }
        #expect(throws: TreeError.missingNode(level: 0, index: 1)) { try TileAppender(size: 300, edge: tiles) }
        tiles[edge] = nil
        #expect(throws: TreeError.missingNode(level: 0, index: 1)) { try TileAppender(size: 300, edge: tiles) }
    }

    @Test func onlyTilesThatChangedAreWritten() throws {
        let tree: MemoryTree = try MemoryTree(makeEntries(300))
        var appender: TileAppender = try TileAppender(size: 300, edge: tree.tiles)
        #expect(appender.changed.isEmpty)
        appender.append(TreeHash(leaf: [1]))
        #expect(appender.changed.map(\.tile) == [TileCoordinate(level: 0, index: 1)])
    }
}
