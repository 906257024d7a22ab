import Contracts
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

    let id: String
    /// What the user signs in with, lower case.
    let name: String
    let passwordHash: String
    let state: State
    let grants: [Grant]
    let createdAt: Timestamp
    let version: Int64

    /// Without anything secret. The name is shown to administrators and never leaves in events.
    var json: JSONValue {
        .object([
            "id": .string(self.id), "name": .string(self.name), "state": .string(self.state.rawValue),
            "grants": .array(self.grants.map { $0.json }), "created_at": .string(self.createdAt.rfc3339),
        ])
    }

    /// The after-image for the audit log: ids and roles, no name and no hash, because what is in the log stays.
    var audited: JSONObject {
        [
            "id": .string(self.id), "state": .string(self.state.rawValue),
            "grants": .array(self.grants.map { $0.json }),
        ]
    }

    func changed(passwordHash: String? = nil, state: State? = nil, grants: [Grant]? = nil) -> User {
        User(
            id: self.id, name: self.name, passwordHash: passwordHash ?? self.passwordHash, state: state ?? self.state,
            grants: grants ?? self.grants, createdAt: self.createdAt, version: self.version + 1)
    }

    /// Why `name` is no user name; nil when it is one.
    static func problem(name: String) -> String? {
        let isFine: Bool = name.utf8.allSatisfy {
            ($0 >= 97 && $0 <= 122) || ($0 >= 48 && $0 <= 57) || [45, 46, 95, 64, 43].contains($0)
        }
        if isFine, !name.isEmpty, name.utf8.count <= Self.nameLengthMax { return nil }
        return "expected 1 to \(Self.nameLengthMax) lower-case letters, digits, '.', '_', '-', '+' or '@'"
    }

    /// Why `password` is not taken; nil when it is.
    static func problem(password: String) -> String? {
        password.count >= Self.passwordLengthMin ? nil : "expected at least \(Self.passwordLengthMin) characters"
    }
}

extension Grant {
    var json: JSONValue {
        var object: JSONObject = ["role": .string(self.role.rawValue)]
        if let tenant: String = self.tenant { object["tenant"] = .string(tenant) }
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

    var json: JSONValue {
        .object([
            "id": .string(self.id), "user_id": .string(self.userID), "ip": .string(self.ip),
            "created_at": .string(self.createdAt.rfc3339), "expires_at": .string(self.expiresAt.rfc3339),
            "revoked": .bool(self.isRevoked),
        ])
    }
}
