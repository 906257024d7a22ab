import Contracts
import HTTP
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing

/// Routes that name an environment in each of the places where one can stand.
private final class EnvironmentService: PlatformService {
    static let name: String = "places"
    static let migrations: ServiceMigrations = ServiceMigrations(service: "places", steps: [])
    static let needed: Permission = Permission("deployments", "deployment", "write")

    func start() async throws {}
    func stop() async {}

    private static func route(
        _ method: String, _ path: String, _ access: Route.Access, query: [QueryParameter] = [],
        body: Route.Body = .none
    ) -> Route {
        Route(
            method, path, operationID: "\(method)\(path)", tag: "places", summary: "Somewhere", access: access,
            labels: .tenant, query: query, body: body, answers: [Answer(204, "Done")]
        ) { _ in .noContent }
    }

    var routes: [Route] {
        let environment: QueryParameter = QueryParameter("environment", .text(lengthMax: 63), "Where.")
        let body: Route.Body = .json(
            Schema.object(["environment": Schema.text(max: 63), "name": Schema.text(max: 63)]))
        return [
            Self.route("PUT", "/v1/tenants/{tenant}/path/{environment}", .tenant(Self.needed)),
            Self.route("GET", "/v1/tenants/{tenant}/query", .tenant(Self.needed), query: [environment]),
            Self.route("POST", "/v1/tenants/{tenant}/body", .tenant(Self.needed), body: body),
            Self.route("GET", "/v1/scoped", .scoped(Self.needed), query: [.tenant, environment]),
            Self.route("POST", "/v1/scoped", .scoped(Self.needed), query: [.tenant], body: body),
            Self.route("GET", "/v1/tenants/{tenant}/none", .tenant(Self.needed)),
        ]
    }
}

private struct OneCaller: Authenticator {
    let grants: [Grant]
    var token: TokenLimits?

    func authenticate(bearer token: String, ip: String) async -> Caller? {
        Caller(kind: .user, id: "usr_one", grants: self.grants, ip: ip, token: self.token)
    }
}

struct ConditionTests {
    private static func harness(_ caller: OneCaller) async throws -> ServiceHarness {
        try await ServiceHarness(
            migrations: [EnvironmentService.migrations], authenticator: { _, _, _ in caller }
        ) { _ in [EnvironmentService()] }
    }

    private static func role(_ environments: [String]) -> Role {
        Role(
            custom: "deployer", permissions: [EnvironmentService.needed],
            conditions: RoleConditions(environments: environments))
    }

    /// Where a request names an environment: method, target without it, and how it is named.
    enum Place: CaseIterable {
        case path, query, body, scopedQuery, scopedBody

        func request(_ environment: String) -> (String, String, JSONValue?) {
            switch self {
            case .path: ("PUT", "/v1/tenants/acme/path/\(environment)", nil)
            case .query: ("GET", "/v1/tenants/acme/query?environment=\(environment)", nil)
            case .body: ("POST", "/v1/tenants/acme/body", .object(["environment": .string(environment)]))
            case .scopedQuery: ("GET", "/v1/scoped?tenant=acme&environment=\(environment)", nil)
            case .scopedBody: ("POST", "/v1/scoped?tenant=acme", .object(["environment": .string(environment)]))
            }
        }
    }

    @Test(arguments: Place.allCases)
    func aRoleWithAConditionHoldsInItsEnvironmentsOnly(place: Place) async throws {
        let harness: ServiceHarness = try await Self.harness(
            OneCaller(grants: [Grant(role: Self.role(["dev", "staging"]), tenant: "acme")]))
        for (environment, status) in [("dev", 204), ("staging", 204), ("prod", 403), ("Dev", 403), ("", 403)] {
            if environment.isEmpty, place == .path { continue }
            let (method, target, body): (String, String, JSONValue?) = place.request(environment)
            let answer: TestAnswer = try await harness.send(method, target, token: "t", body)
            #expect(answer.status == status, "\(place) \(environment)")
            if status == 403 { #expect(answer.detail.contains("only in the environments dev, staging")) }
        }
    }

    @Test(arguments: [
        ("GET", "/v1/tenants/acme/none", JSONValue?.none), ("GET", "/v1/tenants/acme/query", nil),
        ("POST", "/v1/tenants/acme/body", .object(["name": "dev"])), ("GET", "/v1/scoped?tenant=acme", nil),
        ("POST", "/v1/scoped?tenant=acme", .object([:])),
    ])
    func whatIsAboutNoEnvironmentIsNotCovered(method: String, target: String, body: JSONValue?) async throws {
        let conditional: ServiceHarness = try await Self.harness(
            OneCaller(grants: [Grant(role: Self.role(["dev"]), tenant: "acme")]))
        #expect(try await conditional.send(method, target, token: "t", body).status == 403)
        let free: ServiceHarness = try await Self.harness(
            OneCaller(grants: [Grant(role: Self.role([]), tenant: "acme")]))
        #expect(try await free.send(method, target, token: "t", body).status == 204)
    }

    @Test func oneRoleThatHoldsIsEnough() async throws {
        let harness: ServiceHarness = try await Self.harness(
            OneCaller(grants: [
                Grant(role: Self.role(["dev"]), tenant: "acme"), Grant(role: Self.role(["prod"]), tenant: "acme"),
                Grant(role: Self.role(["staging"]), tenant: "globex"),
            ]))
        for (environment, status) in [("dev", 204), ("prod", 204), ("staging", 403)] {
            let (method, target, body): (String, String, JSONValue?) = Place.body.request(environment)
            #expect(try await harness.send(method, target, token: "t", body).status == status, "\(environment)")
        }
    }

    @Test(arguments: Place.allCases)
    func aTokenIsHeldToItsScopesInEveryPlace(place: Place) async throws {
        let grants: [Grant] = [Grant(role: .platformAdmin, tenant: nil)]
        let (method, target, body): (String, String, JSONValue?) = place.request("dev")
        for (scope, status) in [("deployments:*:write", 204), ("deployments:deployment:read", 403)] {
            let scopes: [Permission] = try [#require(Permission(pattern: scope))]
            let harness: ServiceHarness = try await Self.harness(
                OneCaller(grants: grants, token: TokenLimits(id: "tok_1", scopes: scopes)))
            #expect(try await harness.send(method, target, token: "t", body).status == status)
        }
    }

    /// The description is made from what serves: each operation says what it needs, and none is forgotten.
    @Test func everyOperationDeclaresItsAccess() async throws {
        let harness: ServiceHarness = try await Self.harness(OneCaller(grants: []))
        let paths: JSONObject = try #require(
            try await harness.send("GET", "/openapi.json", token: nil).json["paths"]?.object)
        var count: Int = 0
        for path in paths.members {
            for operation in path.value.object?.members ?? [] {
                count += 1
                let access: String = operation.value["x-access"]?.text ?? ""
                #expect(["tenant", "scoped"].contains(access))
                #expect(operation.value["x-permission"]?.text == "deployments:deployment:write")
            }
        }
        #expect(count == 6)
    }
}
