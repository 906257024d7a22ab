import Bytes
import HTTP
import JSON
import Time
import WebAuthn

/// A passkey of a user: the public half of what an authenticator keeps.
struct Passkey: Sendable {
    static let countMax: Int = 10
    static let nameLengthMax: Int = 64
    static let idPrefix: String = "psk"

    let id: String
    /// What the authenticator knows it by.
    let credential: [UInt8]
    let userID: String
    /// What its user calls it.
    let name: String
    /// The public key in COSE's form.
    let key: [UInt8]
    let counter: UInt32
    let transports: [String]
    /// Whether it is on several devices of its user, by way of whoever keeps it for them.
    let isBackedUp: Bool
    let createdAt: Timestamp
    let usedAt: Timestamp?
    /// Since when it is not taken any more: its counter went back, so another authenticator may hold it, too.
    let suspendedAt: Timestamp?

    var json: JSONValue {
        .object([
            "id": .string(self.id), "name": .string(self.name), "created_at": .string(self.createdAt.rfc3339),
            "used_at": self.usedAt.map { .string($0.rfc3339) } ?? .null, "backed_up": .bool(self.isBackedUp),
            "suspended_at": self.suspendedAt.map { .string($0.rfc3339) } ?? .null,
        ])
    }

    /// How a browser is told of it.
    var descriptor: JSONValue {
        .object([
            "type": "public-key", "id": .string(Base64.encodeURL(self.credential)),
            "transports": .array(self.transports.map { JSONValue.string($0) }),
        ])
    }

    /// Why `name` is none; nil when it is one.
    static func problem(name: String) -> String? {
        let isFine: Bool =
            !name.isEmpty && name.count <= Self.nameLengthMax && name.utf8.count <= 4 * Self.nameLengthMax
            && name.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
        return isFine ? nil : "expected 1 to \(Self.nameLengthMax) characters"
    }
}

extension RelyingParty {
    /// For passkeys of an issuer; nil when it is named by an address, for which there are none.
    init?(issuer: String) {
        guard let parts: URLParts = URLParts(issuer) else { return nil }
        let host: String = parts.host.lowercased()
        let isAddress: Bool =
            host.contains(":") || host.split(separator: ".").last.map { $0.allSatisfy(\.isNumber) } ?? true
        if isAddress { return nil }
        let isStandard: Bool = parts.port == (parts.scheme == .https ? 443 : 80)
        self.init(id: host, origin: "\(parts.scheme.rawValue)://\(host)" + (isStandard ? "" : ":\(parts.port)"))
    }
}
