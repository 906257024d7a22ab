import Contracts
import Store

/// The table `live`: which revision of an API each environment should run at this moment.
enum LiveTable {
    struct Place: Sendable {
        let tenant: String
        let apiID: String
        let environment: String
        let gatewayGroup: String
        let revision: Int64
        let deploymentID: String

        static let columns: String = "tenant, api_id, environment, gateway_group, revision, deployment_id"
    }

    static func find(
        apiID: String, tenant: String, environment: String, in store: any Queryable
    ) throws -> Place? {
        try store.first(
            "SELECT \(Place.columns) FROM live WHERE tenant = $1 AND api_id = $2 AND environment = $3", .text(tenant),
            .text(apiID), .text(environment), decode: Place.init(_:))
    }

    static func of(apiID: String, tenant: String, in store: any Queryable) throws -> [Place] {
        try store.rows(
            "SELECT \(Place.columns) FROM live WHERE tenant = $1 AND api_id = $2 ORDER BY environment", .text(tenant),
            .text(apiID), decode: Place.init(_:))
    }

    /// What of a tenant is live and has no undeployment on its way.
    static func undisturbed(tenant: String, limit: Int, in store: any Queryable) throws -> [Place] {
        try store.rows(
            """
            SELECT \(Place.columns) FROM live WHERE tenant = $1 AND NOT EXISTS (
                SELECT 1 FROM deployments d WHERE d.tenant = $1 AND d.api_id = live.api_id
                    AND d.environment = live.environment AND d.action = 'undeploy' AND d.state IN ('pending', 'running'))
            ORDER BY api_id, environment LIMIT $2
            """, .text(tenant), .int(Int64(limit)), decode: Place.init(_:))
    }

    /// What all tenants' environments run: what a snapshot is made of.
    static func all(in store: any Queryable) throws -> [Place] {
        try store.rows(
            "SELECT \(Place.columns) FROM live ORDER BY tenant, api_id, environment", decode: Place.init(_:))
    }

    static func apis(tenant: String, environment: String, in store: any Queryable) throws -> [String] {
        try store.rows(
            "SELECT api_id FROM live WHERE tenant = $1 AND environment = $2", .text(tenant), .text(environment)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
    }

    /// Which revisions of which APIs of a tenant run somewhere, in order of id.
    static func revisions(tenant: String, in store: any Queryable) throws -> [(apiID: String, revision: Int64)] {
        try store.rows("SELECT DISTINCT api_id, revision FROM live WHERE tenant = $1 ORDER BY api_id", .text(tenant)) {
            (try $0.text(0), try $0.int(1))
        }
    }

    static func put(_ place: Place, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO live (tenant, api_id, environment, gateway_group, revision, deployment_id)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (tenant, api_id, environment) DO UPDATE SET gateway_group = excluded.gateway_group,
                revision = excluded.revision, deployment_id = excluded.deployment_id
            """, .text(place.tenant), .text(place.apiID), .text(place.environment), .text(place.gatewayGroup),
            .int(place.revision), .text(place.deploymentID))
    }

    static func delete(apiID: String, tenant: String, environment: String, in transaction: Transaction) throws {
        try transaction.execute(
            "DELETE FROM live WHERE tenant = $1 AND api_id = $2 AND environment = $3", .text(tenant), .text(apiID),
            .text(environment))
    }
}

extension LiveTable.Place {
    init(_ row: Row) throws(StoreError) {
        self.init(
            tenant: try row.text(0), apiID: try row.text(1), environment: try row.text(2),
            gatewayGroup: try row.text(3),
            revision: try row.int(4), deploymentID: try row.text(5))
    }
}
