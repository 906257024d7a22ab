package import Contracts

/// What the sample API keeps of its tenant.
extension GeolocationService: TenantData {
    package var tenantDataName: String { Self.name }

    package var tenantTables: [TenantRows] {
        [
            TenantRows(
                "locations", keys: "user_id", columns: "latitude longitude accuracy located_at:time version")
        ]
    }
}
