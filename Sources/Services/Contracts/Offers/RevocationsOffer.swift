package import Store
package import Time

/// Tokens and certificates that gateways must not take any more, although they are signed and have not expired.
package struct Revocation: Sendable, Equatable {
    /// Counts up in the order of commits.
    package let number: Int64
    /// What a token names: its session (`sid`), its grant, its client (`client_id`) or its subject. Of a certificate `certificate:`
    /// with its fingerprint.
    package let id: String
    /// Tokens made until then are refused.
    package let at: Timestamp
    /// No such token works after that anyway.
    package let ends: Timestamp

    /// Whole seconds since 1970, as tokens have them.
    package var seconds: (at: Int64, ends: Int64) { (self.at.milliseconds / 1_000, self.ends.milliseconds / 1_000 + 1) }

    package init(number: Int64, id: String, at: Timestamp, ends: Timestamp) {
        self.number = number
        self.id = id
        self.at = at
        self.ends = ends
    }
}

/// What `deployments` hands on to gateways of what `identity` has ended.
package protocol RevocationsOffer: Sendable {
    /// The number of the last one; 0 when there was none yet.
    func latestRevocation(in store: any Queryable) throws -> Int64
    /// Those after a number, in order, that still matter; at most `limit`.
    func revocations(after number: Int64, now: Timestamp, limit: Int64, in store: any Queryable) throws -> [Revocation]
}

/// A way for other services to have gateways refuse what they have ended.
package protocol GatewayRevocations: Sendable {
    /// Has every gateway refuse clients with a certificate, from within a moment after the commit until the certificate ends anyway.
    ///
    /// - Parameter fingerprint: SHA-256 of it, in hexadecimal digits.
    func revoke(certificate fingerprint: String, ends: Timestamp, in transaction: Transaction) throws
}
