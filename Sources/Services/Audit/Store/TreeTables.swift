import Store
import Time

/// The SQL of the tree: its head, its tiles, its signed checkpoints.
enum TreeTables {
    /// Somebody else has grown the tree meanwhile.
    struct Outrun: Error {}

    static func head(in database: some Queryable) throws -> TreeHead {
        let stored: (size: Int64, root: [UInt8])? = try database.first("SELECT size, root FROM audit_tree WHERE id = 1")
        {
            (row: Row) throws(StoreError) -> (size: Int64, root: [UInt8]) in (try row.int(0), try row.bytes(1))
        }
        guard let stored else { return TreeHead(size: 0, root: TreeHash.ofEmptyTree) }
        guard let root: TreeHash = TreeHash(stored.root) else { throw TreeError.missingNode(level: 63, index: 0) }
        return TreeHead(size: stored.size, root: root)
    }

    static func tile(_ tile: TileCoordinate, in database: some Queryable) throws(StoreError) -> [UInt8]? {
        try database.first(
            "SELECT hashes FROM audit_tiles WHERE level = $1 AND tile_index = $2", .int(Int64(tile.level)),
            .int(tile.index)
        ) { (row: Row) throws(StoreError) -> [UInt8] in try row.bytes(0) }
    }

    /// The first tile in the store that has not as many hashes as in a tree of `size`; nil when all have, and how many more.
    static func misfit(
        size: Int64, in database: some Queryable
    ) throws(StoreError) -> (tile: TileCoordinate, more: Int64)? {
        var found: (tile: TileCoordinate, more: Int64)?
        try database.visit("SELECT level, tile_index, length(hashes) FROM audit_tiles ORDER BY level, tile_index", []) {
            (row: Row) throws(StoreError) -> Bool in
            let (level, index, length): (Int64, Int64, Int64) = (try row.int(0), try row.int(1), try row.int(2))
            let tile: TileCoordinate = TileCoordinate(level: Int(max(0, min(level, 64))), index: max(0, index))
            let isFit: Bool =
                level >= 0 && index >= 0 && length > 0 && length == Int64(tile.width(size: size) * TreeHash.length)
            if !isFit { found = (found?.tile ?? tile, (found?.more ?? -1) + 1) }
            return true
        }
        return found
    }

    /// The tree over the stored tiles, for one transaction or snapshot.
    static func tree(in database: some Queryable) -> TileTree {
        TileTree { (tile: TileCoordinate) -> [UInt8]? in try self.tile(tile, in: database) }
    }

    /// Appends leaves to a tree that still has `size` of them.
    ///
    /// Moving the head from the size it was read with is the fence: of two builders, one fails with `Outrun` and changes nothing.
    static func append(_ leaves: [TreeHash], toTreeOf size: Int64, in transaction: Transaction) throws {
        guard try self.head(in: transaction).size == size else { throw Outrun() }
        var edge: [TileCoordinate: [UInt8]] = [:]
        for tile in TileAppender.edgeTiles(size: size) { edge[tile] = try self.tile(tile, in: transaction) }
        var appender: TileAppender = try TileAppender(size: size, edge: edge)
        for leaf in leaves { appender.append(leaf) }
        for changed in appender.changed {
            try transaction.execute(
                """
                INSERT INTO audit_tiles (level, tile_index, hashes) VALUES ($1, $2, $3)
                ON CONFLICT (level, tile_index) DO UPDATE SET hashes = excluded.hashes
                """, .int(Int64(changed.tile.level)), .int(changed.tile.index), .bytes(changed.bytes))
        }
        let moved: Int = try transaction.execute(
            """
            INSERT INTO audit_tree (id, size, root) VALUES (1, $1, $2)
            ON CONFLICT (id) DO UPDATE SET size = excluded.size, root = excluded.root WHERE audit_tree.size = $3
            """, .int(appender.size), .bytes(appender.root.bytes), .int(size))
        guard moved == 1 else { throw Outrun() }
    }

    // MARK: - Checkpoints

    static func storeCheckpoint(_ note: String, size: Int64, in transaction: Transaction) throws(StoreError) {
        try transaction.execute(
            "INSERT INTO audit_checkpoints (size, note, created_at) VALUES ($1, $2, $3) ON CONFLICT (size) DO NOTHING",
            .int(size), .text(note), .int(transaction.now.milliseconds))
    }

    /// Every stored checkpoint, smallest first.
    static func checkpoints(in database: some Queryable) throws(StoreError) -> [(size: Int64, note: String)] {
        try database.rows("SELECT size, note FROM audit_checkpoints ORDER BY size") {
            (row: Row) throws(StoreError) -> (size: Int64, note: String) in (try row.int(0), try row.text(1))
        }
    }

    static func lastCheckpointSize(in database: some Queryable) throws(StoreError) -> Int64? {
        try database.first("SELECT max(size) FROM audit_checkpoints") {
            (row: Row) throws(StoreError) -> Int64? in try row.optionalInt(0)
        } ?? nil
    }
}
