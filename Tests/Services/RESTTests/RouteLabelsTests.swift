import Contracts
import HTTP
import JSON
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import REST

/// A service whose operations are about APIs, and which decides by their labels, or forgets to.
private final class ForgetfulService: PlatformService {
    static let name: String = "forgetful"
    static let migrations: ServiceMigrations = ServiceMigrations(
        service: "forgetful",
        steps: [Migration(number: 1, name: "words", sql: "CREATE TABLE words (word text NOT NULL PRIMARY KEY);")])
    static let write: Permission = Permission("catalog", "api", "write")

    func start() async throws {}
    func stop() async {}

    private static func write(_ word: String, in transaction: Transaction) throws {
        try transaction.execute("INSERT INTO words (word) VALUES ($1)", .text(word))
    }

    private static func route(
        _ name: String, _ handler: @escaping @Sendable (RequestContext) async throws -> HTTPResponse
    ) -> Route {
        Route(
            "POST", "/v1/tenants/{tenant}/\(name)", operationID: name, tag: "forgetful", summary: "Something",
            access: .tenant(Self.write), labels: .api, answers: [Answer(204, "Done")], handler: handler)
    }

    var routes: [Route] {
        [
            Self.route("forgets") { context in
                try await context.change {
                    try Self.write("forgotten", in: $0)
                    return .noContent
                }
            },
            Self.route("reads") { _ in .noContent },
            Self.route("asks") { context in
                try await context.change { transaction in
                    try context.requireAccess(APILabels(["team": "a"]), unknown: .notFound("API", "x"))
                    try Self.write("asked", in: transaction)
                    return .noContent
                }
            },
        ]
    }
}

struct RouteLabelsTests {
    private static func harness() async throws -> ServiceHarness {
        let harness: ServiceHarness = try await ServiceHarness(migrations: [ForgetfulService.migrations]) { _ in
            [ForgetfulService()]
        }
        for team in ["a", "b"] {
            let role: Role = Role(
                custom: team, permissions: [ForgetfulService.write],
                conditions: RoleConditions(labels: [LabelCondition(key: "team", values: [team])]))
            harness.add([Grant(role: role, tenant: "acme")], token: team)
        }
        return harness
    }

    private static func words(_ harness: ServiceHarness) async throws -> [String] {
        try await harness.services.store.read { reader in
            try reader.rows("SELECT word FROM words ORDER BY word") { (row: Row) throws(StoreError) -> String in
                try row.text(0)
            }
        }
    }

    @Test func aHandlerThatForgetsToDecideChangesNothing() async throws {
        let harness: ServiceHarness = try await Self.harness()
        for key: [(String, String)] in [[], [("Idempotency-Key", "k")]] {
            #expect(
                try await harness.send("POST", "/v1/tenants/acme/forgets", token: "a", fields: key).status == 403)
        }
        #expect(try await harness.send("POST", "/v1/tenants/acme/reads", token: "a").status == 403)
        #expect(try await Self.words(harness).isEmpty)
        #expect(try await harness.send("POST", "/v1/tenants/acme/forgets", token: "devops@acme").status == 204)
        #expect(
            try await Self.words(harness) == ["forgotten"], "for who may do it to every API there is nothing to ask")
    }

    @Test func decidesInTheTransactionOfTheChange() async throws {
        let harness: ServiceHarness = try await Self.harness()
        let refused: TestAnswer = try await harness.send("POST", "/v1/tenants/acme/asks", token: "b")
        #expect(refused.status == 404)
        #expect(refused.detail == "There is no API 'x'.")
        #expect(try await Self.words(harness).isEmpty)
        #expect(try await harness.send("POST", "/v1/tenants/acme/asks", token: "a").status == 204)
        #expect(try await Self.words(harness) == ["asked"])
        let entries: [JSONValue] = try await harness.auditEntries("access.refused")
        #expect(entries.count == 1)
        #expect(entries.first?["changes"]?["rule"]?.text?.contains("only for APIs with team=b") == true)
    }

    private static func route(
        _ path: String, _ access: Route.Access, _ labels: Route.Labels?,
        query: [QueryParameter] = [], body: Route.Body = .none
    ) -> Route {
        Route(
            "POST", path, operationID: "o", tag: "t", summary: "s", access: access, labels: labels, query: query,
            body: body, answers: [Answer(204, "Done")]
        ) { _ in .noContent }
    }

    private static let api: Route.Access = .tenant(Permission("catalog", "api", "read"))
    private static let plan: Route.Access = .tenant(Permission("catalog", "plan", "read"))
    private static let one: String = "/v1/tenants/{tenant}/apis/{api}"
    private static let plain: String = "/v1/tenants/{tenant}/things"

    /// A route, and whether it says about labels what it must.
    private static let declarations: [(Route, Bool)] = [
        (route(one, api, .api), true), (route(one, api, .list), true), (route(one, api, .tenant), false),
        (route(one, api, nil), false),
        (route(one, plan, nil), false), (route(one, plan, .api), false), (route(plain, plan, nil), true),
        (route(plain, plan, .tenant), false), (route(plain, api, .tenant), true), (route(plain, api, nil), false),
        (route(plain, api, .tenant, query: [QueryParameter("api", .boolean, "x")]), false),
        (route(plain, plan, nil, body: .json(Schema.object(["api": Schema.text(max: 3)]))), false),
        (route(plain, api, .api, body: .json(Schema.object(["api": Schema.text(max: 3)]))), true),
        (route("/v1/things", .scoped(Permission("catalog", "api", "read")), .api), false),
        (route("/v1/things", .scoped(Permission("catalog", "api", "read")), .tenant), true),
        (route("/v1/things", .authenticated, nil), true), (route("/v1/things", .anyone, .api), false),
    ]

    @Test(arguments: 0..<declarations.count)
    func aRouteSaysWhatItDoesAboutLabelsWhereItsPermissionCanHaveThem(index: Int) {
        let (route, isRight): (Route, Bool) = Self.declarations[index]
        #expect((route.mistake == nil) == isRight, "\(index): \(route.mistake ?? "")")
    }
}
