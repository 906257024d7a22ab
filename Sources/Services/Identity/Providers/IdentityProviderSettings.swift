import JSON
package import Tokens

/// An OpenID Connect provider of others whose users may come in: `identity.providers[]` of the settings.
package struct IdentityProviderSettings: Sendable {
    /// Providers of one platform at most.
    package static let countMax: Int = 32
    /// Rules of one provider at most.
    package static let rulesMax: Int = 256
    /// Longest issuer and client id, bytes.
    package static let issuerBytesMax: Int = 512

    /// Where the provider says which roles a user has.
    package enum RoleSource: String, Sendable, CaseIterable {
        /// Signed like everything else; where Keycloak has them. The default.
        case accessToken = "access_token"
        case idToken = "id_token"
        case userinfo
    }

    /// A slug: part of the address that the provider sends users back to.
    package var name: String
    /// What the sign-in page calls it.
    package var label: String
    /// Compared byte by byte with what metadata and tokens say.
    package var issuer: String
    /// Nil: nobody signs in there, and only its tokens are taken.
    package var clientID: String?
    /// Nil: a client in the hands of its users, with PKCE alone.
    package var clientSecret: String?
    package var scopes: [String]
    /// The claim that a user's name here is made of.
    package var nameClaim: ClaimPath
    package var rolesFrom: RoleSource
    package var rules: [RoleRule]
    /// What access tokens must be for, one of these, to be taken at the control plane. Empty: none is.
    package var audiences: [String]
    /// Whether somebody who comes for the first time becomes a user. Only who has a role by the rules does.
    package var makesUsers: Bool
    /// Values of `amr` or `acr` that say that the provider has asked for a second factor.
    package var secondFactors: [String]

    package init(name: String, label: String, issuer: String, clientID: String?, clientSecret: String?) {
        self.name = name
        self.label = label
        self.issuer = issuer
        self.clientID = clientID
        self.clientSecret = clientSecret
        self.scopes = ["openid", "profile"]
        self.nameClaim = ClaimPath.named("preferred_username")
        self.rolesFrom = .accessToken
        self.rules = []
        self.audiences = []
        self.makesUsers = true
        self.secondFactors = ["mfa", "otp", "hwk"]
    }

    /// The roles that claims amount to, by the rules, in their order and each once.
    func roles(of claims: JSONObject) -> [MappedRole] {
        var roles: [MappedRole] = []
        for rule in self.rules {
            for role in rule.roles(of: claims) where !roles.contains(role) && roles.count < GrantRules.countMax {
                roles.append(role)
            }
        }
        return roles
    }

    /// Whether the provider says that a second factor was shown.
    func sawSecondFactor(_ claims: JSONObject) -> Bool {
        if let text: String = claims["acr"]?.text, self.secondFactors.contains(text) { return true }
        return (claims["amr"]?.elements ?? []).prefix(RoleRule.valuesMax).contains { value in
            value.text.map { self.secondFactors.contains($0) } ?? false
        }
    }
}

/// A role that a provider's rules give: by its name, in a tenant or, without one, everywhere.
package struct MappedRole: Sendable, Hashable {
    package let role: String
    package let tenant: String?

    package init(role: String, tenant: String?) {
        self.role = role
        self.tenant = tenant
    }
}

/// "Whoever has this value in that claim has this role": how realm and client roles, groups and custom claims become roles here.
///
/// The value may hold one `*`, which stands for any text; a tenant `*` is that text: `apim-*-devops` gives `devops` in the tenant
/// that the group names.
package struct RoleRule: Sendable, Equatable {
    /// Values of one claim read at most; further ones do not count.
    static let valuesMax: Int = 1_024
    package static let valueBytesMax: Int = 256

    /// A name, or a JSON pointer such as `/realm_access/roles` and `/resource_access/passerelle/roles`.
    package let claim: ClaimPath
    package let value: String
    package let role: String
    package let tenant: String?

    package init(claim: ClaimPath, value: String, role: String, tenant: String?) {
        self.claim = claim
        self.value = value
        self.role = role
        self.tenant = tenant
    }

    /// Why the rule is none; nil when it is one.
    package var problem: String? {
        let stars: Int = self.value.utf8.count { $0 == UInt8(ascii: "*") }
        if stars > 1 { return "expected at most one '*' in the value" }
        if self.tenant == "*", stars == 0 { return "a tenant '*' is what '*' stands for in the value: it has none" }
        return nil
    }

    func roles(of claims: JSONObject) -> [MappedRole] {
        guard let found: JSONValue = self.claim.value(in: claims) else { return [] }
        let values: [JSONValue] = found.elements ?? [found]
        var roles: [MappedRole] = []
        for value in values.prefix(Self.valuesMax) {
            guard let text: String = Self.text(value), let rest: String = self.match(text) else { continue }
            guard self.tenant == "*" else { return [MappedRole(role: self.role, tenant: self.tenant)] }
            roles.append(MappedRole(role: self.role, tenant: rest))
        }
        return roles
    }

    /// Claims may be numbers and truth values, too: `admin: true`.
    private static func text(_ value: JSONValue) -> String? {
        if let text: String = value.text { return text.utf8.count <= Self.valueBytesMax ? text : nil }
        if let flag: Bool = value.boolean { return flag ? "true" : "false" }
        return value.integer.map { String($0) }
    }

    /// What `*` stands for when `text` is the value, nothing where there is none; nil when it is another.
    private func match(_ text: String) -> String? {
        let parts: [Substring] = self.value.split(separator: "*", maxSplits: 1, omittingEmptySubsequences: false)
        let (whole, head): ([UInt8], [UInt8]) = (Array(text.utf8), Array(parts[0].utf8))
        guard parts.count == 2 else { return whole == head ? "" : nil }
        let tail: [UInt8] = Array(parts[1].utf8)
        guard whole.count > head.count + tail.count, whole.starts(with: head), whole.suffix(tail.count) == tail[...]
        else { return nil }
        return String(validating: whole[head.count..<(whole.count - tail.count)], as: UTF8.self)
    }
}
