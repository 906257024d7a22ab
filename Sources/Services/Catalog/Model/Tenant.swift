import Contracts
import JSON
import REST
import Store
import Time

/// A tenant as stored and shown.
struct Tenant: Sendable {
    let name: String
    let displayName: String
    let version: Int64
    let createdAt: Timestamp

    var json: JSONValue {
        .object([
            "name": .string(self.name), "display_name": .string(self.displayName),
            "created_at": .string(self.createdAt.rfc3339),
        ])
    }

    /// What gateways keep of a tenant's quotas, as an entry of the gateway document's `tenants`; nil: nothing.
    static func gatewayEntry(tenant: String, quotas: JSONObject) -> JSONValue? {
        var entry: JSONObject = ["id": .string(tenant), "tenant": .string(tenant)]
        if let limit: JSONValue = quotas[TenantQuota.requestsPerSecond.rawValue] {
            entry["rate_limit"] = .object(["limit": limit, "window": "1s"])
        }
        if let limit: JSONValue = quotas[TenantQuota.requestsPerMonth.rawValue] {
            entry["quota"] = .object(["limit": limit, "window": "month"])
        }
        return entry.members.count > 2 ? .object(entry) : nil
    }

    static let columns: String = "tenant, display_name, version, created_at"

    init(name: String, displayName: String, version: Int64, createdAt: Timestamp) {
        self.name = name
        self.displayName = displayName
        self.version = version
        self.createdAt = createdAt
    }

    init(_ row: Row) throws(StoreError) {
        self.name = try row.text(0)
        self.displayName = try row.text(1)
        self.version = try row.int(2)
        self.createdAt = Timestamp(milliseconds: try row.int(3))
    }
}

/// What a new tenant begins with, so that its first API can be deployed without any set-up.
enum TenantDefaults {
    static let target: String = "own"
    static let gatewayGroup: String = "default"

    /// `dev` answers on any host; the others have names of their own, because they share the same gateways until they are given
    /// a target each (decision 3).
    static func environments(tenant: String) -> [Environment] {
        var list: [Environment] = []
        for name in ["dev", "staging", "prod", "sandbox", "demo"] {
            list.append(
                Environment(
                    name: name, target: Self.target, hosts: name == "dev" ? [] : ["\(name).\(tenant).localhost"],
                    requiresPromotion: name == "prod", version: 1))
        }
        return list
    }

    static let plans: [Plan] = [
        Plan(name: "free", limit: 60, windowMilliseconds: 60_000, approval: false, version: 1),
        Plan(name: "gold", limit: 600, windowMilliseconds: 60_000, approval: false, version: 1),
        Plan(name: "unlimited", limit: nil, windowMilliseconds: nil, approval: false, version: 1),
    ]
}
