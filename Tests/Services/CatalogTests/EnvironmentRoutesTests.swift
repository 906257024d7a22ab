import Contracts
import HTTP
import JSON
import ServiceTestKit
import Testing

struct EnvironmentRoutesTests {
    private static let targets: String = "/v1/tenants/acme/targets"
    private static let environments: String = "/v1/tenants/acme/environments"

    @Test func makesATargetAndAnEnvironmentOnIt() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let target: TestAnswer = try await fixture.send(
            "PUT", "\(Self.targets)/edge", token: "admin", .object(["kind": "own", "gateway_group": "edge-eu"]))
        #expect(target.status == 200)
        #expect(target.fields["ETag"] == "\"1\"")
        let made: TestAnswer = try await fixture.send(
            "PUT", "\(Self.environments)/live", token: "admin",
            .object(["target": "edge", "hosts": ["API.Example.com", "*.example.org"], "requires_promotion": true]))
        #expect(made.status == 200)
        let read: TestAnswer = try await fixture.send("GET", "\(Self.environments)/live")
        #expect(
            read.json
                == .object([
                    "name": "live", "target": "edge", "hosts": ["api.example.com", "*.example.org"],
                    "requires_promotion": true,
                ]))
        #expect(try await fixture.harness.auditEntries("target.created").count == 2)
        let entry: JSONValue = try #require(try await fixture.harness.auditEntries("environment.created").last)
        #expect(entry["changes"] == read.json)
    }

    @Test func prodRequiresPromotionUnlessToldOtherwise() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        for (name, expected) in [("prod", true), ("qa", false)] {
            let made: TestAnswer = try await fixture.send(
                "PUT", "\(Self.environments)/\(name)", token: "admin", .object(["target": "own"]))
            #expect(made.json["requires_promotion"]?.boolean == expected)
        }
    }

    @Test func replacesOnlyTheVersionThatWasRead() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let body: JSONValue = .object(["target": "own", "hosts": ["a.example.com"]])
        let path: String = "\(Self.environments)/staging"
        #expect(
            try await fixture.send("PUT", path, token: "admin", body, fields: [("If-Match", "\"2\"")]).status == 412)
        let changed: TestAnswer = try await fixture.send(
            "PUT", path, token: "admin", body, fields: [("If-Match", "\"1\"")])
        #expect(changed.fields["ETag"] == "\"2\"")
        #expect(try await fixture.harness.auditEntries("environment.updated").count == 1)
        let group: JSONValue = .object(["kind": "own", "gateway_group": "default"])
        #expect(
            try await fixture.send("PUT", "\(Self.targets)/own", token: "admin", group, fields: [("If-Match", "\"9\"")])
                .status == 412)
        #expect(try await fixture.send("PUT", "\(Self.targets)/own", token: "admin", group).fields["ETag"] == "\"2\"")
    }

    @Test func namesEveryWrongHost() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let answer: TestAnswer = try await fixture.send(
            "PUT", "\(Self.environments)/staging", token: "admin",
            .object([
                "target": "own", "hosts": ["https://a.example.com", "b.example.com", "c/d", "B.example.com", "e:80"],
            ]))
        #expect(answer.status == 400)
        #expect(answer.pointers == ["/hosts/0", "/hosts/2", "/hosts/3", "/hosts/4"])
        let read: TestAnswer = try await fixture.send("GET", "\(Self.environments)/staging")
        #expect(read.fields["ETag"] == "\"1\"")
    }

    @Test func refusesWhatIsNotThereAndWhatIsNotKnown() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let cases: [(String, JSONValue, String)] = [
            ("\(Self.environments)/qa", .object(["target": "nowhere"]), "/target"),
            ("\(Self.environments)/qa", .object(["hosts": []]), "/target"),
            ("\(Self.environments)/qa", .object(["target": "own", "host": "x"]), "/host"),
            ("\(Self.environments)/Q_A", .object(["target": "own"]), "path:environment"),
            ("\(Self.targets)/T_1", .object(["kind": "own", "gateway_group": "x"]), "path:target"),
            ("\(Self.targets)/t", .object(["kind": "own", "gateway_group": "X Y"]), "/gateway_group"),
            ("\(Self.targets)/t", .object(["kind": "webmethods", "gateway_group": "x"]), "/kind"),
            ("\(Self.targets)/t", .object(["kind": "own", "gateway_group": "x", "url": "x"]), "/url"),
        ]
        for (path, body, pointer) in cases {
            let answer: TestAnswer = try await fixture.send("PUT", path, token: "admin", body)
            #expect(answer.status == 400, "\(path)")
            #expect(answer.pointers.contains { $0.hasPrefix(pointer) || $0.isEmpty }, "\(path): \(answer.json)")
        }
        #expect(
            try await fixture.send(
                "PUT", "/v1/tenants/nobody/targets/t", token: "admin", .object(["kind": "own", "gateway_group": "x"])
            ).status == 404)
        #expect(
            try await fixture.send(
                "PUT", "/v1/tenants/nobody/environments/e", token: "admin", .object(["target": "own"])
            ).status == 404)
    }

    @Test func aTargetKeepsItsGatewayGroup() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let answer: TestAnswer = try await fixture.send(
            "PUT", "\(Self.targets)/own", token: "admin", .object(["kind": "own", "gateway_group": "other"]))
        #expect(answer.status == 409)
    }

    @Test func newHostsReachTheGatewaysWithWhatIsLive() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        fixture.deployments.set(
            [LiveRevision(environment: "staging", revision: 1, deploymentID: "dep_1")], of: "api_1")
        let version: Int64 = try await fixture.harness.gatewayVersion()
        let changed: TestAnswer = try await fixture.send(
            "PUT", "\(Self.environments)/staging", token: "admin",
            .object(["target": "own", "hosts": ["a.example.com"]]))
        #expect(changed.status == 200)
        #expect(try await fixture.harness.touched(after: version) == ["api acme api_1"])
        _ = try await fixture.send(
            "PUT", "\(Self.targets)/edge", token: "admin", .object(["kind": "own", "gateway_group": "edge"]))
        let moved: TestAnswer = try await fixture.send(
            "PUT", "\(Self.environments)/staging", token: "admin", .object(["target": "edge"]))
        #expect(moved.status == 409, "what is live would stay on the old gateways")
    }

    @Test func thereIsALimitOfEnvironments() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        var statuses: [Int] = []
        for number in 0..<60 {
            statuses.append(
                try await fixture.send(
                    "PUT", "\(Self.environments)/e\(number)", token: "admin", .object(["target": "own"])
                ).status)
        }
        #expect(statuses == [Int](repeating: 200, count: 59) + [409])
        let existing: TestAnswer = try await fixture.send(
            "PUT", "\(Self.environments)/e7", token: "admin", .object(["target": "own"]))
        #expect(existing.status == 200, "those that exist can still be changed")
    }

    @Test(arguments: ["devops@acme", "cpi-tenant@acme", "developer@acme"])
    func tenantRolesReadEnvironmentsOnly(token: String) async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        #expect(try await fixture.send("GET", Self.environments, token: token).status == 200)
        #expect(
            try await fixture.send("PUT", "\(Self.environments)/prod", token: token, .object(["target": "own"]))
                .status == 403)
    }
}
