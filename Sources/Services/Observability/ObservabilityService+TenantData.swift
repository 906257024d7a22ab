package import Contracts
import Store

/// What `observability` keeps of tenants: their traffic, in a store of its own.
extension ObservabilityService: TenantData {
    package var tenantDataName: String { Self.name }

    /// None in the platform's store.
    package var tenantTables: [TenantRows] { [] }

    private static let traffic: TenantRows = TenantRows(
        "traffic_minutes", keys: "minute api_id environment application_id route status_class",
        columns: "requests duration_us duration_us_max bytes_in bytes_out")

    package var tenantSections: [TenantSection] {
        [
            TenantSection(Self.traffic.name) { [telemetry] tenant, after in
                try await telemetry.read { try Self.traffic.page(of: tenant, after: after, in: $0) }
            }
        ]
    }

    package func removeElsewhere(of tenant: String) async throws -> Int {
        try await self.telemetry.write { try Self.traffic.remove(of: tenant, in: $0) }
    }
}
