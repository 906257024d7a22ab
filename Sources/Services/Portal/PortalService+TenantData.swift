package import Contracts
package import Store

/// What `portal` keeps of tenants.
extension PortalService: TenantData {
    /// Subscriptions or applications ended in one transaction.
    private static let endedMax: Int = 50

    package var tenantDataName: String { Self.name }

    package var tenantCounts: [String: String] {
        [
            "applications": "SELECT count(*) FROM applications WHERE tenant = $1",
            "subscriptions": "SELECT count(*) FROM subscriptions WHERE tenant = $1",
        ]
    }

    package var tenantTables: [TenantRows] {
        [
            TenantRows(
                "subscriptions", keys: "subscription_id",
                columns: "application_id api_id plan state created_at:time version"),
            TenantRows(
                "api_keys", keys: "application_id key_id", columns: "hint created_at:time expires_at:time",
                withheld: "sha256"),
            TenantRows("applications", keys: "application_id", columns: "name owner created_at:time version"),
        ]
    }

    package func end(
        _ stage: TenantStage, of ending: TenantEnding, in transaction: Transaction
    ) throws -> TenantStep {
        guard stage == .consumers else { return TenantStep() }
        let subscriptions: [Subscription] = try SubscriptionTable.all(
            tenant: ending.tenant, owner: nil, after: "", limit: Self.endedMax, in: transaction)
        for subscription in subscriptions { try Self.end(subscription, ending.author, in: transaction) }
        if !subscriptions.isEmpty { return .more }
        let applications: [Application] = try ApplicationTable.all(
            tenant: ending.tenant, owner: nil, after: "", limit: Self.endedMax, in: transaction)
        for application in applications { try Self.end(application, ending.author, in: transaction) }
        return applications.isEmpty ? TenantStep() : .more
    }
}
