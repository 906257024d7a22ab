import Crypto
import JSON
import TestKit
import Testing
import Time
import Tokens

@Suite struct TokenVerifierTests {
    private let fixture = TokenFixture()

    @Test(arguments: JWTAlgorithm.allCases)
    func acceptsWhatItsIssuerSigned(algorithm: JWTAlgorithm) throws {
        let token: String = try self.fixture.token(self.fixture.claims(), algorithm)
        let verified: VerifiedToken = try self.fixture.verifier([algorithm]).verify(token)
        #expect(verified.subject == "usr_1")
        #expect(verified.algorithm == algorithm)
        #expect(verified.keyID == TokenFixture.keyID(algorithm))
        #expect(verified.expiresAt.seconds == self.fixture.now + 60)
        #expect(verified.claims == self.fixture.claims())
    }

    // Each pair: a change of the good claims (nil removes), and what is said of it. Times are relative to the clock; the leeway
    // is 30 seconds.
    @Test(
        arguments: [
            ("iss", nil, .claimMissing("iss")), ("iss", "https://issuer/", .wrongIssuer),
            ("iss", 5, .claimMalformed("iss")),
            ("iss", ["https://issuer"], .claimMalformed("iss")),
            ("aud", nil, .claimMissing("aud")), ("aud", "other", .wrongAudience), ("aud", [], .wrongAudience),
            ("aud", ["other", "another"], .wrongAudience), ("aud", ["api", 5], .claimMalformed("aud")),
            ("aud", ["api": true], .claimMalformed("aud")), ("aud", "API", .wrongAudience),
            ("aud", .null, .claimMalformed("aud")),
            ("exp", nil, .claimMissing("exp")), ("exp", "4102444800", .claimMalformed("exp")),
            ("exp", true, .claimMalformed("exp")),
            ("exp", .null, .claimMalformed("exp")), ("exp", 0, .expired), ("exp", -1, .expired),
            ("exp", -1e300, .expired),
            ("exp", .int(.min), .expired), ("nbf", "0", .claimMalformed("nbf")), ("nbf", 1e300, .notYetValid),
            ("nbf", .int(.max), .notYetValid), ("iat", [], .claimMalformed("iat")),
            ("iat", .int(.max), .issuedInTheFuture),
            ("sub", 5, .claimMalformed("sub")),
        ] as [(String, JSONValue?, TokenError)])
    func refusesBadClaims(name: String, value: JSONValue?, error: TokenError) throws {
        var claims: JSONObject = self.fixture.claims()
        claims[name] = value
        let token: String = try self.fixture.token(claims)
        let verifier: TokenVerifier = try self.fixture.verifier()
        #expect(TokenFixture.error { try verifier.verify(token) } == error)
    }

    @Test(
        arguments: [
            ("exp", 1, nil), ("exp", 0, nil), ("exp", -29, nil), ("exp", -30, .expired), ("exp", -31, .expired),
            ("nbf", 30, nil),
            ("nbf", 31, .notYetValid), ("iat", 30, nil), ("iat", 31, .issuedInTheFuture),
        ] as [(String, Int64, TokenError?)])
    func clocksMayBeApartByTheLeeway(name: String, offset: Int64, error: TokenError?) throws {
        var claims: JSONObject = self.fixture.claims()
        claims[name] = .int(self.fixture.now + offset)
        let token: String = try self.fixture.token(claims)
        let verifier: TokenVerifier = try self.fixture.verifier()
        #expect(TokenFixture.error { try verifier.verify(token) } == error)
    }

    @Test func theInjectedClockDecides() throws {
        let token: String = try self.fixture.token(self.fixture.claims())
        let verifier: TokenVerifier = try self.fixture.verifier()
        self.fixture.clock.advance(by: .seconds(89))
        _ = try verifier.verify(token)
        self.fixture.clock.advance(by: .seconds(1))
        #expect(TokenFixture.error { try verifier.verify(token) } == .expired)
    }

    @Test func theLeewayIsBounded() throws {
        let verifier = TokenVerifier(
            keys: try self.fixture.keySet(), issuer: "https://issuer", audience: "api", algorithms: [.es256],
            leeway: .seconds(1_000_000), clock: self.fixture.clock)
        let token: String = try self.fixture.token(self.fixture.claims())
        self.fixture.clock.advance(by: .seconds(361))
        #expect(TokenFixture.error { try verifier.verify(token) } == .expired)
    }

    @Test func fractionsOfSecondsAndSeveralAudiencesAreFine() throws {
        var claims: JSONObject = self.fixture.claims()
        claims["exp"] = .double(Double(self.fixture.now) + 0.5)
        claims["aud"] = ["other", "api"]
        claims["nbf"] = nil
        claims["iat"] = nil
        claims["sub"] = nil
        let verified: VerifiedToken = try self.fixture.verifier().verify(self.fixture.token(claims))
        #expect(verified.expiresAt.milliseconds == self.fixture.now * 1000 + 500)
        #expect(verified.subject == nil)
    }

    @Test(arguments: [
        ("JWT", true), ("jwt", true), ("at+jwt", true), ("application/at+jwt", true), ("logout+jwt", false),
        ("", false),
        ("JWTx", false),
    ])
    func onlyAcceptedTypesPass(type: String, isAccepted: Bool) throws {
        let token: String = try self.fixture.token(header: "{\"alg\":\"ES256\",\"kid\":\"ec\",\"typ\":\"\(type)\"}")
        let verifier: TokenVerifier = try self.fixture.verifier()
        #expect(TokenFixture.error { try verifier.verify(token) } == (isAccepted ? nil : .wrongType))
    }

    @Test func errorsSayNothingOfTheToken() throws {
        let secret: String = "s3cretvalue"
        var claims: JSONObject = self.fixture.claims()
        claims["iss"] = .string(secret)
        let tokens: [String] = [
            secret, "\(secret).\(secret).\(secret)", try self.fixture.token(claims),
            try self.fixture.token(header: "{\"alg\":\"\(secret)\"}"),
            try self.fixture.token(header: "{\"alg\":\"ES256\",\"kid\":\"\(secret)\"}"),
        ]
        let verifier: TokenVerifier = try self.fixture.verifier()
        for token in tokens {
            let error: TokenError = try #require(TokenFixture.error { try verifier.verify(token) })
            #expect(!error.description.contains(secret))
            #expect(!"\(error)".isEmpty)
        }
    }
}
