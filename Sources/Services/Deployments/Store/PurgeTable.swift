import Gateway
import JSON
import Store
import Time

/// The tables `cache_purges` (what gateways are asked to forget, in order), `cache_purge_sequence` (its one row counts them) and
/// `cache_purge_readers` (how far each gateway is).
enum PurgeTable {
    /// How long an order is kept for gateways that are away; whoever is away for longer forgets everything.
    static let keptMilliseconds: Int64 = 86_400_000
    /// Orders told at once; whoever is further behind forgets everything.
    static let toldMax: Int64 = 1_000

    /// Adds an order and returns its number. The row of the sequence puts writers into one order.
    static func insert(_ order: PurgeOrder, in transaction: Transaction) throws -> Int64 {
        let number: Int64 =
            try transaction.first(
                "UPDATE cache_purge_sequence SET number = number + 1 WHERE id = 1 RETURNING number"
            ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) } ?? 0
        let now: Int64 = transaction.now.milliseconds
        try transaction.execute(
            "INSERT INTO cache_purges (number, tenant, purge_order, created_at) VALUES ($1, $2, $3, $4)",
            .int(number), .text(order.tenant), .text(order.json.jsonText), .int(now))
        try transaction.execute(
            "DELETE FROM cache_purges WHERE created_at < $1", .int(now - Self.keptMilliseconds))
        return number
    }

    static func latest(in store: any Queryable) throws -> Int64 {
        try store.first("SELECT number FROM cache_purge_sequence WHERE id = 1") {
            (row: Row) throws(StoreError) -> Int64 in try row.int(0)
        } ?? 0
    }

    /// What a gateway has to do that has done everything up to `since`.
    static func feed(since: Int64?, in store: any Queryable) throws -> PurgeFeed {
        let latest: Int64 = try self.latest(in: store)
        guard let since: Int64, since != latest else { return PurgeFeed(number: latest, forgetsAll: false, orders: []) }
        // A number from before a restore of the database, or too far back.
        guard since < latest, latest - since <= Self.toldMax else {
            return PurgeFeed(number: latest, forgetsAll: true, orders: [])
        }
        let rows: [String] = try store.rows(
            "SELECT purge_order FROM cache_purges WHERE number > $1 AND number <= $2 ORDER BY number", .int(since),
            .int(latest)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
        let orders: [PurgeOrder] = rows.compactMap { (try? JSONReader.parse($0)).flatMap { PurgeOrder($0) } }
        guard orders.count == Int(latest - since) else {
            return PurgeFeed(number: latest, forgetsAll: true, orders: [])
        }
        return PurgeFeed(number: latest, forgetsAll: false, orders: orders)
    }

    /// An order of a tenant; nil: there is none such (any more).
    static func find(_ number: Int64, tenant: String, in store: any Queryable) throws -> PurgeOrder? {
        let text: String? = try store.first(
            "SELECT purge_order FROM cache_purges WHERE number = $1 AND tenant = $2", .int(number), .text(tenant)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
        return text.flatMap { try? JSONReader.parse($0) }.flatMap { PurgeOrder($0) }
    }

    /// A gateway has done everything up to `number`.
    static func note(gateway: String, number: Int64, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO cache_purge_readers (gateway_id, number) VALUES ($1, $2)
            ON CONFLICT (gateway_id) DO UPDATE SET number = excluded.number
            """, .text(gateway), .int(number))
    }

    static func readers(in store: any Queryable) throws -> [String: Int64] {
        var readers: [String: Int64] = [:]
        let rows: [(String, Int64)] = try store.rows("SELECT gateway_id, number FROM cache_purge_readers") {
            (row: Row) throws(StoreError) -> (String, Int64) in (try row.text(0), try row.int(1))
        }
        for (gateway, number) in rows { readers[gateway] = number }
        return readers
    }

    static func forget(gateway: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM cache_purge_readers WHERE gateway_id = $1", .text(gateway))
    }
}
