import JSON
import Store
import Time

/// A consumer's client.
struct Application: Sendable {
    let tenant: String
    let id: String
    let name: String
    /// The user it belongs to.
    let owner: String
    let createdAt: Timestamp
    let version: Int64

    var object: JSONObject {
        [
            "id": .string(self.id), "name": .string(self.name), "tenant": .string(self.tenant),
            "owner": .string(self.owner),
            "created_at": .string(self.createdAt.rfc3339),
        ]
    }

    /// The payload of `application-created` and `application-deleted`.
    var event: JSONObject {
        [
            "application_id": .string(self.id), "tenant": .string(self.tenant), "owner": .string(self.owner),
            "name": .string(self.name),
        ]
    }

    static let columns: String = "tenant, application_id, name, owner, created_at, version"

    init(tenant: String, id: String, name: String, owner: String, createdAt: Timestamp, version: Int64) {
        self.tenant = tenant
        self.id = id
        self.name = name
        self.owner = owner
        self.createdAt = createdAt
        self.version = version
    }

    init(_ row: Row) throws(StoreError) {
        self.tenant = try row.text(0)
        self.id = try row.text(1)
        self.name = try row.text(2)
        self.owner = try row.text(3)
        self.createdAt = Timestamp(milliseconds: try row.int(4))
        self.version = try row.int(5)
    }
}

/// A subscription: an application's right to call an API under a plan.
struct Subscription: Sendable {
    enum State: String, Sendable {
        /// Waits for approval: the gateway does not know it.
        case pending
        case active
        /// Stopped by someone; the gateway refuses with 403.
        case suspended
    }

    /// Most subscriptions of one application; gateways take four times as many.
    static let countMax: Int = 1_000

    let tenant: String
    let id: String
    let applicationID: String
    let apiID: String
    let plan: String
    let state: State
    let createdAt: Timestamp
    let version: Int64

    /// The payload of the subscription's events.
    var event: JSONObject {
        [
            "subscription_id": .string(self.id), "application_id": .string(self.applicationID),
            "api_id": .string(self.apiID), "plan": .string(self.plan), "state": .string(self.state.rawValue),
            "tenant": .string(self.tenant),
        ]
    }

    /// The after-image for the audit log.
    var audited: JSONObject {
        var object: JSONObject = self.event
        object["created_at"] = .string(self.createdAt.rfc3339)
        return object
    }

    static let columns: String =
        "tenant, subscription_id, application_id, api_id, plan, state, created_at, version"

    init(
        tenant: String, id: String, applicationID: String, apiID: String, plan: String, state: State,
        createdAt: Timestamp, version: Int64
    ) {
        self.tenant = tenant
        self.id = id
        self.applicationID = applicationID
        self.apiID = apiID
        self.plan = plan
        self.state = state
        self.createdAt = createdAt
        self.version = version
    }

    init(_ row: Row) throws(StoreError) {
        self.tenant = try row.text(0)
        self.id = try row.text(1)
        self.applicationID = try row.text(2)
        self.apiID = try row.text(3)
        self.plan = try row.text(4)
        self.state = State(rawValue: try row.text(5)) ?? .suspended
        self.createdAt = Timestamp(milliseconds: try row.int(6))
        self.version = try row.int(7)
    }

    func changed(plan: String? = nil, state: State? = nil) -> Subscription {
        Subscription(
            tenant: self.tenant, id: self.id, applicationID: self.applicationID, apiID: self.apiID,
            plan: plan ?? self.plan, state: state ?? self.state, createdAt: self.createdAt, version: self.version + 1)
    }
}
