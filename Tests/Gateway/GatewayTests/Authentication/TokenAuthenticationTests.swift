import Bytes
import Crypto
import GatewayConfiguration
import JSON
import Testing
import Tokens

@testable import Gateway

/// Signed tokens over sockets, in front of an upstream that shows what arrived.
struct TokenAuthenticationTests {
    @Test(arguments: [JWTAlgorithm.rs256, .es256, .es512])
    func letsATokenInAndKeepsItFromTheUpstream(algorithm: JWTAlgorithm) async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port], policies: [try SampleIssuer.policy()])
        let token: String = try SampleIssuer.token([:], algorithm)
        for _ in 0..<3 {
            let answer: RawMessage = try gateway.get(token: token)
            #expect(answer.status == 200)
            #expect(!answer.text.lowercased().contains("authorization"))
        }
        #expect(gateway.count(.jwt, .accepted) == 1)
        #expect(gateway.count(.jwt, .acceptedFromCache) == 2)
        await gateway.stop()
    }

    @Test func forwardsTheTokenWhenAsked() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [try SampleIssuer.policy { $0.forwardsToken = true }])
        let token: String = try SampleIssuer.token()
        #expect(try gateway.get(token: token).text.contains("Authorization: Bearer \(token)"))
        await gateway.stop()
    }

    @Test func asksForEveryKindOfCredentialInOneChallenge() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port],
            policies: [
                try SampleIssuer.policy { $0.scopes = ["read"] }, .basic(BasicPolicy()),
                .apiKey(APIKeyPolicy(header: "x-api-key")), .signature(SignaturePolicy()),
            ])
        let answer: RawMessage = try gateway.get()
        #expect(answer.status == 401)
        #expect(answer.text.contains("credentials-missing"))
        #expect(
            answer.field("www-authenticate")
                == "Bearer realm=\"test\", scope=\"read\", Basic realm=\"test\", charset=\"UTF-8\", "
                + "Signature realm=\"test\", ApiKey realm=\"test\"")
        #expect(answer.field("accept-signature") != nil)
        #expect(answer.lines.filter { $0.lowercased().hasPrefix("www-authenticate") }.count == 1)
        let invalid: RawMessage = try gateway.get(token: "a.b.c")
        #expect(invalid.status == 401)
        #expect(invalid.field("www-authenticate")?.contains("error=\"invalid_token\"") == true)
        #expect(upstream.requests.isEmpty)
        await gateway.stop()
    }

    /// What attackers send. None of it may reach the upstream.
    @Test func refusesForgedTokens() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port], policies: [try SampleIssuer.policy()])
        let good: String = try SampleIssuer.token()
        let parts: [String] = good.split(separator: ".").map(String.init)
        let payload: String = JSONValue.object(SampleIssuer.claims()).jsonText
        let encoded: String = Base64.encodeURL(Array(payload.utf8))
        func header(_ text: String) -> String { Base64.encodeURL(Array(text.utf8)) }
        let publicPEM: String = try SampleIssuer.rsa?.publicKey().pem() ?? ""
        let confused: String = header("{\"alg\":\"HS256\",\"kid\":\"rsa\"}") + "." + encoded
        let code: [UInt8] = HMACSHA256.authenticate(Array(confused.utf8), key: Array(publicPEM.utf8))
        let stranger: PrivateKey = try PrivateKey.generate(.p256)
        var forged: [String: String] = [
            "none": header("{\"alg\":\"none\"}") + "." + encoded + ".",
            "none with a signature": header("{\"alg\":\"none\"}") + "." + encoded + "." + parts[2],
            "HS256 with the public key": confused + "." + Base64.encodeURL(code),
            "another payload": parts[0] + "." + header("{\"sub\":\"root\"}") + "." + parts[2],
            "no signature": parts[0] + "." + parts[1] + ".",
            "huge": parts[0] + "." + String(repeating: "A", count: 20_000) + "." + parts[2],
            "four parts": good + ".AAAA",
        ]
        forged["another's key"] = try JWT.sign(
            claims: SampleIssuer.claims(), key: stranger, keyID: "ec", algorithm: .es256)
        forged["kid as a path"] = try SampleIssuer.token(
            header: "{\"alg\":\"ES256\",\"kid\":\"../ec\"}", payload: payload)
        forged["kid as SQL"] = try SampleIssuer.token(
            header: "{\"alg\":\"ES256\",\"kid\":\"ec' OR 1=1\"}", payload: payload)
        forged["duplicate claim"] = try SampleIssuer.token(
            header: "{\"alg\":\"ES256\",\"kid\":\"ec\"}", payload: String(payload.dropLast()) + ",\"sub\":\"root\"}")
        forged["critical extension"] = try SampleIssuer.token(
            header: "{\"alg\":\"ES256\",\"kid\":\"ec\",\"crit\":[\"x\"],\"x\":1}", payload: payload)
        forged["own key in the header"] = try SampleIssuer.token(
            header: "{\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\"},\"kid\":\"mine\"}", payload: payload)
        forged["expired"] = try SampleIssuer.token(["exp": .int(SampleIssuer.now - 60)])
        forged["not yet"] = try SampleIssuer.token(["nbf": .int(SampleIssuer.now + 90)])
        forged["another issuer"] = try SampleIssuer.token(["iss": "https://evil.test"])
        forged["another audience"] = try SampleIssuer.token(["aud": "other"])
        for (name, token) in forged {
            let answer: RawMessage = try gateway.get(token: token)
            // Longer than a header block may be, or refused as a token.
            #expect(answer.status == 401 || (name == "huge" && answer.status == 431), "\(name)")
        }
        #expect(try gateway.get("/", "Authorization: Bearer \(good)", "Authorization: Bearer \(good)").status == 401)
        #expect(try gateway.get("/", "Authorization: Bearer").status == 401)
        #expect(try gateway.get("/", "Authorization: Basic \(good)").status == 401)
        #expect(upstream.requests.isEmpty)
        #expect(try gateway.get("/", "authorization:   bEARER  \(good)").status == 200)
        await gateway.stop()
    }

    @Test func saysWhichScopeIsMissing() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [try SampleIssuer.policy { $0.scopes = ["read", "write"] }])
        let answer: RawMessage = try gateway.get(token: try SampleIssuer.token(["scope": "read other"]))
        #expect(answer.status == 403)
        #expect(answer.text.contains("scope-insufficient"))
        #expect(
            answer.field("www-authenticate")
                == "Bearer realm=\"test\", error=\"insufficient_scope\", scope=\"read write\"")
        #expect(try gateway.get(token: try SampleIssuer.token(["scope": "write read"])).status == 200)
        #expect(try gateway.get(token: try SampleIssuer.token(["scp": ["read", "write"]])).status == 200)
        await gateway.stop()
    }

    @Test func revokedTokensAreRefused() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [try SampleIssuer.policy { $0.revoked = ["stolen"] }])
        #expect(try gateway.get(token: try SampleIssuer.token(["jti": "stolen"])).status == 401)
        #expect(try gateway.get(token: try SampleIssuer.token(["jti": "mine"])).status == 200)
        await gateway.stop()
    }

    /// The same token at two APIs: being good at one says nothing about the other.
    @Test func whatIsKnownOfATokenBelongsToItsPolicy() async throws {
        let upstream: RawUpstream = try .echoing()
        var document: GatewayDocument = try GatewayUnderTest.document(
            [upstream.port], policies: [try SampleIssuer.policy()])
        document.apis[0].routes.append(
            RouteDefinition(
                path: try PathPattern(parsing: "/other/*"),
                policies: [try SampleIssuer.policy { $0.issuers[0].audiences = ["other"] }]))
        let gateway: GatewayUnderTest = try await .start(document)
        let token: String = try SampleIssuer.token()
        #expect(try gateway.get("/x", "Authorization: Bearer \(token)").status == 200)
        #expect(try gateway.get("/other/x", "Authorization: Bearer \(token)").status == 401)
        await gateway.stop()
    }

    @Test func anonymousCallersPassButWrongTokensDoNot() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [try SampleIssuer.policy(), .anonymous])
        #expect(try gateway.get().status == 200)
        #expect(try gateway.get(token: "a.b.c").status == 401)
        #expect(try gateway.get(token: try SampleIssuer.token()).status == 200)
        await gateway.stop()
    }
}
