import AuthenticatorKit
import Contracts
import Crypto
import HTTP
import JSON
import REST
import ServiceTestKit
import TestKit
import Testing

@testable import Identity

/// Roles that count only where a second factor was shown.
struct SecondFactorPolicyTests {
    private static func set(
        _ place: PasskeyPlace, _ roles: [String], tenant: String? = "acme", token: String = "admin"
    ) async throws -> TestAnswer {
        try await place.fixture.send(
            "PUT", "/v1/second-factor-policy" + (tenant.map { "?tenant=\($0)" } ?? ""), token: token,
            .object(["roles": .array(roles.map { JSONValue.string($0) })]))
    }

    private static func roles(_ place: PasskeyPlace, _ token: String) async throws -> [String] {
        let answer: TestAnswer = try await place.fixture.send("GET", "/v1/me/permissions", token: token)
        let more: TestAnswer = try await place.fixture.send("GET", "/v1/me/permissions?tenant=acme", token: token)
        return Set((answer.items + more.items).compactMap { $0["role"]?.text }).sorted()
    }

    @Test func aRoleWaitsForTheSecondFactorAndTheRestDoesNot() async throws {
        let place: PasskeyPlace = try await PasskeyPlace(.p256, ["cpi-tenant@acme", "viewer@acme"])
        let token: String = try await place.token()
        #expect(try await Self.roles(place, token) == ["cpi-tenant", "viewer"])
        #expect(try await Self.set(place, ["cpi-tenant"]).status == 200)
        #expect(try await Self.roles(place, token) == ["viewer"], "at once, in an open session")
        let refused: TestAnswer = try await place.fixture.send("GET", "/v1/groups?tenant=acme", token: token)
        #expect(refused.status == 401)
        #expect(refused.json["type"]?.text == "urn:passerelle:problem:step-up-required")
        #expect(refused.json["detail"]?.text?.contains("role cpi-tenant in tenant acme") == true)
        #expect(try await place.register(token).status == 201, "the way out is open")
        #expect(try await Self.roles(place, token) == ["cpi-tenant", "viewer"])
        #expect(try await place.fixture.send("GET", "/v1/groups?tenant=acme", token: token).status == 200)
    }

    @Test func whoSetsItOverTheChangeOfAnotherIsTold() async throws {
        let fixture: IdentityFixture = try await PasskeyPlace(.p256, ["viewer@acme"]).fixture
        let target: String = "/v1/second-factor-policy?tenant=acme"
        let seen: String = try #require(try await fixture.send("GET", target).fields["ETag"])
        func set(_ role: String, _ match: String) async throws -> TestAnswer {
            try await fixture.send(
                "PUT", target, .object(["roles": .array([.string(role)])]), fields: [("If-Match", match)])
        }
        let first: TestAnswer = try await set("devops", seen)
        #expect(first.status == 200)
        let second: TestAnswer = try await set("viewer", seen)
        #expect(second.status == 412)
        #expect(second.fields["ETag"] == first.fields["ETag"])
        #expect(try await fixture.send("GET", target).json["roles"] == .array(["devops"]))
        #expect(try await set("viewer", try #require(first.fields["ETag"])).status == 200)
    }

    @Test func aTenantWhereAllRolesWaitIsStillThere() async throws {
        let place: PasskeyPlace = try await PasskeyPlace(.p256, ["cpi-tenant@acme"])
        let token: String = try await place.token()
        #expect(try await Self.set(place, ["cpi-tenant"]).status == 200)
        for tenant in ["acme", "globex"] {
            let answer: TestAnswer = try await place.fixture.send("GET", "/v1/groups?tenant=\(tenant)", token: token)
            #expect(answer.status == (tenant == "acme" ? 401 : 404), "\(tenant)")
        }
        // Nobody makes a token that would outlive the policy.
        let made: TestAnswer = try await place.fixture.send(
            "POST", "/v1/tokens", token: token, .object(["name": "ci", "scopes": .array(["*:*:*"])]))
        #expect(made.status == 401)
    }

    @Test func thePolicyOfThePlatformHoldsEverywhere() async throws {
        let place: PasskeyPlace = try await PasskeyPlace(.p256, ["devops@acme"])
        let token: String = try await place.token()
        #expect(try await Self.set(place, ["devops", "platform-admin"], tenant: nil).status == 200)
        #expect(try await Self.roles(place, token) == [])
        #expect(
            try await place.fixture.send("GET", "/v1/second-factor-policy").json["roles"]
                == .array(["devops", "platform-admin"]))
        #expect(try await place.fixture.send("GET", "/v1/me/second-factor", token: token).json["required"] == true)
        #expect(try await Self.set(place, [], tenant: nil).status == 200)
        #expect(try await Self.roles(place, token) == ["devops"])
        #expect(try await place.fixture.harness.auditTypes().filter { $0 == "second-factor-rule.changed" }.count == 2)
    }

    @Test func tenantsDecideAboutThemselvesOnly() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        #expect(try await Self.set(place, ["devops"], token: "cpi-tenant@acme").status == 200)
        #expect(try await Self.set(place, ["devops"], token: "cpi-tenant@globex").status == 404)
        #expect(try await Self.set(place, ["devops"], token: "devops@acme").status == 403)
        #expect(try await Self.set(place, ["platform-admin"], token: "cpi-tenant@acme").status == 400)
        #expect(try await Self.set(place, ["no-such-role"]).status == 400)
    }

    @Test func signingInLeadsToSettingOneUp() async throws {
        let place: PasskeyPlace = try await PasskeyPlace(.p256, ["devops@acme"])
        #expect(try await Self.set(place, ["devops"]).status == 200)
        let page: TestAnswer = try await place.browser.get(place.client.address())
        let entered: TestAnswer = try await place.browser.signIn(on: page, "ada")
        let led: TestAnswer = try await place.browser.get(entered.location)
        let factors: TestAnswer = try await place.browser.get(led.location)
        #expect(factors.text.contains("Your roles ask for a second factor."))
        let added: TestAnswer = try await place.press(factors, at: "/oauth2/factors", [("name", "Phone")])
        let next: String = try #require(added.text.pieces("<a href=\"", "\"").last).unescaped
        #expect(try await place.browser.get(next).sent("code") != nil)
        // From then on it is asked for, and signing in by it alone is enough.
        place.browser.cookies = [:]
        let done: TestAnswer = try await place.press(
            try await place.browser.get(place.client.address()), at: "/oauth2/passkey")
        #expect(try await place.browser.get(done.location).sent("code") != nil)
    }
}
