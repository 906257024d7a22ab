import Contracts
import Crypto
import JSON
import Store
import Time

/// Someone who signs in.
struct User: Sendable {
    enum State: String, Sendable, CaseIterable {
        case active
        /// Cannot sign in; open sessions have ended.
        case disabled
    }

    static let nameLengthMax: Int = 128
    static let passwordLengthMin: Int = 12
    /// In place of a hash: the user signs in by an identity provider, and no password is theirs.
    static let noPassword: String = ""
    /// What ids begin with, so that a reference is a name or an id and never both.
    static let idPrefix: String = "usr_"

    let id: String
    /// What the user signs in with, lower case.
    let name: String
    let passwordHash: String
    let state: State
    /// Given to the user.
    let grants: [Grant]
    /// Held by groups and by what identity providers say.
    var inherited: [Grant] = []
    let createdAt: Timestamp
    let version: Int64

    /// What a password is checked against: where there is none, a hash of the same cost that no password has.
    var checkedHash: String { self.passwordHash == Self.noPassword ? Password.dummy : self.passwordHash }

    /// All that the user holds.
    var effective: [Grant] { self.grants + self.inherited }

    /// As `caller` may see it: roles only where the caller reads users, and nothing secret. The name never leaves in events.
    func json(for caller: Caller) -> JSONValue {
        .object([
            "id": .string(self.id), "name": .string(self.name), "state": .string(self.state.rawValue),
            "grants": .array(GrantRules.visible(self.effective, of: self.id, to: caller).map { $0.json }),
            "created_at": .string(self.createdAt.rfc3339),
        ])
    }

    /// The after-image for a tenant's part of the audit log: the id and the roles there, no name and no hash, because what is in
    /// the log stays. Of the platform-wide roles when `tenant` is empty.
    func audited(in tenant: String) -> JSONObject {
        let grants: [Grant] = self.grants.filter { ($0.tenant ?? "") == tenant }
        return [
            "id": .string(self.id), "state": .string(self.state.rawValue), "grants": .array(grants.map { $0.json }),
        ]
    }

    /// The tenants these roles are held in, in order; empty stands for the platform, also where there is no role at all.
    static func tenants(of grants: [Grant]) -> [String] {
        let tenants: Set<String> = Set(grants.map { $0.tenant ?? "" })
        return tenants.isEmpty ? [""] : tenants.sorted()
    }

    /// Whether the user can do everything everywhere.
    var isAdministrator: Bool {
        self.state == .active && self.grants.contains { $0.role == .platformAdmin }
    }

    func changed(passwordHash: String? = nil, state: State? = nil, grants: [Grant]? = nil) -> User {
        User(
            id: self.id, name: self.name, passwordHash: passwordHash ?? self.passwordHash, state: state ?? self.state,
            grants: grants ?? self.grants, inherited: self.inherited, createdAt: self.createdAt,
            version: self.version + 1)
    }

    /// Why `name` is no user name; nil when it is one.
    static func problem(name: String) -> String? {
        let isFine: Bool = name.utf8.allSatisfy {
            ($0 >= 97 && $0 <= 122) || ($0 >= 48 && $0 <= 57) || [45, 46, 95, 64, 43].contains($0)
        }
        if name.hasPrefix(Self.idPrefix) { return "expected a name that does not begin like an id (\(Self.idPrefix))" }
        if isFine, !name.isEmpty, name.utf8.count <= Self.nameLengthMax { return nil }
        return "expected 1 to \(Self.nameLengthMax) lower-case letters, digits, '.', '_', '-', '+' or '@'"
    }

    /// Why `password` is not taken; nil when it is.
    static func problem(password: String) -> String? {
        if password.count < Self.passwordLengthMin { return "expected at least \(Self.passwordLengthMin) characters" }
        return password.utf8.count <= Password.bytesMax ? nil : "expected at most \(Password.bytesMax) bytes"
    }
}

extension Grant {
    var json: JSONValue {
        var object: JSONObject = ["role": .string(self.role.rawValue)]
        if let tenant: String = self.tenant { object["tenant"] = .string(tenant) }
        if let group: String = self.group { object["group"] = .string(group) }
        if let provider: String = self.provider { object["provider"] = .string(provider) }
        return .object(object)
    }
}

/// A sign-in that lasts.
struct Session: Sendable {
    /// How long a session and its token last.
    static let lifetime: Duration = .seconds(8 * 3_600)

    let id: String
    let userID: String
    let ip: String
    let createdAt: Timestamp
    let expiresAt: Timestamp
    let isRevoked: Bool
    /// When the user last showed a second factor.
    var secondFactorAt: Timestamp?
    /// The identity provider by which the user came in; nil: by a password or a passkey.
    var provider: String?
    /// How the user has shown who they are here (RFC 8176).
    var methods: [String] = []

    /// What `acr` says.
    static let oneFactor: String = "urn:passerelle:acr:one-factor"
    static let twoFactors: String = "urn:passerelle:acr:two-factors"

    /// When the user last showed who they are.
    var authenticatedAt: Timestamp { max(self.createdAt, self.secondFactorAt ?? self.createdAt) }

    var json: JSONValue {
        .object([
            "id": .string(self.id), "user_id": .string(self.userID), "ip": .string(self.ip),
            "created_at": .string(self.createdAt.rfc3339), "expires_at": .string(self.expiresAt.rfc3339),
            "revoked": .bool(self.isRevoked),
            "second_factor_at": self.secondFactorAt.map { .string($0.rfc3339) } ?? .null,
            "provider": self.provider.map { .string($0) } ?? .null,
            "methods": .array(self.methods.map { JSONValue.string($0) }),
        ])
    }
}
