import Bytes
import Crypto
import JSON
import Store
import Time

/// The tables `gateways` and `gateway_tokens`.
enum GatewayTable {
    static func all(in store: any Queryable) throws -> [GatewayStatus] {
        try store.rows(
            """
            SELECT gateway_id, gateway_group, address, version, hash, quarantined, last_seen_at, first_seen_at
            FROM gateways ORDER BY gateway_id
            """
        ) { (row: Row) throws(StoreError) -> GatewayStatus in
            GatewayStatus(
                id: try row.text(0), group: try row.text(1), address: try row.text(2), version: try row.int(3),
                hash: try row.text(4), quarantined: QuarantinedEntry.list(in: try row.text(5)),
                lastSeen: try row.int(6),
                firstSeen: try row.int(7))
        }
    }

    /// Stores what is known of a gateway.
    static func put(_ gateway: GatewayStatus, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO gateways
                (gateway_id, gateway_group, address, version, hash, quarantined, last_seen_at, first_seen_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            ON CONFLICT (gateway_id) DO UPDATE SET gateway_group = excluded.gateway_group, address = excluded.address,
                version = excluded.version, hash = excluded.hash, quarantined = excluded.quarantined,
                last_seen_at = excluded.last_seen_at
            """, .text(gateway.id), .text(gateway.group), .text(gateway.address), .int(gateway.version),
            .text(gateway.hash), .text(JSONValue.array(gateway.quarantined.map { $0.json }).jsonText),
            .int(gateway.lastSeen), .int(gateway.firstSeen))
    }

    /// Writes what is known of a gateway where it has a row: one that was forgotten meanwhile stays forgotten.
    static func update(_ gateway: GatewayStatus, in transaction: Transaction) throws {
        try transaction.execute(
            """
            UPDATE gateways SET gateway_group = $2, address = $3, version = $4, hash = $5, quarantined = $6,
                last_seen_at = $7
            WHERE gateway_id = $1
            """, .text(gateway.id), .text(gateway.group), .text(gateway.address), .int(gateway.version),
            .text(gateway.hash), .text(JSONValue.array(gateway.quarantined.map { $0.json }).jsonText),
            .int(gateway.lastSeen))
    }

    static func delete(_ id: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM gateways WHERE gateway_id = $1", .text(id))
    }
}

enum GatewayTokenTable {
    static let prefix: String = "pgw_"
    static let randomBytes: Int = 32

    static func hash(_ token: String) -> String { Hex.encode(SHA256.hash(Array(token.utf8))) }

    /// The gateway group of a token; nil when there is none such.
    static func group(ofHash hash: String, in store: any Queryable) throws -> String? {
        try store.first("SELECT gateway_group FROM gateway_tokens WHERE sha256 = $1", .text(hash)) {
            (row: Row) throws(StoreError) -> String in try row.text(0)
        }
    }

    /// When a token was made; nil when there is none such.
    static func madeAt(hash: String, in store: any Queryable) throws -> Timestamp? {
        try store.first("SELECT created_at FROM gateway_tokens WHERE sha256 = $1", .text(hash)) {
            (row: Row) throws(StoreError) -> Timestamp in Timestamp(milliseconds: try row.int(0))
        }
    }

    static func insert(hash: String, group: String, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO gateway_tokens (sha256, gateway_group, created_at) VALUES ($1, $2, $3)
            ON CONFLICT (sha256) DO NOTHING
            """, .text(hash), .text(group), .int(transaction.now.milliseconds))
    }
}
