import Documents
import Files
import GatewayConfiguration
import HTTP
import Identifiers
import Identity
import Tokens

/// `identity` and `egress` of the settings file: identity providers of others, and where the platform may call.
enum IdentitySettings {
    /// Longest client secret, bytes.
    private static let secretBytesMax: Int = 4_096
    /// Ranges of addresses at most.
    private static let rangesMax: Int = 64

    static func readEgress(_ decoder: NodeDecoder, _ settings: inout Settings) {
        guard let fields: NodeFields = decoder.fields(["allow", "private_targets"]) else { return }
        let ranges: [AddressRange]? = fields["allow"]?.list(count: 0...Self.rangesMax) { element in
            element.parsed("an address or a range of addresses such as 10.1.0.0/16", { AddressRange($0) })
        }
        settings.egressAllowed = ranges ?? settings.egressAllowed
        if let isAllowed: Bool = fields["private_targets"]?.boolean() { settings.egressPrivateTargets = isAllowed }
    }

    static func read(_ decoder: NodeDecoder, _ settings: inout Settings) {
        guard let fields: NodeFields = decoder.fields(["providers"]) else { return }
        let providers: [IdentityProviderSettings]? = fields["providers"]?.list(
            count: 0...IdentityProviderSettings.countMax
        ) { Self.provider($0) }
        guard let providers: [IdentityProviderSettings] else { return }
        for (index, provider) in providers.enumerated() {
            for other in providers[..<index] where other.name == provider.name || other.issuer == provider.issuer {
                fields["providers"]?.problem("'\(provider.name)' has the name or the issuer of another provider")
            }
        }
        settings.identityProviders = providers
    }

    private static func provider(_ decoder: NodeDecoder) -> IdentityProviderSettings? {
        let known: [String] = [
            "name", "label", "issuer", "client_id", "client_secret", "client_secret_file", "scopes", "name_claim",
            "roles_from", "rules",
            "audiences", "makes_users", "second_factors",
        ]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        for key in ["name", "issuer"] where fields[key] == nil { decoder.missing(key) }
        guard let name: String = fields["name"]?.string({ Slug.validate($0) }),
            let issuer: String = fields["issuer"]?.string({ Self.problem(issuer: $0) })
        else { return nil }
        let clientID: String? = fields["client_id"]?.string(length: 1...IdentityProviderSettings.issuerBytesMax)
        var provider: IdentityProviderSettings = IdentityProviderSettings(
            name: name, label: fields["label"]?.string(length: 1...63) ?? name, issuer: issuer, clientID: clientID,
            clientSecret: nil)
        if let secret: NodeDecoder = fields["client_secret"] {
            provider.clientSecret = secret.string(length: 1...Self.secretBytesMax)
            if fields["client_secret_file"] != nil { secret.problem("expected this or client_secret_file, not both") }
        }
        if let file: NodeDecoder = fields["client_secret_file"], let path: String = file.string(length: 1...4_096) {
            provider.clientSecret = Self.secret(file, path)
        }
        if let scopes: [String] = fields["scopes"]?.list(count: 1...32, { Self.scope($0) }) { provider.scopes = scopes }
        if !provider.scopes.contains("openid") { fields["scopes"]?.problem("expected openid among them") }
        if let claim: ClaimPath = fields["name_claim"].flatMap({ Self.claim($0) }) { provider.nameClaim = claim }
        if let source: IdentityProviderSettings.RoleSource = fields["roles_from"]?.choice([
            "access_token": .accessToken, "id_token": .idToken, "userinfo": .userinfo,
        ]) {
            provider.rolesFrom = source
        }
        if let rules: [RoleRule] = fields["rules"]?.list(
            count: 0...IdentityProviderSettings.rulesMax, { Self.rule($0) })
        {
            provider.rules = rules
        }
        if let audiences: [String] = fields["audiences"]?.list(count: 0...16, { $0.string(length: 1...256) }) {
            provider.audiences = audiences
        }
        if let makesUsers: Bool = fields["makes_users"]?.boolean() { provider.makesUsers = makesUsers }
        if let factors: [String] = fields["second_factors"]?.list(count: 0...16, { $0.string(length: 1...256) }) {
            provider.secondFactors = factors
        }
        return provider
    }

    private static func problem(issuer: String) -> String? {
        guard issuer.utf8.count <= IdentityProviderSettings.issuerBytesMax, let parts: URLParts = URLParts(issuer),
            parts.query == nil
        else { return "expected the issuer as its metadata names it, such as https://login.example.com/realms/staff" }
        return nil
    }

    private static func secret(_ decoder: NodeDecoder, _ path: String) -> String? {
        do {
            let bytes: [UInt8] = try Files.read(path, bytesMax: Self.secretBytesMax)
            let line: String = String(decoding: bytes.prefix { $0 != 10 && $0 != 13 }, as: UTF8.self)
            if line.isEmpty { decoder.problem("\(path) is empty; expected the client's secret in its first line") }
            return line.isEmpty ? nil : line
        } catch {
            decoder.problem("\(error)")
            return nil
        }
    }

    private static func scope(_ decoder: NodeDecoder) -> String? {
        decoder.string { text in
            let isFine: Bool =
                !text.isEmpty && text.utf8.count <= 128 && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
            return isFine ? nil : "expected one scope: 1 to 128 characters without spaces"
        }
    }

    private static func claim(_ decoder: NodeDecoder) -> ClaimPath? {
        decoder.parsed("a claim's name, or a JSON pointer such as /realm_access/roles", { ClaimPath($0) })
    }

    private static func rule(_ decoder: NodeDecoder) -> RoleRule? {
        guard let fields: NodeFields = decoder.fields(["claim", "value", "role", "tenant"]) else { return nil }
        for key in ["claim", "value", "role"] where fields[key] == nil { decoder.missing(key) }
        guard let claim: ClaimPath = fields["claim"].flatMap({ Self.claim($0) }),
            let value: String = fields["value"]?.string(length: 1...RoleRule.valueBytesMax),
            let role: String = fields["role"]?.string({ Slug.validate($0) })
        else { return nil }
        var tenant: String?
        if let member: NodeDecoder = fields["tenant"] {
            tenant = member.string { $0 == "*" ? nil : Slug.validate($0) }
            if tenant == nil { return nil }
        }
        let rule: RoleRule = RoleRule(claim: claim, value: value, role: role, tenant: tenant)
        if let problem: String = rule.problem { decoder.problem(problem) }
        return rule
    }
}
