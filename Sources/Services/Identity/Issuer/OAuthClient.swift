import Contracts
import Crypto
import HTTP
import JSON
import REST
import Time

/// Something that people sign in to through the platform, or that gets tokens for itself.
struct OAuthClient: Sendable {
    static let idPrefix: String = "cli_"
    static let secretPrefix: String = "pcs_"
    static let secretBytes: Int = 32
    static let addressesMax: Int = 16
    /// How long the secret before a new one works, seconds: at most, and when nothing is said.
    static let overlapMax: Int64 = 30 * 86_400
    static let overlapDefault: Int64 = 86_400
    /// The command line: part of the program, so it is in no table.
    static let commandLine: OAuthClient = OAuthClient(
        tenant: "", id: "passerelle-cli", name: "Passerelle (command line)", secretHash: nil, redirectURIs: [],
        logoutURIs: [], grantTypes: [deviceGrant, "refresh_token"], scopes: ["openid", "profile", "platform"],
        isTrusted: false, account: nil, createdAt: Timestamp(milliseconds: 0), version: 1)
    static let deviceGrant: String = "urn:ietf:params:oauth:grant-type:device_code"
    static let grantTypes: [String] = ["authorization_code", "refresh_token", "client_credentials", deviceGrant]
    /// What a client may ask for. `platform`: to call the control plane as the user, with all that the user may do there.
    static let scopes: [String] = ["openid", "profile", "groups", "roles", "platform"]

    /// Empty: the platform's.
    let tenant: String
    let id: String
    let name: String
    /// SHA-256 of the secret, hex; nil for programs in the hands of their users, which can keep none.
    let secretHash: String?
    /// Compared byte by byte.
    let redirectURIs: [String]
    let logoutURIs: [String]
    let grantTypes: [String]
    let scopes: [String]
    /// Whether users are not asked: the platform's own.
    let isTrusted: Bool
    /// The service account as which it acts with `client_credentials`.
    let account: String?
    let createdAt: Timestamp
    let version: Int64
    /// The secret before, and until when it works beside the present one.
    var oldSecret: (hash: String, ends: Timestamp)?

    var json: JSONValue {
        func texts(_ values: [String]) -> JSONValue { .array(values.map { JSONValue.string($0) }) }
        return .object([
            "id": .string(self.id), "tenant": self.tenant.isEmpty ? .null : .string(self.tenant),
            "name": .string(self.name), "confidential": .bool(self.secretHash != nil),
            "redirect_uris": texts(self.redirectURIs), "post_logout_redirect_uris": texts(self.logoutURIs),
            "grant_types": texts(self.grantTypes), "scopes": texts(self.scopes), "trusted": .bool(self.isTrusted),
            "service_account": self.account.map { .string($0) } ?? .null,
            "old_secret_ends_at": self.oldSecret.map { .string($0.ends.rfc3339) } ?? .null,
            "created_at": .string(self.createdAt.rfc3339),
        ])
    }

    /// Whether what it does for a user is as if the user had signed in here: it makes tokens and changes the password.
    var isFirstParty: Bool { self.isTrusted || self.id == Self.commandLine.id }

    /// Whether `secret` is the client's. A client without one has none to show.
    func isRight(secret: String?, now: Timestamp) -> Bool {
        guard let hash: String = self.secretHash else { return secret == nil }
        let shown: String = AccessToken.hash(secret ?? "")
        if ConstantTime.equals(shown, hash) { return true }
        guard let old = self.oldSecret, now < old.ends else { return false }
        return ConstantTime.equals(shown, old.hash)
    }

    /// Whether people may be sent back to an address: one that is registered, byte by byte.
    ///
    /// A program in the hands of its users, registered for the machine itself without a port, takes whichever port it gets (RFC 8252
    /// section 7.3). That is for the addresses of the machine, not for its name, which may lead elsewhere.
    func isRegistered(_ address: String) -> Bool {
        let bytes: [UInt8] = Array(address.utf8)
        if self.redirectURIs.contains(where: { Array($0.utf8) == bytes }) { return true }
        guard self.secretHash == nil else { return false }
        for origin in ["http://127.0.0.1", "http://[::1]"] {
            guard address.hasPrefix("\(origin):") else { continue }
            let rest: Substring = address.dropFirst(origin.count + 1)
            let port: Substring = rest.prefix { $0.isASCII && $0.isNumber }
            guard let number: UInt16 = UInt16(port), number > 0, String(number) == port else { return false }
            let without: [UInt8] = Array("\(origin)\(rest.dropFirst(port.count))".utf8)
            return self.redirectURIs.contains { Array($0.utf8) == without }
        }
        return false
    }

    /// Why `text` is no address to send people back to; nil when it is one.
    ///
    /// `https`, `http` on the machine itself, or a private scheme with a dot (RFC 8252 section 7.1); nothing that a browser reads
    /// differently than we do: no fragment, user, backslash or white space.
    static func problem(address text: String) -> String? {
        let expected: String =
            "expected https://…, http://127.0.0.1…, http://localhost… or a scheme of your own like com.example.app:/…"
        guard !text.isEmpty, text.utf8.count <= 512, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            return expected
        }
        for byte in text.utf8 where [35, 92, 60, 62, 34, 42].contains(byte) {
            return "expected no fragment, backslash, quotes, angle brackets or '*'"
        }
        guard let colon: String.Index = text.firstIndex(of: ":") else { return expected }
        let scheme: Substring = text[..<colon]
        if scheme == "https" || scheme == "http" {
            guard let parts: URLParts = URLParts(text) else { return expected }
            let rest: Substring = text[colon...].dropFirst(3)
            guard !rest.prefix(while: { $0 != "/" && $0 != "?" }).contains("@") else { return "expected no user name" }
            let isLocal: Bool = ["127.0.0.1", "localhost", "::1", "[::1]"].contains(parts.host)
            return scheme == "https" || isLocal ? nil : expected
        }
        let isPrivate: Bool =
            scheme.contains(".")
            && scheme.utf8.allSatisfy { ($0 >= 97 && $0 <= 122) || ($0 >= 48 && $0 <= 57) || $0 == 46 || $0 == 45 }
        return isPrivate ? nil : expected
    }

    /// The origin of an address, for `form-action`: a form's answer leads there.
    static func origin(of address: String) -> String {
        guard let parts: URLParts = URLParts(address) else {
            return String(address.prefix { $0 != ":" }) + ":"
        }
        return "\(parts.scheme.rawValue)://\(parts.authority)"
    }
}

/// A refusal of the issuer in OAuth's own form (RFC 6749 section 5.2).
struct OAuthError: Error, Sendable {
    let code: String
    let description: String

    init(_ code: String, _ description: String) {
        self.code = code
        self.description = description
    }

    var response: HTTPResponse {
        var response: HTTPResponse = .json(
            .object(["error": .string(self.code), "error_description": .string(self.description)]),
            status: self.code == "invalid_client" ? 401 : 400)
        if self.code == "invalid_client" { response.fields.append("WWW-Authenticate", "Basic realm=\"passerelle\"") }
        response.fields.append("Cache-Control", "no-store")
        return response
    }
}
