/// Where gateways remember together what may happen only once: idempotency keys and nonces. The composition root gives it.
///
/// Every call is one step that no other gateway can come between. A call that fails may have been done all the same.
package protocol ClaimStore: Sendable {
    /// Puts a value at a key for so long, unless there is one already: then that is returned, and nothing is changed.
    func claim(_ key: String, _ value: [UInt8], keptFor: Duration) async throws -> [UInt8]?
    /// Puts another value in the place of this one, or the same for longer; false when it is not there any more.
    func replace(_ key: String, _ old: [UInt8], with value: [UInt8], keptFor: Duration) async throws -> Bool
    /// Takes the value out where it is this one.
    func remove(_ key: String, _ value: [UInt8]) async throws
}

/// What several gateways share through one server; nil: they do not.
package struct SharedStores: Sendable {
    /// Counts of rate limits.
    package let limits: (any CounterStore)?
    package let claims: (any ClaimStore)?
    /// What these gateways have and the server has not: stored answers are sealed with the first, and open with any. Empty: nothing.
    package let secrets: [[UInt8]]
    /// Reads them again; nil: they do not change.
    package let readSecrets: (@Sendable () throws -> [[UInt8]])?

    package init(
        limits: (any CounterStore)?, claims: (any ClaimStore)?, secrets: [[UInt8]] = [],
        readSecrets: (@Sendable () throws -> [[UInt8]])? = nil
    ) {
        self.limits = limits
        self.claims = claims
        self.secrets = secrets
        self.readSecrets = readSecrets
    }

    package static let none: SharedStores = SharedStores(limits: nil, claims: nil)
}
