import Bytes
import Crypto
import GatewayConfiguration
import JSON
import Testing
import Tokens

@testable import Gateway

/// Applications known by other credentials than keys: plans, limits, access rules and what the upstream is told.
struct ApplicationCredentialTests {
    private static func document(
        _ upstream: UInt16, _ policies: [PolicyDefinition],
        credentials: [CredentialDefinition] = [
            CredentialDefinition(kind: .client(id: "web"))
        ]
    ) throws -> GatewayDocument {
        var document: GatewayDocument = try GatewayUnderTest.document([upstream], policies: policies)
        document.applications = [
            ApplicationDefinition(
                id: "shop", keys: [KeyDefinition(digest: KeyDigest(bytes: SHA256.hash("demo-key"))!)],
                credentials: credentials, subscriptions: [SubscriptionDefinition(api: "test", plan: "gold")]),
            ApplicationDefinition(id: "other", credentials: [CredentialDefinition(kind: .client(id: "other"))]),
        ]
        document.plans = [
            PlanDefinition(id: "gold", rateLimit: PlanRateLimit(limit: 3, window: .seconds(3600)))
        ]
        return document
    }

    @Test func aTokensClientHasTheApplicationsPlan() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            try Self.document(
                upstream.port,
                [try SampleIssuer.policy { $0.requiresApplication = true }, .apiKey(APIKeyPolicy(header: "x-api-key"))])
        )
        #expect(try gateway.get(token: try SampleIssuer.token(["client_id": "web"])).status == 200)
        #expect(try gateway.get(token: try SampleIssuer.token(["azp": "web"])).status == 200)
        // The key is the same subscription's: one count.
        #expect(try gateway.get("/", "X-API-Key: demo-key").status == 200)
        #expect(try gateway.get(token: try SampleIssuer.token(["client_id": "web"])).status == 429)
        #expect(try gateway.get(token: try SampleIssuer.token(["client_id": "other"])).status == 403)
        #expect(try gateway.get(token: try SampleIssuer.token(["client_id": "nobody"])).status == 403)
        #expect(try gateway.get(token: try SampleIssuer.token()).status == 403)
        await gateway.stop()
    }

    /// The digest of a client id, or its text in any form, is no key.
    @Test func aCredentialOfOneKindIsNoneOfAnother() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            try Self.document(upstream.port, [try SampleIssuer.policy(), .apiKey(APIKeyPolicy(header: "x-api-key"))]))
        for key in ["web", "client_id:web", "\u{1}web"] {
            #expect(try gateway.get("/", "X-API-Key: \(key)").status != 200)
        }
        #expect(upstream.requests.isEmpty)
        await gateway.stop()
    }

    @Test func limitsCountByClaim() async throws {
        let upstream: RawUpstream = try .echoing()
        let limit: RateLimitPolicy = RateLimitPolicy(
            limit: 1, window: .seconds(3600), by: .claim, claim: ClaimPath("sub"))
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [try SampleIssuer.policy(), .rateLimit(limit)])
        #expect(try gateway.get(token: try SampleIssuer.token(["sub": "a"])).status == 200)
        #expect(try gateway.get(token: try SampleIssuer.token(["sub": "b"])).status == 200)
        // Another token of the same subject.
        #expect(try gateway.get(token: try SampleIssuer.token(["sub": "a", "jti": "2"])).status == 429)
        await gateway.stop()
    }

    @Test func tellsTheUpstreamWhoCallsAndNobodyElseCan() async throws {
        let upstream: RawUpstream = try .echoing()
        let headers: IdentityHeadersPolicy = IdentityHeadersPolicy(fields: [
            .init(name: "x-user", source: .subject), .init(name: "x-app", source: .application),
            .init(name: "x-plan", source: .plan), .init(name: "x-scopes", source: .scopes),
            .init(name: "x-groups", source: .groups), .init(name: "x-how", source: .method),
            .init(name: "x-mail", source: .claim(.named("email"))),
            .init(name: "x-none", source: .claim(.named("none"))),
        ])
        let gateway: GatewayUnderTest = try await .start(
            try Self.document(
                upstream.port, [try SampleIssuer.policy(), .anonymous, .identityHeaders(headers)]))
        let token: String = try SampleIssuer.token([
            "client_id": "web", "scope": "read write", "groups": ["a", "b"], "email": "a@b\r\nX-Admin: 1",
        ])
        let spoofed: [String] = [
            "X-User: root", "x-user: root", "X_User: root", "x-NONE: root", "X-App: root", "X_none: root",
        ]
        let lines: String = spoofed.map { $0 + "\r\n" }.joined()
        let known: RawMessage = try gateway.exchange(
            "GET / HTTP/1.1\r\nHost: a\r\n\(lines)Authorization: Bearer \(token)\r\n\r\n")
        #expect(known.status == 200)
        for line in [
            "x-user: alice", "x-app: shop", "x-plan: gold", "x-scopes: read write", "x-groups: a,b", "x-how: jwt",
            "x-mail: a@b%0D%0AX-Admin: 1",
        ] {
            #expect(known.text.contains(line + "\r\n"), "\(line)")
        }
        #expect(!known.text.contains("root"))
        #expect(!known.text.contains("\r\nX-Admin"))
        let anonymous: RawMessage = try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n")
        #expect(anonymous.status == 200)
        #expect(!anonymous.text.contains("root"))
        await gateway.stop()
    }

    @Test func accessRulesLookAtEverythingKnownOfACaller() async throws {
        let upstream: RawUpstream = try .echoing()
        let acl: ACLPolicy = ACLPolicy(
            allow: [
                ACLPolicy.Rule(applications: ["shop"], plans: ["gold"]), ACLPolicy.Rule(scopes: ["admin"]),
                ACLPolicy.Rule(groups: ["staff"]),
                ACLPolicy.Rule(claims: [RequiredClaim(path: .named("tier"), values: [3])]),
            ],
            deny: [ACLPolicy.Rule(claims: [RequiredClaim(path: .named("sub"), values: ["mallory"])])])
        var document: GatewayDocument = try Self.document(upstream.port, [try SampleIssuer.policy(), .acl(acl)])
        document.plans = [PlanDefinition(id: "gold")]
        let gateway: GatewayUnderTest = try await .start(document)
        func status(_ claims: JSONObject) throws -> Int {
            try gateway.get(token: try SampleIssuer.token(claims)).status
        }
        #expect(try status(["client_id": "web"]) == 200)
        #expect(try status(["client_id": "other"]) == 403)
        #expect(try status(["scope": "admin"]) == 200)
        #expect(try status(["groups": ["x", "staff"]]) == 200)
        #expect(try status(["groups": "staff"]) == 200)
        #expect(try status(["tier": 3]) == 200)
        #expect(try status(["tier": "3"]) == 403)
        #expect(try status(["scope": "admin", "sub": "mallory"]) == 403)
        let answer: RawMessage = try gateway.get(token: try SampleIssuer.token())
        #expect(answer.field("www-authenticate")?.contains("scope=\"admin\"") == true)
        await gateway.stop()
    }

    @Test func passwordsAreCheckedOnceAndThenKnown() async throws {
        let upstream: RawUpstream = try .echoing()
        let hash: String = try Password.hash("correct horse")
        let gateway: GatewayUnderTest = try await .start(
            try Self.document(
                upstream.port, [.basic(BasicPolicy())],
                credentials: [CredentialDefinition(kind: .basic(username: "alice", passwordHash: hash))]))
        func basic(_ pair: String) -> String { "Authorization: Basic " + Base64.encode(Array(pair.utf8)) }
        for _ in 0..<2 {
            let answer: RawMessage = try gateway.get("/", basic("alice:correct horse"))
            #expect(answer.status == 200)
            #expect(!answer.text.contains("Authorization"))
        }
        for pair in ["alice:wrong", "alice:", "bob:correct horse", ":x", "alice", "alice:correct horse\u{0}"] {
            #expect(try gateway.get("/", basic(pair)).status == 401)
        }
        #expect(try gateway.get("/", "Authorization: Basic !!!").status == 401)
        #expect(upstream.requests.count == 2)
        await gateway.stop()
    }

    /// One waits for the thread that is busy, the next is refused at once.
    @Test func tooManyPasswordsAreAnswered503() async throws {
        let upstream: RawUpstream = try .echoing()
        var settings: AuthenticationSettings = AuthenticationSettings()
        settings.queueMax = 0
        let hash: String = try Password.hash("x")
        let gateway: GatewayUnderTest = try await .start(
            try Self.document(
                upstream.port, [.basic(BasicPolicy())],
                credentials: [CredentialDefinition(kind: .basic(username: "alice", passwordHash: hash))]),
            live: LiveState(authentication: settings, stageExtension: nil))
        let answer: RawMessage = try gateway.get("/", "Authorization: Basic " + Base64.encode(Array("alice:x".utf8)))
        #expect(answer.status == 503)
        #expect(answer.text.contains("overloaded"))
        await gateway.stop()
    }
}
