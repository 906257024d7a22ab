package import Contracts
package import Store
package import Time

/// The tables `gateway_revocations` and `revocation_counter`: what gateways learn of what was ended.
///
/// Written in the transaction that ends something, so that whatever is ended reaches the gateways, also after a crash between the two.
enum RevocationTable {
    /// What clocks of gateways may differ by, at most (`TokenRules.leewayMax`): tokens are taken that much longer.
    private static let leeway: Duration = .seconds(300)

    /// Ends sessions: every token that came of them.
    static func add(sessions ids: [String], in transaction: Transaction) throws {
        try Self.add(ids, lasting: Session.lifetime, in: transaction)
    }

    /// Ends tokens of grants, clients or service accounts: none of them works longer than an access token of the issuer.
    static func add(_ ids: [String], in transaction: Transaction) throws {
        try Self.add(ids, lasting: IssuerLifetimes.accessToken, in: transaction)
    }

    private static func add(_ ids: [String], lasting lifetime: Duration, in transaction: Transaction) throws {
        try Self.add(ids, until: transaction.now.adding(lifetime + Self.leeway), in: transaction)
    }

    static func add(_ ids: [String], until ends: Timestamp, in transaction: Transaction) throws {
        if ids.isEmpty { return }
        // The row's lock orders writers on PostgreSQL too: a number that is seen has none before it still to come.
        let last: Int64 =
            try transaction.first(
                "UPDATE revocation_counter SET number = number + $1 WHERE id = 1 RETURNING number",
                .int(Int64(ids.count))
            ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) } ?? 0
        for (index, id) in ids.enumerated() {
            try transaction.execute(
                "INSERT INTO gateway_revocations (number, id, revoked_at, ends_at) VALUES ($1, $2, $3, $4)",
                .int(last - Int64(ids.count - 1 - index)), .text(id), .int(transaction.now.milliseconds),
                .int(ends.milliseconds))
        }
    }

    /// Until when tokens of clients and service accounts were ended, of those that may not have ended by themselves.
    static func endedClientsAndAccounts(now: Timestamp, in store: any Queryable) throws -> [String: Timestamp] {
        let found: [(id: String, at: Int64)] = try store.rows(
            """
            SELECT id, max(revoked_at) FROM gateway_revocations
            WHERE (id LIKE $1 OR id LIKE $2) AND ends_at > $3 GROUP BY id
            """, .text(OAuthClient.idPrefix + "%"), .text(ServiceAccount.idPrefix + "%"), .int(now.milliseconds)
        ) { (row: Row) throws(StoreError) -> (id: String, at: Int64) in (try row.text(0), try row.int(1)) }
        var ended: [String: Timestamp] = [:]
        for one in found { ended[one.id] = Timestamp(milliseconds: one.at) }
        return ended
    }

    /// Until when tokens of one client or service account were ended; nil where none were.
    static func endedAt(_ id: String, in store: any Queryable) throws -> Timestamp? {
        try store.first("SELECT max(revoked_at) FROM gateway_revocations WHERE id = $1", .text(id)) {
            (row: Row) throws(StoreError) -> Timestamp? in try row.optionalInt(0).map { Timestamp(milliseconds: $0) }
        } ?? nil
    }

}

/// What `identity` offers about revocations.
package struct RevocationQueries: RevocationsOffer, GatewayRevocations {
    package init() {}

    package func revoke(certificate fingerprint: String, ends: Timestamp, in transaction: Transaction) throws {
        try RevocationTable.add(["certificate:\(fingerprint)"], until: ends, in: transaction)
    }

    package func latestRevocation(in store: any Queryable) throws -> Int64 {
        try store.first("SELECT number FROM revocation_counter WHERE id = 1") {
            (row: Row) throws(StoreError) -> Int64 in try row.int(0)
        } ?? 0
    }

    package func revocations(
        after number: Int64, now: Timestamp, limit: Int64, in store: any Queryable
    ) throws -> [Revocation] {
        try store.rows(
            """
            SELECT number, id, revoked_at, ends_at FROM gateway_revocations WHERE number > $1 AND ends_at > $2
            ORDER BY number LIMIT $3
            """, .int(number), .int(now.milliseconds), .int(limit)
        ) { (row: Row) throws(StoreError) -> Revocation in
            Revocation(
                number: try row.int(0), id: try row.text(1), at: Timestamp(milliseconds: try row.int(2)),
                ends: Timestamp(milliseconds: try row.int(3)))
        }
    }
}
