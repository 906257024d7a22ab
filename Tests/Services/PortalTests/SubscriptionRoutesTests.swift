import Contracts
import EventLog
import HTTP
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import Portal

struct SubscriptionRoutesTests {
    private static let subscriptions: String = "/v1/tenants/acme/subscriptions"

    private static func path(_ subscription: JSONValue) -> String {
        "\(Self.subscriptions)/\(subscription["id"]?.text ?? "")"
    }

    @Test func subscribesAtOnce() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let application: JSONValue = try await fixture.makeApplication()
        let version: Int64 = try await fixture.harness.gatewayVersion()
        let made: TestAnswer = try await fixture.send(
            "POST", Self.subscriptions, PortalFixture.subscription("shop", "orders", "gold"))
        #expect(made.status == 201)
        #expect(made.fields["Location"] == Self.path(made.json))
        #expect(made.json["state"]?.text == "active")
        #expect(made.json["application"]?.text == "shop")
        #expect(made.json["api"]?.text == "orders")
        let orders: String = try await fixture.apiID("orders")
        #expect(made.json["api_id"]?.text == orders)
        let id: String = application["id"]?.text ?? ""
        #expect(try await fixture.harness.touched(after: version) == ["application acme \(id)"])
        #expect(
            try await fixture.gatewayEntry(application)?["subscriptions"]
                == [["id": made.json["id"] ?? .null, "api": .string(orders), "plan": "gold", "state": "active"]])
        let record: Record = try #require(try await fixture.harness.records(Topics.subscriptionCreated).first)
        #expect(record.keyText == made.json["id"]?.text)
        #expect(
            try JSONReader.parse(record.value)
                == .object([
                    "subscription_id": made.json["id"] ?? .null, "application_id": .string(id),
                    "api_id": .string(orders), "plan": "gold", "state": "active", "tenant": "acme",
                ]))
        #expect(try await fixture.harness.auditEntries("subscription.created").count == 1)
        let read: TestAnswer = try await fixture.send("GET", Self.path(made.json))
        #expect(read.json == made.json)
        #expect(read.fields["ETag"] == "\"1\"")
        #expect(try await fixture.send("GET", "/v1/portal/subscriptions").items == [made.json])
    }

    @Test func takesIdsAsWellAsNames() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let application: JSONValue = try await fixture.makeApplication()
        let made: JSONValue = try await fixture.subscribe(
            application["id"]?.text ?? "", to: try await fixture.apiID("orders"))
        #expect(made["api"]?.text == "orders")
    }

    @Test func refusesWhatDoesNotExistOrExistsAlready() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await fixture.makeApplication()
        try await fixture.subscribe()
        let cases: [(JSONValue, Int, [String])] = [
            (PortalFixture.subscription("shop", "orders", "free"), 409, []),
            (PortalFixture.subscription("none", "orders", "free"), 404, []),
            (PortalFixture.subscription("shop", "none", "free"), 400, ["/api"]),
            (PortalFixture.subscription("shop", "billing", "none"), 400, ["/plan"]),
            (.object(["application": "shop", "api": "billing", "plan": "free", "state": "active"]), 400, ["/state"]),
            (.object(["application": "shop", "api": 7, "plan": ""]), 400, ["/api", "/plan"]),
        ]
        for (body, status, pointers) in cases {
            let answer: TestAnswer = try await fixture.send("POST", Self.subscriptions, body)
            #expect(answer.status == status, "\(answer.json)")
            #expect(answer.pointers == pointers, "\(answer.json)")
        }
        #expect(try await fixture.harness.events(Topics.subscriptionCreated).count == 1)
        #expect(try await fixture.send("GET", Self.subscriptions).items.count == 1)
    }

    @Test(arguments: [("published", 201), ("deprecated", 201), ("draft", 409), ("retired", 409)])
    func onlyAnAPIThatIsServedTakesSubscriptions(state: String, status: Int) async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await fixture.makeApplication()
        let changed: TestAnswer = try await fixture.send(
            "PATCH", "/v1/tenants/acme/apis/orders", token: "devops@acme", .object(["state": .string(state)]))
        #expect(changed.status == 200)
        let answer: TestAnswer = try await fixture.send(
            "POST", Self.subscriptions, PortalFixture.subscription("shop", "orders", "gold"))
        #expect(answer.status == status)
    }

    @Test func aRepeatedSubscriptionIsMadeOnce() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await fixture.makeApplication()
        let body: JSONValue = PortalFixture.subscription("shop", "orders", "gold")
        let key: [(String, String)] = [("Idempotency-Key", "s")]
        let first: TestAnswer = try await fixture.send("POST", Self.subscriptions, body, fields: key)
        let again: TestAnswer = try await fixture.send("POST", Self.subscriptions, body, fields: key)
        #expect(again.bytes == first.bytes)
        #expect(try await fixture.harness.events(Topics.subscriptionCreated).count == 1)
    }

    // MARK: States

    @Test func aPlanWithApprovalWaitsForIt() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let application: JSONValue = try await fixture.makeApplication()
        let made: JSONValue = try await fixture.subscribe(plan: "vip")
        #expect(made["state"]?.text == "pending")
        #expect(try await fixture.gatewayEntry(application)?["subscriptions"] == .array([]))
        #expect(try await fixture.send("POST", "\(Self.path(made))/approve").status == 403, "not by its owner")
        let approved: TestAnswer = try await fixture.send("POST", "\(Self.path(made))/approve", token: "devops@acme")
        #expect(approved.status == 200)
        #expect(approved.json["state"]?.text == "active")
        #expect(approved.fields["ETag"] == "\"2\"")
        #expect(try await fixture.gatewayEntry(application)?["subscriptions"]?.elements?.count == 1)
        #expect(try await fixture.harness.events(Topics.subscriptionUpdated).map { $0["state"]?.text } == ["active"])
        #expect(try await fixture.harness.auditEntries("subscription.activated").count == 1)
    }

    @Test func suspendsAndResumes() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let application: JSONValue = try await fixture.makeApplication()
        let made: JSONValue = try await fixture.subscribe()
        let path: String = Self.path(made)
        let suspended: TestAnswer = try await fixture.send("POST", "\(path)/suspend", token: "devops@acme")
        #expect(suspended.json["state"]?.text == "suspended")
        let told: JSONValue? = try await fixture.gatewayEntry(application)?["subscriptions"]?.elements?.first
        #expect(told?["state"]?.text == "suspended", "the gateway knows it and answers 403")
        #expect(try await fixture.send("POST", "\(path)/resume", token: "devops@acme").json["state"]?.text == "active")
        #expect(
            try await fixture.harness.events(Topics.subscriptionUpdated).map { $0["state"]?.text }
                == ["suspended", "active"])
        #expect(try await fixture.harness.auditEntries("subscription.suspended").count == 1)
    }

    /// Every move from every state: only three are allowed.
    @Test(arguments: ["pending", "active", "suspended"], ["approve", "suspend", "resume"])
    func onlyTheseMovesAreAllowed(state: String, verb: String) async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await fixture.makeApplication()
        let made: JSONValue = try await fixture.subscribe(plan: state == "pending" ? "vip" : "gold")
        if state == "suspended" {
            _ = try await fixture.send("POST", "\(Self.path(made))/suspend", token: "devops@acme")
        }
        let events: Int = try await fixture.harness.events(Topics.subscriptionUpdated).count
        let answer: TestAnswer = try await fixture.send("POST", "\(Self.path(made))/\(verb)", token: "cpi-tenant@acme")
        let allowed: [String: String] = ["pending": "approve", "active": "suspend", "suspended": "resume"]
        let isAllowed: Bool = allowed[state] == verb
        #expect(answer.status == (isAllowed ? 200 : 409))
        let after: Int = try await fixture.harness.events(Topics.subscriptionUpdated).count
        #expect(after == events + (isAllowed ? 1 : 0))
    }

    @Test func aMoveFromAnotherVersionIsRefused() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await fixture.makeApplication()
        let made: JSONValue = try await fixture.subscribe()
        let answer: TestAnswer = try await fixture.send(
            "POST", "\(Self.path(made))/suspend", token: "devops@acme", fields: [("If-Match", "\"4\"")])
        #expect(answer.status == 412)
    }

    // MARK: Plans

    @Test func movesToAnotherPlan() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let application: JSONValue = try await fixture.makeApplication()
        let made: JSONValue = try await fixture.subscribe()
        let path: String = Self.path(made)
        let stale: TestAnswer = try await fixture.send(
            "PATCH", path, .object(["plan": "free"]), fields: [("If-Match", "\"2\"")])
        #expect(stale.status == 412)
        let moved: TestAnswer = try await fixture.send("PATCH", path, .object(["plan": "free"]))
        #expect(moved.status == 200)
        #expect(moved.json["plan"]?.text == "free")
        let told: JSONValue? = try await fixture.gatewayEntry(application)?["subscriptions"]?.elements?.first
        #expect(told?["plan"]?.text == "free")
        let same: TestAnswer = try await fixture.send("PATCH", path, .object(["plan": "free"]))
        #expect(same.fields["ETag"] == "\"2\"", "nothing changed")
        #expect(try await fixture.harness.events(Topics.subscriptionUpdated).map { $0["plan"]?.text } == ["free"])
        #expect(try await fixture.harness.auditEntries("subscription.updated").count == 1)
        #expect(try await fixture.send("PATCH", path, .object(["plan": "none"])).pointers == ["/plan"])
        #expect(
            try await fixture.send("PATCH", path, .object(["plan": "gold", "state": "active"])).pointers == ["/state"])
    }

    @Test func aPlanWithApprovalTakesTheSubscriptionBackToWaiting() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let application: JSONValue = try await fixture.makeApplication()
        let made: JSONValue = try await fixture.subscribe()
        let moved: TestAnswer = try await fixture.send("PATCH", Self.path(made), .object(["plan": "vip"]))
        #expect(moved.json["state"]?.text == "pending")
        #expect(try await fixture.gatewayEntry(application)?["subscriptions"] == .array([]))
        let back: TestAnswer = try await fixture.send("PATCH", Self.path(made), .object(["plan": "gold"]))
        #expect(back.json["state"]?.text == "pending", "what waits is not let in by choosing again")
    }

    @Test func aSuspendedSubscriptionStaysSuspendedOnAnotherPlan() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await fixture.makeApplication()
        let made: JSONValue = try await fixture.subscribe()
        _ = try await fixture.send("POST", "\(Self.path(made))/suspend", token: "devops@acme")
        for plan in ["free", "vip"] {
            let moved: TestAnswer = try await fixture.send("PATCH", Self.path(made), .object(["plan": .string(plan)]))
            #expect(moved.json["state"]?.text == "suspended")
        }
    }

    @Test func aPlanWithSubscriptionsIsNotDeleted() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await fixture.makeApplication()
        let made: JSONValue = try await fixture.subscribe(plan: "vip")
        let plan: String = "/v1/tenants/acme/plans/vip"
        #expect(try await fixture.send("DELETE", plan, token: "devops@acme").status == 409)
        #expect(try await fixture.send("DELETE", Self.path(made)).status == 204)
        #expect(try await fixture.send("DELETE", plan, token: "devops@acme").status == 204)
    }

    // MARK: Ends

    @Test func endsASubscription() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let application: JSONValue = try await fixture.makeApplication()
        let made: JSONValue = try await fixture.subscribe()
        #expect(try await fixture.send("DELETE", Self.path(made), fields: [("If-Match", "\"2\"")]).status == 412)
        let version: Int64 = try await fixture.harness.gatewayVersion()
        #expect(try await fixture.send("DELETE", Self.path(made)).status == 204)
        #expect(try await fixture.send("DELETE", Self.path(made)).status == 404)
        #expect(try await fixture.gatewayEntry(application)?["subscriptions"] == .array([]))
        #expect(
            try await fixture.harness.touched(after: version) == ["application acme \(application["id"]?.text ?? "")"])
        #expect(
            try await fixture.harness.events(Topics.subscriptionDeleted).map { $0["subscription_id"] } == [made["id"]])
        try await fixture.subscribe()
    }

    @Test func aDeletedAPIEndsItsSubscriptionsAndNoOthers() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let shop: JSONValue = try await fixture.makeApplication()
        let other: JSONValue = try await fixture.makeApplication("other", token: "devops@acme")
        let orders: String = try await fixture.apiID("orders")
        for application in ["shop", "other"] { try await fixture.subscribe(application, token: "devops@acme") }
        let kept: JSONValue = try await fixture.subscribe(to: "billing")
        let deleted: TestAnswer = try await fixture.send(
            "DELETE", "/v1/tenants/acme/apis/orders", token: "devops@acme")
        #expect(deleted.status == 204)
        try await eventually("the subscriptions to end") {
            try await fixture.harness.events(Topics.subscriptionDeleted).count == 2
        }
        let rest: TestAnswer = try await fixture.send("GET", Self.subscriptions, token: "devops@acme")
        #expect(rest.items("id") == [kept["id"]?.text])
        for event in try await fixture.harness.events(Topics.subscriptionDeleted) {
            #expect(event["api_id"]?.text == orders)
        }
        #expect(try await fixture.gatewayEntry(shop)?["subscriptions"]?.elements?.count == 1)
        #expect(try await fixture.gatewayEntry(other)?["subscriptions"] == .array([]))
        let entries: [JSONValue] = try await fixture.harness.auditEntries("subscription.deleted")
        #expect(entries.map { $0["actor"]?["user_id"]?.text } == ["portal", "portal"])
        let traces: Set<String?> = Set(entries.map { $0["trace_id"]?.text })
        #expect(traces == [try await fixture.harness.auditEntries("api.deleted").first?["trace_id"]?.text])
        await fixture.harness.stop()
    }

    @Test func thereIsALimitOfSubscriptions() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let application: JSONValue = try await fixture.makeApplication()
        let id: String = application["id"]?.text ?? ""
        try await fixture.harness.services.store.write { transaction in
            for number in 1...Subscription.countMax {
                try SubscriptionTable.insert(
                    Subscription(
                        tenant: "acme", id: "sub_\(number)", applicationID: id, apiID: "api_\(number)", plan: "gold",
                        state: .active, createdAt: transaction.now, version: 1), in: transaction)
            }
        }
        let full: TestAnswer = try await fixture.send(
            "POST", Self.subscriptions, PortalFixture.subscription("shop", "orders", "gold"))
        #expect(full.status == 409)
        let entry: JSONValue = try #require(try await fixture.gatewayEntry(application))
        #expect(GatewayReader.problems(application: entry) == [], "a gateway reads it at its fullest")
    }

    // MARK: Portal

    @Test func listsPublishedAPIsWithinReach() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        _ = try await fixture.send(
            "PATCH", "/v1/tenants/acme/apis/billing", token: "devops@acme", .object(["state": "retired"]))
        let seen: TestAnswer = try await fixture.send("GET", "/v1/portal/apis")
        #expect(seen.items("name") == ["orders"])
        #expect(seen.items("tenant") == ["acme"])
        #expect(seen.items.first?["base_path"]?.text == "/orders")
        let all: TestAnswer = try await fixture.send("GET", "/v1/portal/apis?limit=2", token: "cpi-admin")
        #expect(all.items.count == 2)
        let rest: TestAnswer = try await fixture.send(
            "GET", "/v1/portal/apis?cursor=\(all.json["next"]?.text ?? "")", token: "cpi-admin")
        #expect(rest.items.count == 1)
    }
}
