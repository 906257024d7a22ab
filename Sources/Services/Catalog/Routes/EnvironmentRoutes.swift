import Contracts
import EventLog
import GatewayConfiguration
import HTTP
import JSON
import REST
import Store

extension CatalogService {
    var targetRoutes: [Route] {
        [
            Route(
                "GET", "/v1/tenants/{tenant}/targets", operationID: "listTargets", tag: Self.name,
                summary: "Where the tenant's deployments can go",
                access: .tenant(Permission("catalog", "target", "read")),
                query: QueryParameter.page, answers: [Answer(200, "Targets by name")]
            ) { context in
                let page: Page = try context.page()
                let targets: [Target] = try await context.read { reader in
                    _ = try Self.tenant(context.tenant, in: reader)
                    return try TargetTable.all(
                        tenant: context.tenant, after: page.after ?? "", limit: page.limit + 1, in: reader)
                }
                return .json(page.envelope(targets, key: { $0.name }, json: { $0.json }))
            },
            Route(
                "PUT", "/v1/tenants/{tenant}/targets/{target}", operationID: "putTarget", tag: Self.name,
                summary: "Creates or replaces a target", access: .tenant(Permission("catalog", "target", "write")),
                body: .json(Self.targetBody), answers: [Answer(200, "The target")]
            ) { try await Self.putTarget($0) },
        ]
    }

    var environmentRoutes: [Route] {
        [
            Route(
                "GET", "/v1/tenants/{tenant}/environments", operationID: "listEnvironments", tag: Self.name,
                summary: "The tenant's environments", access: .tenant(Permission("catalog", "environment", "read")),
                query: QueryParameter.page, answers: [Answer(200, "Environments by name")]
            ) { context in
                let page: Page = try context.page()
                let environments: [Environment] = try await context.read { reader in
                    _ = try Self.tenant(context.tenant, in: reader)
                    return try EnvironmentTable.all(
                        tenant: context.tenant, after: page.after ?? "", limit: page.limit + 1, in: reader)
                }
                return .json(page.envelope(environments, key: { $0.name }, json: { $0.json }))
            },
            Route(
                "GET", "/v1/tenants/{tenant}/environments/{environment}", operationID: "getEnvironment", tag: Self.name,
                summary: "One environment", access: .tenant(Permission("catalog", "environment", "read")),
                answers: [Answer(200, "The environment")]
            ) { context in
                let name: String = context.parameter("environment")
                let found: Environment? = try await context.read {
                    try EnvironmentTable.find(name, tenant: context.tenant, in: $0)
                }
                guard let found: Environment else { throw APIProblem.notFound("environment", name) }
                return .json(found.json, version: found.version)
            },
            Route(
                "PUT", "/v1/tenants/{tenant}/environments/{environment}", operationID: "putEnvironment", tag: Self.name,
                summary: "Creates or replaces an environment",
                access: .tenant(Permission("catalog", "environment", "write")), body: .json(Self.environmentBody),
                answers: [Answer(200, "The environment")]
            ) { [deployments] in try await Self.putEnvironment($0, deployments: deployments) },
        ]
    }

    private static let targetBody: JSONValue = Schema.object(
        ["kind": Schema.choice(["own"]), "gateway_group": Schema.text(min: 1, max: 63)],
        required: ["kind", "gateway_group"])

    private static let environmentBody: JSONValue = Schema.object(
        [
            "target": Schema.text(min: 1, max: 63),
            "hosts": Schema.array(Schema.text(min: 1, max: 253), max: Environment.hostsMax),
            "requires_promotion": Schema.boolean,
        ], required: ["target"])

    private static func putTarget(_ context: RequestContext) async throws -> HTTPResponse {
        let name: String = context.parameter("target")
        try Self.requireSlug(name, pointer: "path:target")
        let group: String = context.body["gateway_group"]?.text ?? ""
        try Self.requireSlug(group, pointer: "/gateway_group")
        let author: Author = context.author
        return try await context.change { transaction in
            _ = try Self.tenant(context.tenant, in: transaction)
            let old: Target? = try TargetTable.find(name, tenant: context.tenant, in: transaction)
            try context.requireMatch(version: old?.version ?? 0)
            if let old: Target, old.gatewayGroup != group {
                throw APIProblem.conflict(
                    "The target '\(name)' belongs to the gateway group '\(old.gatewayGroup)'. Create another target.")
            }
            let target: Target = Target(name: name, kind: "own", gatewayGroup: group, version: (old?.version ?? 0) + 1)
            try TargetTable.put(target, tenant: context.tenant, in: transaction)
            try author.audit(
                old == nil ? "target.created" : "target.updated", tenant: context.tenant,
                resource: AuditEntry.Resource(type: "target", id: name, version: target.version),
                changes: target.json.object ?? [:], in: transaction)
            return .json(target.json, version: target.version)
        }
    }

    private static func putEnvironment(
        _ context: RequestContext, deployments: any DeploymentsOffer
    ) async throws -> HTTPResponse {
        let name: String = context.parameter("environment")
        try Self.requireSlug(name, pointer: "path:environment")
        let hosts: [String] = try Self.hosts(context.body["hosts"])
        let target: String = context.body["target"]?.text ?? ""
        let author: Author = context.author
        return try await context.change { transaction in
            _ = try Self.tenant(context.tenant, in: transaction)
            guard try TargetTable.find(target, tenant: context.tenant, in: transaction) != nil else {
                throw APIProblem.invalid("/target", "there is no target '\(target)'")
            }
            let old: Environment? = try EnvironmentTable.find(name, tenant: context.tenant, in: transaction)
            try context.requireMatch(version: old?.version ?? 0)
            if old == nil, try EnvironmentTable.count(tenant: context.tenant, in: transaction) >= Environment.countMax {
                throw APIProblem.conflict(
                    "The tenant has \(Environment.countMax) environments, the most there can be. Use one of them.")
            }
            if old == nil {
                try TenantQuota.environments.require(
                    tenant: context.tenant, counting: "FROM environments WHERE tenant = $1", in: transaction)
            }
            let environment: Environment = Environment(
                name: name, target: target, hosts: hosts,
                requiresPromotion: context.body["requires_promotion"]?.boolean ?? (name == "prod"),
                version: (old?.version ?? 0) + 1)
            let live: [String] = try deployments.liveAPIs(tenant: context.tenant, environment: name, in: transaction)
            if let old: Environment, old.target != target, !live.isEmpty {
                throw APIProblem.conflict("APIs are live in '\(name)'. Undeploy them before it gets another target.")
            }
            try EnvironmentTable.put(environment, tenant: context.tenant, in: transaction)
            for id in live { try GatewayChanges.touch(.api, tenant: context.tenant, id: id, in: transaction) }
            try author.audit(
                old == nil ? "environment.created" : "environment.updated", tenant: context.tenant,
                resource: AuditEntry.Resource(type: "environment", id: name, version: environment.version),
                changes: environment.json.object ?? [:], in: transaction)
            return .json(environment.json, version: environment.version)
        }
    }

    /// Host names as the gateway takes them, each problem by its pointer.
    private static func hosts(_ value: JSONValue?) throws -> [String] {
        var hosts: [String] = []
        var errors: [InvalidField] = []
        for (index, element) in (value?.elements ?? []).enumerated() {
            do throws(PatternError) {
                let host: String = try HostPattern(parsing: element.text ?? "").text
                if hosts.contains(host) {
                    errors.append(InvalidField("/hosts/\(index)", "expected each host only once, found \(host) again"))
                }
                hosts.append(host)
            } catch {
                errors.append(InvalidField("/hosts/\(index)", error.message))
            }
        }
        guard errors.isEmpty else { throw APIProblem(.invalidRequest, "A host name is not valid.", errors: errors) }
        return hosts
    }
}
