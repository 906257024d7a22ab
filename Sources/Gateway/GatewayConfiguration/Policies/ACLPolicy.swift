import Documents
import JSON
package import Tokens

/// `acl`: which of the callers that authentication found may pass.
package struct ACLPolicy: Sendable, Equatable {
    /// A description of callers. Every kind that is named must fit; of applications, plans and groups one, of scopes all.
    package struct Rule: Sendable, Equatable {
        package var applications: [String]
        package var plans: [String]
        package var scopes: [String]
        package var groups: [String]
        package var claims: [RequiredClaim]

        package init(
            applications: [String] = [], plans: [String] = [], scopes: [String] = [], groups: [String] = [],
            claims: [RequiredClaim] = []
        ) {
            self.applications = applications
            self.plans = plans
            self.scopes = scopes
            self.groups = groups
            self.claims = claims
        }
    }

    /// Callers that fit one of these are refused with 403. Default: nobody.
    package var deny: [Rule]
    /// Of the others, only callers that fit one of these pass. Default: everybody.
    package var allow: [Rule]

    package init(allow: [Rule] = [], deny: [Rule] = []) {
        self.allow = allow
        self.deny = deny
    }

    package static let rulesMax: Int = 64
    package static let valuesMax: Int = 256
}

extension ACLPolicy {
    static func read(_ decoder: NodeDecoder) -> ACLPolicy? {
        guard let fields: NodeFields = decoder.fields(["allow", "deny"]) else { return nil }
        // An empty list is a mistake: an empty `allow` reads like "nobody" and would mean "everybody".
        let allow: [Rule]? =
            fields["allow"] == nil ? [] : fields.list("allow", count: 1...self.rulesMax) { Rule.read($0) }
        let deny: [Rule]? = fields["deny"] == nil ? [] : fields.list("deny", count: 1...self.rulesMax) { Rule.read($0) }
        if fields["allow"] == nil && fields["deny"] == nil {
            decoder.problem("expected rules in 'allow', 'deny' or both")
            return nil
        }
        guard let allow, let deny else { return nil }
        return ACLPolicy(allow: allow, deny: deny)
    }

    func write(_ body: inout DefinitionWriter) {
        body.set("allow", list: self.allow.map { $0.json() })
        body.set("deny", list: self.deny.map { $0.json() })
    }
}

extension ACLPolicy.Rule {
    static func read(_ decoder: NodeDecoder) -> ACLPolicy.Rule? {
        let known: [String] = ["applications", "plans", "scopes", "groups", "claims"]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let applications: [String]? = self.values(fields, "applications") { $0.id() }
        let plans: [String]? = self.values(fields, "plans") { $0.id() }
        let scopes: [String]? = self.values(fields, "scopes") { $0.scope() }
        let groups: [String]? = self.values(fields, "groups") { $0.string(length: 1...256) }
        let claims: [RequiredClaim]? = fields.value("claims", default: []) { RequiredClaim.readList($0) }
        guard let applications, let plans, let scopes, let groups, let claims else { return nil }
        let rule: ACLPolicy.Rule = ACLPolicy.Rule(
            applications: applications, plans: plans, scopes: scopes, groups: groups, claims: claims)
        if rule == ACLPolicy.Rule() {
            decoder.problem("expected at least one of \(known.joined(separator: ", "))")
            return nil
        }
        return rule
    }

    private static func values(
        _ fields: NodeFields, _ name: String, _ read: (NodeDecoder) -> String?
    ) -> [String]? {
        fields[name] == nil ? [] : fields.list(name, count: 1...ACLPolicy.valuesMax, read)
    }

    func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("applications", list: self.applications.map { .string($0) })
        writer.set("plans", list: self.plans.map { .string($0) })
        writer.set("scopes", list: self.scopes.map { .string($0) })
        writer.set("groups", list: self.groups.map { .string($0) })
        writer.set("claims", RequiredClaim.json(self.claims))
        return writer.value
    }
}
