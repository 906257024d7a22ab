import Contracts
import HTTP
import JSON
import KeyRing
import REST
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import Secrets

struct KeyRoutesTests {
    private static func rotate(_ fixture: SecretsFixture, _ body: JSONObject) async throws -> TestAnswer {
        try await fixture.send("POST", "/v1/keys/rotations", "admin", .object(body))
    }

    /// How a task ended.
    private static func ended(_ fixture: SecretsFixture, _ answer: TestAnswer) async throws -> JSONValue {
        let path: String = try #require(answer.fields["Location"])
        try await eventually("the task ends") {
            try await fixture.send("GET", path, "admin").json["state"]?.text != "running"
        }
        return try await fixture.send("GET", path, "admin").json
    }

    @Test func rotatesDataKeysAndRenewsInTheBackground() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        for number in 1...150 { try await fixture.put("s\(number)", "value \(number)") }
        let answer: TestAnswer = try await Self.rotate(fixture, ["level": "data"])
        #expect(answer.status == 202)
        let task: JSONValue = try await Self.ended(fixture, answer)
        #expect(task["state"]?.text == "done")
        #expect(task["done"]?.integer == 150)
        #expect(task["result"]?["unopened"]?.integer == 0)
        let heads: Int64 = try await fixture.harness.services.store.read { reader in
            try reader.first("SELECT count(DISTINCT substr(sealed, 1, 5)) FROM secret_versions") { try $0.int(0) } ?? 0
        }
        #expect(heads == 1)
        for number in 1...150 { #expect(try await fixture.value("s\(number)", version: 1) == "value \(number)") }
        let ring: JSONValue = try await fixture.send("GET", "/v1/keys", "admin").json
        #expect(ring["values_to_seal"]?.integer == 0)
        #expect(ring["sealed"]?.boolean == false)
        // The platform's and the tenant's.
        #expect(try await fixture.harness.auditEntries("key.rotated").count == 2)
    }

    @Test func rotatesTheKeyEncryptingKey() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        try await fixture.put("s", "value")
        let task: JSONValue = try await Self.ended(fixture, try await Self.rotate(fixture, ["level": "key-encrypting"]))
        #expect(task["state"]?.text == "done")
        #expect(task["done"]?.integer == 2)
        #expect(try await fixture.value("s", version: 1) == "value")
        try await eventually("the old key goes") {
            try await fixture.send("GET", "/v1/keys", "admin").json["key_encrypting_keys"]?.integer == 1
        }
    }

    @Test func saysHowAMasterKeyOfTheEnvironmentIsRotated() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        let refused: TestAnswer = try await Self.rotate(fixture, ["level": "master"])
        #expect(refused.status == 409)
        #expect(refused.detail.contains("keys.old_url"))
        #expect(try await fixture.harness.auditEntries("key.rotated").isEmpty)
    }

    @Test func refusesWhatIsNoLevelOrTenant() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        #expect(try await Self.rotate(fixture, ["level": "all"]).status == 400)
        #expect(try await Self.rotate(fixture, ["level": "data", "tenant": "acme"]).pointers == ["/tenant"])
        #expect(try await Self.rotate(fixture, ["level": "master", "tenant": "acme"]).pointers == ["/tenant"])
        try await fixture.put("s", "value")
        #expect(try await Self.rotate(fixture, ["level": "data", "tenant": "acme"]).status == 202)
    }

    @Test func answersUnavailableWhileSealed() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        try await fixture.put("s", "value")
        #expect(try await fixture.send("POST", "/v1/keys/seal", "admin").json["sealed"]?.boolean == true)
        let refused: TestAnswer = try await fixture.put("s", "other")
        #expect(refused.status == 503)
        #expect(refused.fields["Retry-After"] != nil)
        #expect(refused.detail.contains("/v1/keys/unseal"))
        #expect(try await Self.rotate(fixture, ["level": "data"]).status == 503)
        // What needs no key goes on.
        #expect(try await fixture.send("GET", "/v1/tenants/acme/secrets/s").status == 200)
        #expect(try await fixture.send("POST", "/v1/keys/unseal", "admin").json["sealed"]?.boolean == false)
        #expect(try await fixture.put("s", "other").status == 200)
        #expect(try await fixture.harness.auditTypes().contains("key-ring.sealed"))
        #expect(try await fixture.harness.auditTypes().contains("key-ring.unsealed"))
    }

    /// What a process that was killed left: a task that runs, and values under an older key.
    @Test func goesOnAfterARestart() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        for number in 1...20 { try await fixture.put("s\(number)", "value \(number)") }
        await fixture.harness.stop()
        _ = try await fixture.keys.rotateDataKey(tenant: "acme")
        let left: TaskRecord = TaskRecord(
            kind: KeyRenewal.kind, tenant: "", createdBy: "usr_admin", now: fixture.harness.clock.now())
        try await fixture.harness.services.store.write { try TaskTable.insert(left, in: $0) }
        // On a shared database a process is taken for lost after a while.
        fixture.harness.clock.advance(by: KeyRenewal.lostAfter + .seconds(1))
        let users: FixedUsers = fixture.users
        let later: ServiceHarness = try await fixture.harness.restarted { services in
            [SecretsFixture.service(services, try await SecretsFixture.ring(services), users), TaskFace()]
        }
        try await eventually("the task ends") {
            try await later.send("GET", left.location).json["state"]?.text == "done"
        }
        #expect(try await later.send("GET", left.location).json["done"]?.integer == 20)
        await later.stop()
    }

    @Test func rotatesWhatHasBecomeOld() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        try await fixture.put("s", "value")
        // The watch of keys, and that of certificates.
        try await eventually("the service sleeps") { fixture.harness.clock.sleeperCount > 1 }
        fixture.harness.clock.advance(by: SecretsService.rotateEveryDefault + .seconds(61))
        try await eventually("keys rotate") { try await fixture.harness.auditEntries("key.rotated").count == 3 }
        try await eventually("everything is renewed") {
            try await fixture.keys.backlog(SecretsService.sealedColumns) == KeyBacklog()
        }
        #expect(try await fixture.value("s", version: 1) == "value")
        await fixture.harness.stop()
    }

    @Test func showsTasksToThoseWhoMaySeeThem() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        let answer: TestAnswer = try await Self.rotate(fixture, ["level": "data"])
        let path: String = try #require(answer.fields["Location"])
        #expect(try await fixture.send("GET", path, "devops@acme").status == 404)
        #expect(try await fixture.send("GET", path, "cpi-tenant@acme").status == 404)
        #expect(try await fixture.send("GET", "/v1/tasks", "cpi-tenant@acme").items.isEmpty)
        #expect(try await fixture.send("GET", "/v1/tasks", "admin").items.count == 1)
        #expect(try await fixture.send("GET", "/v1/tasks/tsk_none", "admin").status == 404)
        _ = try await Self.ended(fixture, answer)
    }
}
