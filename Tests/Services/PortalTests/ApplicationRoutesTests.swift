import Bytes
import Contracts
import Crypto
import EventLog
import HTTP
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import Portal

struct ApplicationRoutesTests {
    private static let applications: String = "/v1/tenants/acme/applications"

    @Test func createsAnApplicationAndShowsItsKeyOnce() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let version: Int64 = try await fixture.harness.gatewayVersion()
        let made: TestAnswer = try await fixture.send("POST", Self.applications, .object(["name": "shop"]))
        #expect(made.status == 201)
        #expect(made.fields["Location"] == "\(Self.applications)/shop")
        let id: String = made.json["id"]?.text ?? ""
        let key: String = made.json["key"]?.text ?? ""
        #expect(id.hasPrefix("app_"))
        #expect(key.hasPrefix("pk_"))
        #expect(Base64.decodeURL(String(key.dropFirst(3)))?.count == 32)
        #expect(made.json["owner"]?.text == "usr_developer_acme")
        for reference in ["shop", id] {
            let read: TestAnswer = try await fixture.send("GET", "\(Self.applications)/\(reference)")
            #expect(read.json["id"]?.text == id)
            #expect(read.json["key"] == nil)
        }
        let keys: TestAnswer = try await fixture.send("GET", "\(Self.applications)/shop/keys")
        #expect(keys.items.count == 1)
        #expect(keys.items.first?["hint"]?.text == "…\(key.suffix(4))")
        #expect(keys.items.first?["id"] == made.json["key_id"])
        #expect(try await fixture.harness.touched(after: version) == ["application acme \(id)"])
        let entry: JSONValue? = try await fixture.gatewayEntry(made.json)
        #expect(entry?["keys"]?.elements?.first?["sha256"]?.text == Hex.encode(SHA256.hash(Array(key.utf8))))
    }

    @Test func recordsTheCreationInTheLog() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let made: JSONValue = try await fixture.makeApplication()
        let record: Record = try #require(try await fixture.harness.records(Topics.applicationCreated).first)
        #expect(record.keyText == made["id"]?.text)
        #expect(record.tenant == "acme")
        #expect(
            try JSONReader.parse(record.value)
                == .object([
                    "application_id": made["id"] ?? .null, "tenant": "acme", "owner": "usr_developer_acme",
                    "name": "shop",
                ]))
        let entry: JSONValue = try #require(try await fixture.harness.auditEntries("application.created").first)
        #expect(entry["actor"]?["user_id"]?.text == "usr_developer_acme")
        #expect(entry["changes"]?["key_id"] == made["key_id"])
        #expect(entry["changes"]?["key_sha256"]?.text?.utf8.count == 64)
    }

    @Test func theKeyIsNowhereButInTheAnswer() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let fields: [(String, String)] = [("Idempotency-Key", "once")]
        let body: JSONValue = .object(["name": "shop"])
        let made: TestAnswer = try await fixture.send("POST", Self.applications, body, fields: fields)
        let again: TestAnswer = try await fixture.send("POST", Self.applications, body, fields: fields)
        #expect(again.status == 201)
        #expect(again.fields["Idempotent-Replayed"] == "true")
        #expect(again.json["id"] == made.json["id"])
        #expect(again.json["key"] == nil)
        #expect(again.json["key_id"] == made.json["key_id"])
        let rotated: TestAnswer = try await fixture.send(
            "POST", "\(Self.applications)/shop/keys", .object([:]), fields: [("Idempotency-Key", "twice")])
        let repeated: TestAnswer = try await fixture.send(
            "POST", "\(Self.applications)/shop/keys", .object([:]), fields: [("Idempotency-Key", "twice")])
        #expect(repeated.json["id"] == rotated.json["id"])
        #expect(repeated.json["key"] == nil)
        #expect(try await fixture.harness.events(Topics.applicationCreated).count == 1)
        #expect(try await fixture.harness.events(Topics.apiKeyRotated).count == 1)
        for answer in [made, rotated] {
            let key: String = try #require(answer.json["key"]?.text)
            #expect(try await !StoredText.contains(key, in: fixture.harness), "in the store")
            #expect(!fixture.log.contains(key), "in the log lines")
        }
        #expect(try await StoredText.contains("shop", in: fixture.harness), "the search itself works")
    }

    @Test func refusesTakenAndInvalidNames() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await fixture.makeApplication()
        #expect(try await fixture.send("POST", Self.applications, .object(["name": "shop"])).status == 409)
        for name in ["Shop", "", "a b", "app_x"] {
            let answer: TestAnswer = try await fixture.send("POST", Self.applications, .object(["name": .string(name)]))
            #expect(answer.status == 400)
            #expect(answer.pointers == ["/name"])
        }
        let unknown: TestAnswer = try await fixture.send(
            "POST", Self.applications, .object(["name": "x", "owner": "usr_other", "key": "mine"]))
        #expect(unknown.pointers.sorted() == ["/key", "/owner"])
        #expect(try await fixture.send("GET", Self.applications).items.count == 1)
        #expect(try await fixture.harness.events(Topics.applicationCreated).count == 1)
    }

    @Test func aDeveloperSeesAndChangesOnlyTheOwn() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await fixture.makeApplication("own")
        let other: JSONValue = try await fixture.makeApplication("other", token: "devops@acme")
        let keyID: String = other["key_id"]?.text ?? ""
        #expect(try await fixture.send("GET", Self.applications).items("name") == ["own"])
        #expect(
            try await fixture.send("GET", Self.applications, token: "devops@acme").items("name") == ["other", "own"])
        #expect(
            try await fixture.send("GET", Self.applications, token: "viewer@acme").items("name") == ["other", "own"])
        for reference in ["other", other["id"]?.text ?? ""] {
            let path: String = "\(Self.applications)/\(reference)"
            #expect(try await fixture.send("GET", path).status == 404)
            #expect(try await fixture.send("DELETE", path).status == 404)
            #expect(try await fixture.send("GET", "\(path)/keys").status == 404)
            #expect(try await fixture.send("POST", "\(path)/keys", .object([:])).status == 404)
            #expect(try await fixture.send("DELETE", "\(path)/keys/\(keyID)").status == 404)
            let subscription: TestAnswer = try await fixture.send(
                "POST", "/v1/tenants/acme/subscriptions", PortalFixture.subscription(reference, "orders", "gold"))
            #expect(subscription.status == 404)
        }
        #expect(try await fixture.send("GET", "/v1/portal/applications").items("name") == ["own"])
        #expect(try await fixture.send("DELETE", "\(Self.applications)/own", token: "devops@acme").status == 204)
    }

    @Test func deletingAnApplicationEndsItsKeysAndSubscriptions() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let made: JSONValue = try await fixture.makeApplication()
        let subscription: JSONValue = try await fixture.subscribe()
        try await fixture.subscribe(to: "billing")
        let stale: TestAnswer = try await fixture.send(
            "DELETE", "\(Self.applications)/shop", fields: [("If-Match", "\"2\"")])
        #expect(stale.status == 412)
        let version: Int64 = try await fixture.harness.gatewayVersion()
        #expect(try await fixture.send("DELETE", "\(Self.applications)/shop").status == 204)
        #expect(try await fixture.send("GET", "\(Self.applications)/shop").status == 404)
        #expect(
            try await fixture.send("GET", "/v1/tenants/acme/subscriptions/\(subscription["id"]?.text ?? "")").status
                == 404)
        #expect(try await fixture.gatewayEntry(made) == nil)
        #expect(
            try await fixture.harness.touched(after: version) == ["application acme \(made["id"]?.text ?? "")"])
        #expect(
            try await fixture.harness.events(Topics.applicationDeleted) == [
                .object([
                    "application_id": made["id"] ?? .null, "tenant": "acme", "owner": "usr_developer_acme",
                    "name": "shop",
                ])
            ])
        #expect(try await fixture.harness.events(Topics.subscriptionDeleted).count == 2)
        #expect(try await fixture.harness.auditEntries("subscription.deleted").count == 2)
        #expect(try await fixture.harness.auditEntries("application.deleted").count == 1)
        let again: JSONValue = try await fixture.makeApplication()
        #expect(again["id"] != made["id"])
        #expect(try await fixture.send("GET", "/v1/tenants/acme/subscriptions").items.isEmpty)
    }

    @Test func ownThingsOfATenantOutOfReachAreNotShown() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let own: JSONValue = try await fixture.makeApplication()
        try await fixture.subscribe()
        let orders: String = try await fixture.apiID("orders", tenant: "globex")
        // As it stands when the user had a role in globex and lost it.
        try await fixture.harness.services.store.write { transaction in
            let application: Application = Application(
                tenant: "globex", id: "app_0190a5c2-0000-7000-8000-000000000001", name: "secret",
                owner: "usr_developer_acme", createdAt: transaction.now, version: 1)
            try ApplicationTable.insert(application, in: transaction)
            try SubscriptionTable.insert(
                Subscription(
                    tenant: "globex", id: "sub_0190a5c2-0000-7000-8000-000000000001", applicationID: application.id,
                    apiID: orders, plan: "gold", state: .active, createdAt: transaction.now, version: 1),
                in: transaction)
        }
        #expect(try await fixture.send("GET", "/v1/portal/applications").items("id") == [own["id"]?.text])
        let subscriptions: TestAnswer = try await fixture.send("GET", "/v1/portal/subscriptions")
        #expect(subscriptions.items("tenant") == ["acme"])
    }

    @Test func pagesThroughOwnApplications() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        for name in ["c", "a", "b"] { try await fixture.makeApplication(name) }
        let first: TestAnswer = try await fixture.send("GET", "/v1/portal/applications?limit=2")
        #expect(first.items("name") == ["c", "a"], "by id: as they were made")
        let second: TestAnswer = try await fixture.send(
            "GET", "/v1/portal/applications?limit=2&cursor=\(first.json["next"]?.text ?? "")")
        #expect(second.items("name") == ["b"])
        let names: TestAnswer = try await fixture.send("GET", "\(Self.applications)?limit=2")
        #expect(names.items("name") == ["a", "b"])
        let rest: TestAnswer = try await fixture.send(
            "GET", "\(Self.applications)?limit=2&cursor=\(names.json["next"]?.text ?? "")")
        #expect(rest.items("name") == ["c"])
    }

    @Test(arguments: [
        ("developer@acme", 201), ("devops@acme", 201), ("cpi-tenant@acme", 201), ("cpi-admin", 201),
        ("operator@acme", 403), ("auditor@acme", 403), ("viewer@acme", 403),
    ])
    func createsByRole(token: String, status: Int) async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let answer: TestAnswer = try await fixture.send(
            "POST", Self.applications, token: token, .object(["name": "shop"]))
        #expect(answer.status == status)
    }

    @Test func whatIsUnknownIsNotFound() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let body: JSONValue = .object(["name": "x"])
        #expect(try await fixture.send("POST", "/v1/tenants/nobody/applications", token: "admin", body).status == 404)
        for path in ["nobody/applications", "nobody/subscriptions", "acme/applications/x", "acme/applications/x/keys"] {
            #expect(try await fixture.send("GET", "/v1/tenants/\(path)", token: "admin").status == 404, "\(path)")
        }
    }
}
