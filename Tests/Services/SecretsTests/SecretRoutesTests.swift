import Contracts
import HTTP
import JSON
import KeyRing
import REST
import ServiceTestKit
import Store
import Synchronization
import Testing

@testable import Secrets

struct SecretRoutesTests {
    private static let path: String = "/v1/tenants/acme/secrets/crm-token"

    @Test func aQuotaOfSecretsCountsThoseThatAreThere() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        try await fixture.harness.services.store.write {
            try TenantQuota.set(["secrets": 1], tenant: "acme", in: $0)
        }
        #expect(try await fixture.put("one", "x").status == 201)
        let refused: TestAnswer = try await fixture.put("two", "x")
        #expect(refused.status == 409 && refused.json["quota"] == "secrets")
        #expect(try await fixture.put("one", "y").status == 200, "a further version is no further secret")
        #expect(try await fixture.put("two", "x", tenant: "globex", token: "devops@globex").status == 201)
        #expect(try await fixture.send("DELETE", "/v1/tenants/acme/secrets/one").status == 204)
        #expect(try await fixture.put("two", "x").status == 201)
        await fixture.harness.stop()
    }

    @Test func keepsVersionsAndShowsNoValue() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        let made: TestAnswer = try await fixture.put("crm-token", "planted-one")
        #expect(made.status == 201)
        #expect(made.json["reference"]?.text == "secret://crm-token")
        let rotated: TestAnswer = try await fixture.put("crm-token", "planted-two")
        #expect(rotated.status == 200)
        #expect(rotated.json["version"]?.integer == 2)
        let shown: TestAnswer = try await fixture.send("GET", Self.path)
        #expect(shown.json["versions"]?.elements?.map { $0["version"]?.integer } == [2, 1])
        let list: TestAnswer = try await fixture.send("GET", "/v1/tenants/acme/secrets")
        #expect(list.items("name") == ["crm-token"])
        #expect(try await fixture.value("crm-token", version: 1) == "planted-one")
        #expect(try await fixture.value("crm-token", version: 2) == "planted-two")
        #expect(try await fixture.value("crm-token", version: 3) == nil)
        for answer in [made, rotated, shown, list] {
            #expect(!String(decoding: answer.bytes, as: UTF8.self).contains("planted"))
        }
    }

    @Test func tellsRotationsWithoutTheValue() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        try await fixture.put("crm-token", "planted-one")
        try await fixture.put("crm-token", "planted-two")
        let events: [JSONValue] = try await fixture.harness.events(Topics.secretRotated)
        #expect(
            events == [
                .object([
                    "name": "crm-token", "tenant": "acme", "version": 1, "rotated_by": "usr_devops_acme",
                ]),
                .object([
                    "name": "crm-token", "tenant": "acme", "version": 2, "rotated_by": "usr_devops_acme",
                ]),
            ])
        #expect(try await fixture.harness.auditTypes() == ["secret.created", "secret.rotated"])
        for topic in [Topics.secretRotated, Topics.auditLog] {
            for event in try await fixture.harness.events(topic) { #expect(!event.jsonText.contains("planted")) }
        }
    }

    @Test func thePlatformHasSecretsOfItsOwn() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        let body: JSONValue = .object(["value": "planted"])
        for token in ["devops@acme", "cpi-admin"] {
            #expect(try await fixture.send("PUT", "/v1/secrets/smtp", token, body).status == 403)
        }
        let made: TestAnswer = try await fixture.send("PUT", "/v1/secrets/smtp", "admin", body)
        #expect(made.status == 201)
        #expect(made.fields["Location"] == "/v1/secrets/smtp")
        #expect(try await fixture.send("GET", "/v1/secrets", "admin").items("name") == ["smtp"])
        #expect(try await fixture.send("GET", "/v1/tenants/acme/secrets").items.isEmpty)
        #expect(try await fixture.value("smtp", version: 1, tenant: "") == "planted")
        _ = try await fixture.keys.rotateDataKey(tenant: "")
        #expect(try await fixture.keys.renew(SecretsService.sealedColumns) == 0)
        #expect(try await fixture.value("smtp", version: 1, tenant: "") == "planted")
        #expect(try await fixture.send("DELETE", "/v1/secrets/smtp", "admin").status == 204)
    }

    @Test func takesTheSameValueForNoChange() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        try await fixture.put("crm-token", "planted")
        let again: TestAnswer = try await fixture.put("crm-token", "planted")
        #expect(again.status == 200)
        #expect(again.json["version"]?.integer == 1)
        #expect(try await fixture.harness.events(Topics.secretRotated).count == 1)
        let described: TestAnswer = try await fixture.send(
            "PUT", Self.path, "devops@acme", .object(["value": "planted", "description": "for the CRM"]))
        #expect(described.json["description"]?.text == "for the CRM")
        #expect(described.json["version"]?.integer == 1)
        #expect(try await fixture.harness.auditTypes().last == "secret.described")
    }

    @Test func rollsBackAndDestroysVersions() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        for value in ["one", "two", "three"] { try await fixture.put("crm-token", value) }
        let back: TestAnswer = try await fixture.send(
            "POST", "\(Self.path)/rollback", "devops@acme", .object(["version": 1]))
        #expect(back.json["version"]?.integer == 4)
        #expect(try await fixture.value("crm-token", version: 4) == "one")
        #expect(try await fixture.send("DELETE", "\(Self.path)/versions/2").status == 204)
        #expect(try await fixture.value("crm-token", version: 2) == nil)
        #expect(try await fixture.send("DELETE", "\(Self.path)/versions/2").status == 404)
        #expect(try await fixture.send("DELETE", "\(Self.path)/versions/4").status == 409)
        #expect(
            try await fixture.send("POST", "\(Self.path)/rollback", "devops@acme", .object(["version": 2])).status
                == 404)
        #expect(
            try await fixture.send("POST", "\(Self.path)/rollback", "devops@acme", .object(["version": 4])).status
                == 409)
    }

    @Test func keepsTenVersions() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        for number in 1...12 { try await fixture.put("crm-token", "value \(number)") }
        #expect(try await fixture.value("crm-token", version: 2) == nil)
        #expect(try await fixture.value("crm-token", version: 3) == "value 3")
        #expect(try await fixture.send("GET", Self.path).json["versions"]?.elements?.count == 10)
    }

    @Test func deletesUnlessSomethingLiveRefersToIt() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        try await fixture.put("crm-token", "one")
        fixture.users.names.withLock { $0 = ["orders"] }
        let refused: TestAnswer = try await fixture.send("DELETE", Self.path)
        #expect(refused.status == 409)
        #expect(refused.detail.contains("orders"))
        fixture.users.names.withLock { $0 = [] }
        #expect(try await fixture.send("DELETE", Self.path).status == 204)
        #expect(try await fixture.send("GET", Self.path).status == 404)
        #expect(try await fixture.value("crm-token", version: 1) == nil)
        // A number never stands for two values.
        #expect(try await fixture.put("crm-token", "other").json["version"]?.integer == 2)
    }

    @Test func checksTheVersionThatIsChanged() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        try await fixture.put("crm-token", "one")
        try await fixture.put("crm-token", "two")
        let refused: TestAnswer = try await fixture.send(
            "PUT", Self.path, "devops@acme", .object(["value": "three"]), fields: [("If-Match", "\"1\"")])
        #expect(refused.status == 412)
        #expect(try await fixture.value("crm-token", version: 3) == nil)
    }

    @Test(arguments: [
        ("Bad_Name", "x", "path:secret"), ("ok", "", "/value"), ("ok", "a\u{0}b", "/value"),
        ("ok", String(repeating: "é", count: 40_000), "/value"),
    ])
    func refusesWhatIsNoSecretWithoutRepeatingIt(_ name: String, _ value: String, _ pointer: String) async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        let refused: TestAnswer = try await fixture.put(name, value)
        #expect(refused.status == 400)
        #expect(refused.pointers == [pointer])
        #expect(value.count < 2 || !String(decoding: refused.bytes, as: UTF8.self).contains(value))
    }

    @Test func isForThoseWhoMay() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        try await fixture.put("crm-token", "one")
        for token in ["viewer@acme", "developer@acme", "operator@acme", "auditor@acme"] {
            #expect(try await fixture.send("GET", Self.path, token).status == 403)
            #expect(try await fixture.put("crm-token", "two", token: token).status == 403)
        }
        for token in ["devops@globex", "cpi-tenant@globex"] {
            #expect(try await fixture.send("GET", Self.path, token).status == 404)
            #expect(try await fixture.send("DELETE", Self.path, token).status == 404)
        }
        #expect(try await fixture.send("GET", Self.path, "cpi-tenant@acme").status == 200)
        for (method, path) in [("GET", "/v1/keys"), ("POST", "/v1/keys/seal"), ("POST", "/v1/keys/unseal")] {
            #expect(try await fixture.send(method, path, "cpi-tenant@acme").status == 403)
        }
    }

    @Test func repeatsWithTheSameKeyOnce() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        try await fixture.put("crm-token", "one")
        try await fixture.put("crm-token", "two")
        for _ in 0..<2 {
            let back: TestAnswer = try await fixture.send(
                "POST", "\(Self.path)/rollback", "devops@acme", .object(["version": 1]),
                fields: [("Idempotency-Key", "k1")])
            #expect(back.json["version"]?.integer == 3)
        }
    }
}
