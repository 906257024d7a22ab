import Bytes
import Contracts
import Crypto
import HTTP
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing
import Time
import Tokens

@testable import Identity

struct TokenTests {
    private static func status(_ token: String, _ fixture: IdentityFixture) async throws -> Int {
        try await fixture.send("GET", "/v1/me", token: token).status
    }

    static func encoded(_ value: JSONValue) -> String { Base64.encodeURL(value.serialized()) }

    private static func decoded(_ part: Substring) throws -> JSONValue {
        try JSONReader.parse(try #require(Base64.decodeURL(String(part))))
    }

    @Test func namesIssuerAudienceSubjectAndSession() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["devops@acme"])
        let parts: [Substring] = try await fixture.signIn("ada").split(separator: ".")
        #expect(parts.count == 3)
        let header: JSONValue = try Self.decoded(parts[0])
        #expect(header["alg"]?.text == "RS256")
        #expect(header["typ"]?.text == "at+jwt")
        let claims: JSONValue = try Self.decoded(parts[1])
        #expect(claims["iss"]?.text == IdentityFixture.issuer)
        #expect(claims["aud"]?.text == "passerelle")
        #expect(claims["sub"]?.text == id)
        #expect(claims["sid"]?.text?.hasPrefix("ses_") == true)
        #expect((claims["exp"]?.integer ?? 0) - (claims["iat"]?.integer ?? 0) == 28_800)
        let keys: TestAnswer = try await fixture.send("GET", "/.well-known/jwks.json", token: nil)
        #expect(keys.fields["Content-Type"] == "application/jwk-set+json")
        let key: JSONValue = try #require(keys.json["keys"]?.elements?.first)
        #expect(key["kid"] == header["kid"])
        #expect(key["kty"]?.text == "RSA")
        for secret in ["d", "p", "q", "dp", "dq", "qi"] { #expect(key[secret] == nil, "\(secret) is private") }
    }

    @Test func anyChangeOfATokenMakesItWorthless() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        let bob: String = try await fixture.makeUser("bob", ["platform-admin"])
        let token: String = try await fixture.signIn("ada")
        #expect(try await Self.status(token, fixture) == 200)
        let parts: [Substring] = token.split(separator: ".")
        var claims: JSONObject = try #require(try Self.decoded(parts[1]).object)
        claims["sub"] = .string(bob)
        let forged: String = Self.encoded(.object(claims))
        var none: JSONObject = try #require(try Self.decoded(parts[0]).object)
        none["alg"] = "none"
        var symmetric: JSONObject = none
        symmetric["alg"] = "HS256"
        var other: String = String(parts[2].dropLast(2))
        other += parts[2].hasSuffix("AA") ? "BB" : "AA"
        let broken: [String] = [
            "\(parts[0]).\(forged).\(parts[2])", "\(Self.encoded(.object(none))).\(forged).",
            "\(Self.encoded(.object(none))).\(parts[1]).\(parts[2])",
            "\(Self.encoded(.object(symmetric))).\(parts[1]).\(parts[2])", "\(parts[0]).\(parts[1]).\(other)",
            "\(parts[0]).\(parts[1])", "\(parts[0]).\(parts[1]).", String(token.dropLast()), token + "A", " " + token,
            token + "." + parts[2], "", ".", "..", String(repeating: "a", count: 20_000),
        ]
        for attempt in broken { #expect(try await Self.status(attempt, fixture) == 401, "\(attempt.prefix(80))") }
        #expect(try await Self.status(token, fixture) == 200)
    }

    @Test func onlyThePlatformsOwnTokensForItselfAreTaken() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada")
        _ = try await fixture.signIn("ada")
        let key: PrivateKey = try TestSigningKey.key.get()
        let keyID: String = try key.publicKey().thumbprint()
        let stranger: PrivateKey = try PrivateKey.generate(.rsa)
        let now: Int64 = fixture.harness.clock.now().milliseconds / 1_000
        func sign(
            _ key: PrivateKey, type: String = "at+jwt", _ changes: JSONObject = [:], without left: String? = nil
        ) throws -> String {
            var claims: JSONObject = [
                "iss": .string(IdentityFixture.issuer), "aud": "passerelle", "sub": .string(id), "sid": "ses_1",
                "iat": .int(now), "exp": .int(now + 60),
            ]
            for change in changes.members { claims[change.key] = change.value }
            if let left: String { claims[left] = nil }
            return try JWT.sign(claims: claims, key: key, keyID: keyID, algorithm: .rs256, type: type)
        }
        #expect(try await Self.status(try sign(key), fixture) == 200, "the fixture's claims are right")
        let wrong: [String] = [
            try sign(stranger), try sign(key, type: "JWT"), try sign(key, ["iss": "http://127.0.0.1:9999"]),
            try sign(key, ["aud": "another"]), try sign(key, ["exp": .int(now - 60)]), try sign(key, without: "sid"),
            try sign(key, without: "sub"), try sign(key, without: "exp"), try sign(key, ["sub": "usr_nobody"]),
            try sign(key, ["sub": 7]),
        ]
        for (index, token) in wrong.enumerated() { #expect(try await Self.status(token, fixture) == 401, "\(index)") }
    }

    @Test func theFirstStartMakesAKeyThatIsSealedInTheStore() async throws {
        let fixture: IdentityFixture = try await IdentityFixture(hasKey: false)
        try await fixture.makeUser("ada")
        #expect(try await Self.status(try await fixture.signIn("ada"), fixture) == 200)
        let sealed: [UInt8] = try #require(
            try await fixture.harness.services.store.read { reader in
                try reader.first("SELECT sealed FROM signing_keys") { try $0.bytes(0) }
            })
        #expect(!String(decoding: sealed, as: UTF8.self).contains("PRIVATE"))
        let key: String = try #require(
            try await fixture.send("GET", "/.well-known/jwks.json", token: nil).json["keys"]?.elements?.first?["kid"]?
                .text)
        #expect(throws: (any Error).self) { try FixedSealer().open(sealed, name: "signing-key/another") }
        #expect(try FixedSealer().open(sealed, name: "signing-key/\(key)").isEmpty == false)
    }

    @Test func rolesAreThoseOfThisMoment() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["viewer@acme"])
        let token: String = try await fixture.signIn("ada")
        func allowed() async throws -> [String] {
            try await fixture.send("GET", "/v1/me/permissions?tenant=acme", token: token).items("role")
        }
        #expect(Set(try await allowed()) == ["viewer"])
        for role in ["devops", "auditor"] {
            let set: TestAnswer = try await fixture.send(
                "PUT", "/v1/users/\(id)/grants", .object(["grants": IdentityFixture.grants(["\(role)@acme"])]))
            #expect(set.status == 200)
            #expect(Set(try await allowed()) == [role], "with the same token")
        }
    }
}
