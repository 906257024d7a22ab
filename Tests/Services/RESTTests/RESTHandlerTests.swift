import Contracts
import EventLoops
import HTTP
import JSON
import REST
import ServiceTestKit
import TestKit
import Testing

struct RESTHandlerTests {
    private static func harness() async throws -> ServiceHarness {
        try await ServiceHarness(migrations: [SampleService.migrations]) { _ in [SampleService()] }
    }

    private static func note(_ name: String, _ text: String = "x") -> JSONValue {
        .object(["name": .string(name), "text": .string(text)])
    }

    // MARK: Access

    @Test func answersOpenRoutesWithoutCredentials() async throws {
        let answer: TestAnswer = try await Self.harness().send("GET", "/v1/hello", token: nil)
        #expect(answer.status == 200)
        #expect(answer.json["hello"]?.text == "world")
    }

    @Test(arguments: [nil, "wrong"])
    func refusesWithoutAValidTokenAndSaysHow(token: String?) async throws {
        let answer: TestAnswer = try await Self.harness().send("GET", "/v1/mine", token: token)
        #expect(answer.status == 401)
        #expect(answer.fields["WWW-Authenticate"]?.hasPrefix("Bearer realm=") == true)
        #expect(answer.fields["Content-Type"] == "application/problem+json")
        #expect(answer.json["type"]?.text == "urn:passerelle:problem:unauthenticated")
    }

    @Test func aTenantOfOthersDoesNotExist() async throws {
        let harness: ServiceHarness = try await Self.harness()
        let others: TestAnswer = try await harness.send("GET", "/v1/tenants/globex/notes", token: "devops@acme")
        let nobodys: TestAnswer = try await harness.send("GET", "/v1/tenants/nobody/notes", token: "devops@acme")
        #expect(others.status == 404)
        #expect(nobodys.status == 404)
        #expect(others.json["detail"]?.text == "There is no tenant 'globex'.")
        #expect(nobodys.json["detail"]?.text == "There is no tenant 'nobody'.")
    }

    @Test func namesTheMissingPermissionAndAuditsTheRefusal() async throws {
        let harness: ServiceHarness = try await Self.harness()
        let answer: TestAnswer = try await harness.send(
            "POST", "/v1/tenants/acme/notes", token: "viewer@acme", Self.note("a"))
        #expect(answer.status == 403)
        #expect(answer.json["detail"]?.text?.contains("catalog:api:write") == true)
        let entries: [JSONValue] = try await harness.auditEntries("access.refused")
        #expect(entries.count == 1)
        #expect(entries.first?["actor"]?["user_id"]?.text == "usr_viewer_acme")
        #expect(entries.first?["resource"]?["id"]?.text == "createNote")
    }

    @Test func aTenantRoleDoesNotReachPlatformRoutes() async throws {
        let harness: ServiceHarness = try await Self.harness()
        #expect(try await harness.send("GET", "/v1/platform", token: "cpi-tenant@acme").status == 403)
        #expect(try await harness.send("GET", "/v1/platform", token: "admin").status == 200)
    }

    @Test func aScopedRouteIsLimitedToWhatTheCallerReaches() async throws {
        let harness: ServiceHarness = try await Self.harness()
        #expect(try await harness.send("GET", "/v1/scoped").json["scope"] == .null)
        #expect(try await harness.send("GET", "/v1/scoped?tenant=acme").json["scope"]?.text == "acme")
        #expect(try await harness.send("GET", "/v1/scoped", token: "viewer@acme").json["scope"]?.text == "acme")
        #expect(try await harness.send("GET", "/v1/scoped?tenant=acme", token: "viewer@acme").status == 200)
        #expect(try await harness.send("GET", "/v1/scoped?tenant=globex", token: "viewer@acme").status == 404)
        #expect(try await harness.send("GET", "/v1/scoped", token: nil).status == 401)
        let refused: TestAnswer = try await harness.send("GET", "/v1/scoped", token: "auditor@acme")
        #expect(refused.status == 200, "auditors read what viewers read")
        #expect(try await harness.auditEntries("access.refused").count == 1)
    }

    @Test func auditsTheCallerBehindATrustedProxyAndNobodyWhomOthersName() async throws {
        var edge: Edge = Edge()
        edge.proxies.ranges = [try #require(AddressRange("10.0.0.0/8"))]
        let harness: ServiceHarness = try await ServiceHarness(
            migrations: [SampleService.migrations], edge: edge
        ) { _ in [SampleService()] }
        for (peer, says) in [("10.1.2.3", "6.6.6.6, 192.0.2.7"), ("192.0.2.8", "6.6.6.6"), ("10.1.2.3", "nonsense")] {
            let answer: TestAnswer = try await harness.send(
                "POST", "/v1/tenants/acme/notes", token: "viewer@acme", Self.note("a"),
                fields: [("X-Forwarded-For", says)], from: try #require(SocketAddress(host: peer, port: 1)))
            #expect(answer.status == 403)
        }
        let entries: [JSONValue] = try await harness.auditEntries("access.refused")
        #expect(entries.map { $0["actor"]?["ip"]?.text } == ["192.0.2.7", "192.0.2.8", "10.1.2.3"])
    }

    // MARK: Routing

    @Test func unknownPathsAndMethods() async throws {
        let harness: ServiceHarness = try await Self.harness()
        #expect(try await harness.send("GET", "/v1/nothing").status == 404)
        let wrong: TestAnswer = try await harness.send("DELETE", "/v1/tenants/acme/notes")
        #expect(wrong.status == 405)
        #expect(wrong.fields["Allow"] == "GET, POST, HEAD")
        #expect(try await harness.send("HEAD", "/v1/hello").status == 200)
        #expect(try await harness.send("GET", "/v1/tenants/%zz/notes").status == 400)
    }

    // MARK: Bodies and parameters

    @Test func namesEveryInvalidFieldByPointer() async throws {
        let harness: ServiceHarness = try await Self.harness()
        let answer: TestAnswer = try await harness.send(
            "POST", "/v1/tenants/acme/notes", .object(["name": 7, "extra": true]))
        #expect(answer.status == 400)
        var pointers: Set<String> = []
        for field in answer.json["errors"]?.elements ?? [] { pointers.insert(field["pointer"]?.text ?? "") }
        #expect(pointers.isSuperset(of: ["/name", "/extra"]))
        #expect(pointers.count == 3, "\(pointers): the missing text as well")
        #expect(try await harness.events(Topics.apiCreated).isEmpty)
    }

    @Test func saysWhereABodyIsNotJSON() async throws {
        let harness: ServiceHarness = try await Self.harness()
        let answer: TestAnswer = try await harness.send(
            "POST", "/v1/tenants/acme/notes", fields: [("Content-Type", "text/plain")])
        #expect(answer.status == 415)
        let empty: TestAnswer = try await harness.send(
            "POST", "/v1/tenants/acme/notes", fields: [("Content-Type", "application/json")])
        #expect(empty.status == 400)
        #expect(empty.json["detail"]?.text?.contains("line 1, column 1") == true)
    }

    @Test(arguments: ["limit=0", "limit=201", "limit=x", "colour=red", "limit=1&limit=2", "cursor=!!", "cursor=_w"])
    func refusesInvalidQueryParameters(query: String) async throws {
        let answer: TestAnswer = try await Self.harness().send("GET", "/v1/tenants/acme/notes?\(query)")
        #expect(answer.status == 400)
        #expect(answer.json["errors"]?.elements?.isEmpty == false)
    }

    @Test func pagesThroughAList() async throws {
        let harness: ServiceHarness = try await Self.harness()
        for name in ["a", "b", "c", "d", "e"] {
            #expect(try await harness.send("POST", "/v1/tenants/acme/notes", Self.note(name)).status == 201)
        }
        var seen: [String] = []
        var cursor: String = ""
        for _ in 0..<3 {
            let page: TestAnswer = try await harness.send("GET", "/v1/tenants/acme/notes?limit=2\(cursor)")
            for item in page.json["items"]?.elements ?? [] { seen.append(item["name"]?.text ?? "") }
            cursor = page.json["next"]?.text.map { "&cursor=\($0)" } ?? ""
        }
        #expect(seen == ["a", "b", "c", "d", "e"])
        #expect(cursor.isEmpty)
    }

    // MARK: Idempotency and versions

    @Test func aRepeatedRequestChangesNothingAndGetsTheSameAnswer() async throws {
        let harness: ServiceHarness = try await Self.harness()
        let key: [(String, String)] = [("Idempotency-Key", "k-1")]
        let first: TestAnswer = try await harness.send("POST", "/v1/tenants/acme/notes", Self.note("a"), fields: key)
        let again: TestAnswer = try await harness.send("POST", "/v1/tenants/acme/notes", Self.note("a"), fields: key)
        #expect(first.status == 201)
        #expect(again.status == 201)
        #expect(again.bytes == first.bytes)
        #expect(again.fields["Location"] == first.fields["Location"])
        #expect(again.fields["Idempotent-Replayed"] == "true")
        #expect(try await harness.events(Topics.apiCreated).count == 1)
        let other: TestAnswer = try await harness.send("POST", "/v1/tenants/acme/notes", Self.note("b"), fields: key)
        #expect(other.status == 422)
    }

    @Test func anIdempotencyKeyIsForgottenAfterADayAndBelongsToItsCaller() async throws {
        let harness: ServiceHarness = try await Self.harness()
        let key: [(String, String)] = [("Idempotency-Key", "k-1")]
        #expect(try await harness.send("POST", "/v1/tenants/acme/notes", Self.note("a"), fields: key).status == 201)
        let other: TestAnswer = try await harness.send(
            "POST", "/v1/tenants/acme/notes", token: "devops@acme", Self.note("b"), fields: key)
        #expect(other.status == 201)
        harness.clock.advance(by: .seconds(86_401))
        #expect(try await harness.send("POST", "/v1/tenants/acme/notes", Self.note("a"), fields: key).status == 409)
    }

    @Test(arguments: [(nil, 200), ("*", 200), ("\"7\"", 200), ("\"6\", \"7\"", 200), ("\"6\"", 412), ("7", 412)])
    func ifMatchNamesTheVersion(header: String?, status: Int) async throws {
        let harness: ServiceHarness = try await Self.harness()
        let answer: TestAnswer = try await harness.send(
            "PUT", "/v1/tenants/acme/notes/a", Self.note("a"), fields: header.map { [("If-Match", $0)] } ?? [])
        #expect(answer.status == status)
        #expect(answer.fields["ETag"] == (status == 200 ? "\"8\"" : "\"7\""))
    }

    // MARK: Failures and languages

    @Test func aFailureShowsItsTraceIdAndNothingElse() async throws {
        let harness: ServiceHarness = try await Self.harness()
        let trace: String = "0af7651916cd43dd8448eb211c80319c"
        let answer: TestAnswer = try await harness.send(
            "GET", "/v1/broken", fields: [("traceparent", "00-\(trace)-b7ad6b7169203331-01")])
        #expect(answer.status == 500)
        #expect(answer.json["trace_id"]?.text == trace)
        #expect(!String(decoding: answer.bytes, as: UTF8.self).contains("s3cret"))
    }

    @Test(arguments: [
        ("fr", "fr"), ("fr-CA, en;q=0.5", "fr"), ("en, fr;q=0.9", "en"), ("de", "en"), ("de, fr;q=0.1", "fr"),
    ])
    func problemsSpeakTheCallersLanguage(header: String, language: String) async throws {
        let answer: TestAnswer = try await Self.harness().send(
            "GET", "/v1/nothing", fields: [("Accept-Language", header)])
        #expect(answer.fields["Content-Language"] == language)
        #expect(
            answer.json["title"]?.text
                == (language == "fr" ? "Cette ressource n'existe pas" : "There is no such resource"))
    }

    @Test func describesItselfAsOpenAPI() async throws {
        let document: JSONValue = try await Self.harness().send("GET", "/openapi.json", token: nil).json
        #expect(document["openapi"]?.text == "3.1.0")
        let operation: JSONValue? = document["paths"]?["/v1/tenants/{tenant}/notes"]?["post"]
        #expect(operation?["operationId"]?.text == "createNote")
        #expect(operation?["x-permission"]?.text == "catalog:api:write")
        #expect(operation?["requestBody"]?["content"]?["application/json"]?["schema"] == SampleService.body)
    }
}
