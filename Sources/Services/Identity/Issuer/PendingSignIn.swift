import Bytes
import Contracts
import Crypto
import JSON
import Store
import Time

/// A sign-in whose first half is done: the password was right, or a provider has vouched, and the second factor is still to be shown.
/// Kept by the browser, sealed; it opens nothing by itself.
struct PendingSignIn: Sendable, Equatable {
    static let lifetime: Duration = .seconds(300)
    private static let sealName: String = "pending-sign-in"

    let userID: String
    /// Fits the password that was shown; with another one it is over.
    let mark: String
    /// The provider that has vouched; nil: a password.
    let provider: String?
    let expiresAt: Timestamp

    static func begin(_ user: User, provider: String?, now: Timestamp) -> PendingSignIn {
        PendingSignIn(
            userID: user.id, mark: Self.mark(of: user), provider: provider, expiresAt: now.adding(Self.lifetime))
    }

    private static func mark(of user: User) -> String { AccessToken.hash("password:\(user.passwordHash)") }

    func sealed(_ sealer: any SecretSealer) throws -> String {
        let value: JSONValue = .object([
            "u": .string(self.userID), "m": .string(self.mark), "p": self.provider.map { .string($0) } ?? .null,
            "e": .int(self.expiresAt.milliseconds),
            // Two of one user are never alike: challenges are bound to them.
            "n": .string(Random.token(prefix: "", bytes: 16)),
        ])
        return Base64.encodeURL(try sealer.seal(value.serialized(), name: Self.sealName))
    }

    /// Opens what a browser brings; nil when it is not ours or too old.
    static func open(_ text: String, now: Timestamp, _ sealer: any SecretSealer) -> PendingSignIn? {
        guard let bytes: [UInt8] = Base64.decodeURL(text), let opened = try? sealer.open(bytes, name: Self.sealName),
            let value: JSONValue = try? JSONReader.parse(opened), let user: String = value["u"]?.text,
            let mark: String = value["m"]?.text, let end: Int64 = value["e"]?.integer
        else { return nil }
        let pending: PendingSignIn = PendingSignIn(
            userID: user, mark: mark, provider: value["p"]?.text, expiresAt: Timestamp(milliseconds: end))
        return now < pending.expiresAt ? pending : nil
    }

    /// Its user, as long as nothing has changed that let them come so far.
    func user(in store: any Queryable) throws -> User? {
        guard let user: User = try UserTable.find(self.userID, in: store), user.state == .active,
            ConstantTime.equals(Self.mark(of: user), self.mark)
        else { return nil }
        return user
    }

    /// How the user has come so far.
    var methods: [String] { self.provider == nil ? ["pwd"] : [] }
}
