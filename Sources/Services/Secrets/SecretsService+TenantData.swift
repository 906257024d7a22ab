package import Contracts
package import Store

/// What `secrets` keeps of tenants. Values leave in no form: an export names what there is.
extension SecretsService: TenantData {
    package var tenantDataName: String { Self.name }

    private static let versions: TenantRows = TenantRows(
        "secret_versions", keys: "name version", columns: "created_at:time created_by", withheld: "sealed")

    private static let authorities: TenantRows = TenantRows(
        "pki_authorities", keys: "authority_id",
        columns: "kind generation certificate not_after list_number list_at list_next created_at:time",
        withheld: "sealed list")

    private static let certificates: TenantRows = TenantRows(
        "pki_certificates", keys: "certificate_id",
        columns:
            "authority_id serial fingerprint common_name names:json cert_usage purpose holder not_before not_after certificate renews renewed_by revoked_at:time reason alerted created_at:time created_by",
        withheld: "sealed")

    package var tenantCounts: [String: String] {
        ["secrets": "SELECT count(*) \(SecretTable.counted)"]
    }

    package var tenantTables: [TenantRows] {
        [
            Self.versions, Self.certificates, Self.authorities,
            TenantRows("pki_names", keys: "tenant", columns: "names:json"),
            TenantRows(
                "secrets", keys: "name",
                columns: "description version created_at:time updated_at:time updated_by deleted_at:time"),
            TenantRows("data_keys", keys: "name version"),
        ]
    }

    /// Values go before their keys: a renewal of keys finds none that nothing opens.
    package func end(
        _ stage: TenantStage, of ending: TenantEnding, in transaction: Transaction
    ) throws -> TenantStep {
        guard stage == .keys else { return TenantStep() }
        for rows in [Self.versions, Self.certificates, Self.authorities] {
            if try rows.remove(of: ending.tenant, in: transaction) > 0 { return .more }
        }
        try self.sealer.destroyKeys(ofTenant: ending.tenant, in: transaction)
        return TenantStep()
    }
}
