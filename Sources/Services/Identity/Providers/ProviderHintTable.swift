import Contracts
import Store
import Time

/// The table `provider_hints`: the id token of a session that a provider has opened, sealed, for the day its user signs out. As long
/// as a second factor is still to be shown, there is no session: it is kept for the pending sign-in, and moves when there is one.
enum ProviderHintTable {
    /// A longer one would not fit the address that it is sent in.
    static let bytesMax: Int = 6_144

    static func sealName(_ session: String) -> String { "provider-hint/\(session)" }

    /// Keeps it; one that is too long is left out.
    static func insert(
        _ idToken: String, of session: String, until end: Timestamp, _ sealer: any SecretSealer,
        in transaction: Transaction
    ) throws {
        guard idToken.utf8.count <= Self.bytesMax else { return }
        let sealed: [UInt8] = try sealer.seal(Array(idToken.utf8), name: Self.sealName(session))
        try transaction.execute(
            "INSERT INTO provider_hints (session_id, sealed, expires_at) VALUES ($1, $2, $3)", .text(session),
            .bytes(sealed), .int(end.milliseconds))
    }

    static func idToken(of session: String, _ sealer: any SecretSealer, in store: any Queryable) throws -> String? {
        let sealed: [UInt8]? = try store.first(
            "SELECT sealed FROM provider_hints WHERE session_id = $1", .text(session)
        ) { (row: Row) throws(StoreError) -> [UInt8] in try row.bytes(0) }
        guard let sealed: [UInt8] else { return nil }
        return String(decoding: try sealer.open(sealed, name: Self.sealName(session)), as: UTF8.self)
    }

    /// What it is kept under until there is a session.
    ///
    /// - Parameter binding: says which sign-in, and nothing about its cookie.
    static func pending(_ user: String, binding: String) -> String { "pending/\(user)/\(binding)" }

    /// The pending sign-in has become this session.
    static func move(
        from pending: String, to session: Session, _ sealer: any SecretSealer, in transaction: Transaction
    ) throws {
        guard let idToken: String = try Self.idToken(of: pending, sealer, in: transaction) else { return }
        try Self.delete(of: pending, in: transaction)
        try Self.insert(idToken, of: session.id, until: session.expiresAt, sealer, in: transaction)
    }

    static func deletePending(of user: String, in transaction: Transaction) throws {
        try transaction.execute(
            "DELETE FROM provider_hints WHERE session_id LIKE $1", .text("\(Self.pending(user, binding: ""))%"))
    }

    static func delete(of session: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM provider_hints WHERE session_id = $1", .text(session))
    }
}
