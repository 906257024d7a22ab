import Contracts
package import KeyRing
import REST
package import Store

/// The key ring as services see it: while it is sealed, requests that need it are told so (503).
package struct KeyRingSealer: TenantSealer {
    /// After how many seconds another try may do.
    private static let retryAfterSeconds: Int = 30

    private let keys: KeyRing

    package init(keys: KeyRing) { self.keys = keys }

    package func seal(_ secret: [UInt8], name: String) throws -> [UInt8] {
        try Self.telling { try self.keys.seal(secret, name: name) }
    }

    package func open(_ sealed: [UInt8], name: String) throws -> [UInt8] {
        try Self.telling { try self.keys.open(sealed, name: name) }
    }

    package func seal(
        _ secret: [UInt8], name: String, tenant: String, key: String, in transaction: Transaction
    ) throws -> [UInt8] {
        try Self.telling { try self.keys.seal(secret, name: name, tenant: tenant, key: key, in: transaction) }
    }

    package func open(
        _ sealed: [UInt8], name: String, tenant: String, key: String, in store: any Queryable
    ) throws -> [UInt8]? {
        try Self.telling { try self.keys.open(sealed, name: name, tenant: tenant, key: key, in: store) }
    }

    package func hasKey(_ key: String, tenant: String, in store: any Queryable) throws -> Bool {
        try self.keys.hasKey(key, tenant: tenant, in: store)
    }

    package func destroyKey(_ key: String, tenant: String, in transaction: Transaction) throws -> Bool {
        try self.keys.destroyKey(key, tenant: tenant, in: transaction)
    }

    package func destroyKeys(ofTenant tenant: String, in transaction: Transaction) throws {
        try self.keys.destroyKeys(ofTenant: tenant, in: transaction)
    }

    static func telling<Value>(_ work: () throws -> Value) throws -> Value {
        do {
            return try work()
        } catch let error as KeyRingError {
            guard case .sealed = error else { throw error }
            throw APIProblem.unavailable(
                "\(error) An administrator unseals it: POST /v1/keys/unseal.",
                retryAfterSeconds: Self.retryAfterSeconds)
        }
    }
}
