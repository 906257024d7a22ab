import Store

/// What somebody looks for in the audit log.
struct EntryFilter: Sendable {
    /// nil is every tenant.
    var tenant: String?
    var eventType: String?
    var resourceType: String?
    var resourceID: String?
    var actor: String?
    /// Leaves to look at: times were turned into them.
    var leaves: Range<Int64>
    /// Newest first unless set.
    var isAscending: Bool = false
}

/// The SQL of audit_entries: where the entries of a tenant, an actor, a resource stand in the log.
enum EntryIndex {
    static func insert(_ fields: EntryFields, leaf: Int64, in transaction: Transaction) throws(StoreError) {
        try transaction.execute(
            """
            INSERT INTO audit_entries (tenant, leaf, event_type, resource_type, resource_id, actor)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, leaf) DO NOTHING
            """, .text(fields.tenant), .int(leaf), .text(fields.eventType), .text(fields.resourceType),
            .text(fields.resourceID), .text(fields.actor))
    }

    /// The next leaves that match, at most `limit`.
    static func leaves(_ filter: EntryFilter, limit: Int, in database: some Queryable) throws(StoreError) -> [Int64] {
        var conditions: [String] = ["leaf >= $1", "leaf < $2"]
        var parameters: [SQLValue] = [.int(filter.leaves.lowerBound), .int(filter.leaves.upperBound)]
        let columns: [(String, String?)] = [
            ("tenant", filter.tenant), ("event_type", filter.eventType), ("resource_type", filter.resourceType),
            ("resource_id", filter.resourceID), ("actor", filter.actor),
        ]
        for (column, value) in columns {
            guard let value: String else { continue }
            parameters.append(.text(value))
            conditions.append("\(column) = $\(parameters.count)")
        }
        parameters.append(.int(Int64(limit)))
        let sql: String = """
            SELECT leaf FROM audit_entries WHERE \(conditions.joined(separator: " AND "))
            ORDER BY leaf \(filter.isAscending ? "ASC" : "DESC") LIMIT $\(parameters.count)
            """
        var leaves: [Int64] = []
        try database.visit(sql, parameters) { (row: Row) throws(StoreError) -> Bool in
            leaves.append(try row.int(0))
            return true
        }
        return leaves
    }

    /// What the index has of these leaves, in their order; more than one of a leaf only where somebody else wrote it.
    static func rows(
        of leaves: Range<Int64>, in database: some Queryable
    ) throws(StoreError) -> [(leaf: Int64, fields: EntryFields)] {
        try database.rows(
            """
            SELECT leaf, tenant, event_type, resource_type, resource_id, actor FROM audit_entries
            WHERE leaf >= $1 AND leaf < $2 ORDER BY leaf
            """, .int(leaves.lowerBound), .int(leaves.upperBound)
        ) { (row: Row) throws(StoreError) -> (leaf: Int64, fields: EntryFields) in
            (
                try row.int(0),
                EntryFields(
                    tenant: try row.text(1), eventType: try row.text(2), resourceType: try row.text(3),
                    resourceID: try row.text(4), actor: try row.text(5))
            )
        }
    }

    /// A leaf that stands in the index and in no tree of `size`.
    static func stray(size: Int64, in database: some Queryable) throws(StoreError) -> Int64? {
        try database.first(
            "SELECT leaf FROM audit_entries WHERE leaf >= $1 OR leaf < 0 ORDER BY leaf LIMIT 1", .int(size)
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) }
    }

    /// Whether a leaf is an entry of `tenant`.
    static func isLeaf(_ leaf: Int64, of tenant: String, in database: some Queryable) throws(StoreError) -> Bool {
        let found: Int64? = try database.first(
            "SELECT leaf FROM audit_entries WHERE tenant = $1 AND leaf = $2", .text(tenant), .int(leaf)
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) }
        return found != nil
    }

    /// Forgets entries the log has removed, oldest first, at most `limit`; returns how many.
    static func removePurged(before first: Int64, limit: Int, in transaction: Transaction) throws(StoreError) -> Int {
        try transaction.execute(
            """
            DELETE FROM audit_entries WHERE (tenant, leaf) IN
                (SELECT tenant, leaf FROM audit_entries WHERE leaf < $1 ORDER BY leaf LIMIT $2)
            """, .int(first), .int(Int64(limit)))
    }
}
