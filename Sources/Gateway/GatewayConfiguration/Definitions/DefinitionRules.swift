/// Rules that concern several fields of an API, wherever the definition comes from.
package enum DefinitionRules {
    /// One finding: the route it concerns, or nil for the API, and what was expected.
    package struct Finding: Sendable, Equatable {
        package let route: Int?
        package let message: String
    }

    /// What is wrong with an API, as sentences.
    package static func problems(of api: APIDefinition) -> [String] {
        var problems: [String] = []
        for finding in self.findings(of: api) {
            if let route: Int = finding.route {
                problems.append("route \(api.routes[route].id): \(finding.message)")
            } else {
                problems.append(finding.message)
            }
        }
        return problems
    }

    /// What is wrong with an API.
    package static func findings(of api: APIDefinition) -> [Finding] {
        var findings: [Finding] = []
        for message in self.repeated(api.policies) { findings.append(Finding(route: nil, message: message)) }
        var ids: Set<String> = []
        for (index, route) in api.routes.enumerated() {
            for message in self.repeated(route.policies) { findings.append(Finding(route: index, message: message)) }
            // Routes that share the id made from their fields are in conflict, which is found elsewhere.
            let derived: String = RouteDefinition.derivedID(
                path: route.path, methods: route.methods, headers: route.headers, query: route.query)
            if !ids.insert(route.id).inserted && route.id != derived {
                findings.append(
                    Finding(route: index, message: "expected an id that no other route of the API has: '\(route.id)'"))
            }
            if let message: String = self.versionProblem(api.version, route) {
                findings.append(Finding(route: index, message: message))
            }
            if let message: String = self.subjectProblem(api: api.policies, route: route.policies) {
                findings.append(Finding(route: index, message: message))
            }
        }
        return findings
    }

    /// What the API's version cannot be added to.
    private static func versionProblem(_ version: VersionDefinition?, _ route: RouteDefinition) -> String? {
        guard let version: VersionDefinition else { return nil }
        var conditions: [RouteCondition] = []
        var added: String = ""
        switch version.place {
        case .path:
            return route.path.kind == .regex ? "expected no 'regex' in an API whose version stands in the path" : nil
        case .header(let name): (conditions, added) = (route.headers, name)
        case .query(let name): (conditions, added) = (route.query, name)
        }
        if conditions.contains(where: { $0.name == added }) {
            return "expected no condition of its own for '\(added)', which names the API's version"
        }
        return conditions.count < RouteDefinition.conditionsMax
            ? nil : "expected at most \(RouteDefinition.conditionsMax - 1) conditions beside the API's version"
    }

    /// Each kind stands once in a list, but limits, which add up.
    private static func repeated(_ policies: [PolicyDefinition]) -> [String] {
        var messages: [String] = []
        var seen: Set<String> = []
        for policy in policies {
            if policy.addsUp { continue }
            if !seen.insert(policy.kind).inserted {
                messages.append("expected the policy \(policy.kind) only once in a list")
            }
        }
        return messages
    }

    /// A limit by application or key counts nobody where nobody is identified.
    private static func subjectProblem(api: [PolicyDefinition], route: [PolicyDefinition]) -> String? {
        let own: [PolicyDefinition] = route.filter { $0.isAuthentication }
        let effective: [PolicyDefinition] = own.isEmpty ? api.filter { $0.isAuthentication } : own
        var hasToken: Bool = false
        var identifies: Bool = false
        for policy in effective where policy != .anonymous {
            identifies = true
            switch policy {
            case .jwt, .introspection: hasToken = true
            default: break
            }
        }
        for policy in api + route {
            guard let subject: RateLimitPolicy.Subject = policy.subject else { continue }
            if !identifies && (subject == .application || subject == .key) {
                return "expected an api_key policy, because a \(policy.kind) counts by \(subject.rawValue)"
            }
            if !hasToken && subject == .claim {
                return "expected a jwt or introspection policy, because a rate_limit counts by claim"
            }
        }
        for policy in api + route {
            if case .acl = policy, !identifies {
                return "expected a policy that identifies callers, such as jwt, because there is an acl"
            }
        }
        return nil
    }
}
