import Bytes
import Contracts
import EventLog
import JSON
import REST
import Store

/// What `catalog` keeps of tenants.
struct CatalogData: TenantData {
    /// APIs deleted in one transaction.
    private static let apisMax: Int = 50

    let store: Store

    var tenantDataName: String { CatalogService.name }

    private static let documents: TenantRows = TenantRows("documents", keys: "hash", pageRows: 4)

    var tenantCounts: [String: String] { Self.counts }

    static var counts: [String: String] {
        [
            "apis": "SELECT count(*) FROM apis WHERE tenant = $1 AND deleted_at IS NULL",
            "plans": "SELECT count(*) FROM plans WHERE tenant = $1",
            "environments": "SELECT count(*) FROM environments WHERE tenant = $1",
        ]
    }

    var tenantTables: [TenantRows] {
        [
            TenantRows(
                "tenants", keys: "tenant", columns: "display_name version created_at:time",
                keptBecause: "the name is not given again: events and audit entries name it"),
            TenantRows("targets", keys: "name", columns: "kind gateway_group version"),
            TenantRows("environments", keys: "name", columns: "target hosts:json requires_promotion:flag version"),
            TenantRows(
                "plans", keys: "name",
                columns: "rate_limit rate_window_ms quota quota_window concurrency approval:flag version"),
            TenantRows(
                "revisions", keys: "api_id revision",
                columns: "document_hash gateway:json api_version created_by created_at:time", pageRows: 16),
            TenantRows(
                "apis", keys: "api_id",
                columns:
                    "name title state base_path labels:json latest_revision created_by created_at:time version deleted_at:time"
            ),
            Self.documents,
            // Before their parts, so that nobody adds one behind them.
            TenantRows("tenant_exports", keys: "export_id"),
            TenantRows("tenant_export_parts", keys: "export_id part", pageRows: 16),
            TenantRows(
                "tenant_endings", keys: "task_id", keptBecause: "it goes in the transaction that ends the tenant"),
        ]
    }

    var tenantSections: [TenantSection] {
        [
            TenantSection("documents") { [store] tenant, after in
                try await store.read { reader in
                    try Self.documents.files("document", of: tenant, after: after, in: reader) { keys, bytes in
                        "\(keys[0]).\(bytes.first { $0 > 32 } == UInt8(ascii: "{") ? "json" : "yaml")"
                    }
                }
            }
        ]
    }

    func end(_ stage: TenantStage, of ending: TenantEnding, in transaction: Transaction) throws -> TenantStep {
        guard stage == .apis else { return TenantStep() }
        let apis: [API] = try APITable.all(
            tenant: ending.tenant, after: "", limit: Self.apisMax, in: transaction)
        for api in apis { try CatalogService.delete(api, ending.author, in: transaction) }
        if !apis.isEmpty { return .more }
        for plan in try PlanTable.all(tenant: ending.tenant, after: "", limit: Plan.countMax, in: transaction) {
            try PlanTable.delete(plan.name, tenant: ending.tenant, in: transaction)
            try GatewayChanges.touch(.plan, tenant: ending.tenant, id: plan.name, in: transaction)
        }
        if try !TenantQuota.ofRequests(tenant: ending.tenant, in: transaction).isEmpty {
            try GatewayChanges.touch(.tenant, tenant: ending.tenant, id: ending.tenant, in: transaction)
        }
        return TenantStep()
    }
}
