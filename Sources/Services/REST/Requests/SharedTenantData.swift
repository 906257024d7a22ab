package import Contracts

/// The tables with rows of tenants that belong to no service.
package struct SharedTenantData: TenantData {
    package init() {}

    package var tenantDataName: String { "platform" }

    package var tenantTables: [TenantRows] {
        [
            TenantRows("tenant_quotas", keys: "name", columns: "maximum"),
            TenantRows(
                "tasks", keys: "task_id",
                columns: "kind state done total result:json created_by created_at:time finished_at:time"),
            TenantRows(
                "gateway_changes", keys: "kind entity_id",
                keptBecause: "gateways that are away learn from it that something is gone; it has ids only"),
        ]
    }
}
