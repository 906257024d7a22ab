import Contracts
import Store
import Time

/// The table `provider_hints`: the id token of a session that a provider has opened, sealed, for the day its user signs out.
enum ProviderHintTable {
    /// A longer one would not fit the address that it is sent in.
    static let bytesMax: Int = 6_144

    static func sealName(_ session: String) -> String { "provider-hint/\(session)" }

    /// - Returns: nil when it is too long.
    static func sealed(_ idToken: String, of session: Session, _ sealer: any SecretSealer) throws -> [UInt8]? {
        guard idToken.utf8.count <= Self.bytesMax else { return nil }
        return try sealer.seal(Array(idToken.utf8), name: Self.sealName(session.id))
    }

    static func insert(_ sealed: [UInt8], of session: Session, in transaction: Transaction) throws {
        try transaction.execute(
            "INSERT INTO provider_hints (session_id, sealed, expires_at) VALUES ($1, $2, $3)", .text(session.id),
            .bytes(sealed), .int(session.expiresAt.milliseconds))
    }

    static func idToken(of session: Session, _ sealer: any SecretSealer, in store: any Queryable) throws -> String? {
        let sealed: [UInt8]? = try store.first(
            "SELECT sealed FROM provider_hints WHERE session_id = $1", .text(session.id)
        ) { (row: Row) throws(StoreError) -> [UInt8] in try row.bytes(0) }
        guard let sealed: [UInt8] else { return nil }
        return String(decoding: try sealer.open(sealed, name: Self.sealName(session.id)), as: UTF8.self)
    }

    static func delete(of session: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM provider_hints WHERE session_id = $1", .text(session))
    }
}
