package import Time

/// A consumer's client: its keys, and the APIs of its tenant it may call.
package struct ApplicationDefinition: Sendable, Equatable {
    /// Whether an application or a subscription may be used.
    package enum State: String, Sendable, Equatable, CaseIterable {
        case active
        /// Known, and refused with 403.
        case suspended
    }

    /// Unique within the tenant. Required.
    package var id: String
    /// Default `default`.
    package var tenant: String
    /// Default `active`.
    package var state: State
    /// Its keys, at most 64. Default: none.
    package var keys: [KeyDefinition]
    /// Its credentials of other kinds, at most 64. Default: none.
    package var credentials: [CredentialDefinition]
    /// What it may call. Default: nothing.
    package var subscriptions: [SubscriptionDefinition]

    package init(
        id: String, tenant: String = EntryRules.defaultTenant, state: State = .active, keys: [KeyDefinition] = [],
        credentials: [CredentialDefinition] = [], subscriptions: [SubscriptionDefinition] = []
    ) {
        self.id = id
        self.tenant = tenant
        self.state = state
        self.keys = keys
        self.credentials = credentials
        self.subscriptions = subscriptions
    }

    package var key: EntryKey { EntryKey(tenant: self.tenant, id: self.id) }

    /// Keys of one application at most.
    package static let keysMax: Int = 64
    /// Subscriptions of one application at most.
    package static let subscriptionsMax: Int = 4096
}

/// One API key of an application. Only its digest is kept, whatever form it was given in.
package struct KeyDefinition: Sendable, Equatable {
    /// Names the key without revealing it. Default: none.
    package var id: String?
    /// SHA-256 of the key's bytes.
    package var digest: KeyDigest
    /// From this moment the key answers 401. Default: never.
    package var expires: Timestamp?

    package init(id: String? = nil, digest: KeyDigest, expires: Timestamp? = nil) {
        self.id = id
        self.digest = digest
        self.expires = expires
    }

    /// Bytes of a key at most; a longer one presented by a caller is unknown without being hashed.
    package static let bytesMax: Int = 512
}

/// An application's right to call one API, with the limits of a plan.
package struct SubscriptionDefinition: Sendable, Equatable {
    /// Names it in records. Default: `application/api`.
    package var id: String?
    /// Id of an API of the same tenant.
    package var api: String
    /// Id of a plan of the same tenant. Default: no plan, no limits of its own.
    package var plan: String?
    /// Default `active`.
    package var state: ApplicationDefinition.State

    package init(id: String? = nil, api: String, plan: String? = nil, state: ApplicationDefinition.State = .active) {
        self.id = id
        self.api = api
        self.plan = plan
        self.state = state
    }
}

/// The limits that subscriptions carry.
package struct PlanDefinition: Sendable, Equatable {
    /// Unique within the tenant. Required.
    package var id: String
    /// Default `default`.
    package var tenant: String
    /// Requests a window of each subscription. Default: unlimited.
    package var rateLimit: PlanRateLimit?
    /// Requests of each subscription in a span of the calendar. Default: unlimited.
    package var quota: PlanQuota?
    /// Requests of each subscription at once, 1 to 1,000,000. Default: unlimited.
    package var concurrency: Int64?

    package init(
        id: String, tenant: String = EntryRules.defaultTenant, rateLimit: PlanRateLimit? = nil,
        quota: PlanQuota? = nil, concurrency: Int64? = nil
    ) {
        self.id = id
        self.tenant = tenant
        self.rateLimit = rateLimit
        self.quota = quota
        self.concurrency = concurrency
    }

    package var key: EntryKey { EntryKey(tenant: self.tenant, id: self.id) }
}

/// So many requests in a window, of one subscription by its plan or of a whole tenant; ranges as in `RateLimitPolicy`.
package struct PlanRateLimit: Sendable, Equatable {
    package var limit: Int64
    package var window: Duration
    /// Default `window`.
    package var algorithm: RateLimitPolicy.Algorithm
    /// Default `divided`; `shared` only with `window`.
    package var scope: LimitScope

    package init(
        limit: Int64, window: Duration, algorithm: RateLimitPolicy.Algorithm = .window, scope: LimitScope = .divided
    ) {
        self.limit = limit
        self.window = window
        self.algorithm = algorithm
        self.scope = scope
    }
}
