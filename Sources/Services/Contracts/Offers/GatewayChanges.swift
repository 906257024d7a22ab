package import Store

/// What changed for gateways, in one numbered sequence: the number is the version of every snapshot that contains the change.
///
/// Whoever changes something a gateway runs from (a live revision, an application, a plan, the quotas of a tenant) touches it in the transaction of the
/// change. `deployments` reads the sequence after each commit and publishes a snapshot of that version; so a change that is
/// committed always reaches the gateways, also after a crash between the two.
package enum GatewayChanges {
    package enum Kind: String, Sendable {
        case api
        case application
        case plan
        /// Its id is the tenant's name.
        case tenant
    }

    /// Something that changed: gateways get its present state, or its removal.
    package struct Change: Sendable {
        package let version: Int64
        package let kind: Kind
        package let tenant: String
        package let id: String
    }

    package static let migrations: ServiceMigrations = ServiceMigrations(
        service: "gateway-changes",
        steps: [
            Migration(
                number: 1, name: "changes",
                sql: """
                    CREATE TABLE gateway_version (id int64 NOT NULL PRIMARY KEY, version int64 NOT NULL);
                    INSERT INTO gateway_version (id, version) VALUES (1, 0);
                    CREATE TABLE gateway_changes (
                        tenant text NOT NULL, kind text NOT NULL, entity_id text NOT NULL, version int64 NOT NULL,
                        PRIMARY KEY (tenant, kind, entity_id));
                    CREATE INDEX gateway_changes_version ON gateway_changes (version);
                    """)
        ])

    /// Marks an entity as changed and returns the version its change will be live with.
    ///
    /// The sequence is gapless and ordered by commit: the row lock on `gateway_version` orders writers on PostgreSQL too.
    @discardableResult
    package static func touch(_ kind: Kind, tenant: String, id: String, in transaction: Transaction) throws -> Int64 {
        let version: Int64 =
            try transaction.first(
                "UPDATE gateway_version SET version = version + 1 WHERE id = 1 RETURNING version"
            ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) } ?? 0
        try transaction.execute(
            """
            INSERT INTO gateway_changes (tenant, kind, entity_id, version) VALUES ($1, $2, $3, $4)
            ON CONFLICT (tenant, kind, entity_id) DO UPDATE SET version = excluded.version
            """, .text(tenant), .text(kind.rawValue), .text(id), .int(version))
        return version
    }

    /// The latest version, whatever it changed.
    package static func latest(in store: any Queryable) throws -> Int64 {
        try store.first("SELECT version FROM gateway_version WHERE id = 1") {
            (row: Row) throws(StoreError) -> Int64 in try row.int(0)
        } ?? 0
    }

    /// What changed after `version`, oldest first, each entity once.
    package static func since(_ version: Int64, limit: Int64, in store: any Queryable) throws -> [Change] {
        try store.rows(
            "SELECT version, kind, tenant, entity_id FROM gateway_changes WHERE version > $1 ORDER BY version LIMIT $2",
            .int(version), .int(limit)
        ) { (row: Row) throws(StoreError) -> Change in
            Change(
                version: try row.int(0), kind: Kind(rawValue: try row.text(1)) ?? .api, tenant: try row.text(2),
                id: try row.text(3))
        }
    }
}
