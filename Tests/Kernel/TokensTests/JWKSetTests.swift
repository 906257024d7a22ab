import Crypto
import JSON
import Testing
import Tokens

@Suite struct JWKSetTests {
    private let fixture = TokenFixture()

    @Test func whatIsPublishedCanBeRead() throws {
        let set: JWKSet = try self.fixture.keySet()
        let read = try JWKSet(parsing: set.json().serialized())
        #expect(read.keys.map(\.keyID) == ["rsa", "ec", "ec384", "ec521", "ed"])
        #expect(read.keys.map(\.algorithm) == [nil, .es256, .es384, nil, .edDSA])
        let verifier: TokenVerifier = try self.fixture.verifier(keys: read)
        for algorithm in JWTAlgorithm.allCases {
            _ = try verifier.verify(self.fixture.token(self.fixture.claims(), algorithm))
        }
    }

    @Test func membersOfOtherKindsArePassedOver() throws {
        let good: String = try JWK(keyID: "ec", algorithm: nil, key: self.fixture.key(.es256).publicKey()).json()
            .jsonText
        let body: String = String(good.dropFirst())
        let members: [String] = [
            "5", "null", "[]", "{}", "{\"kty\":\"oct\",\"k\":\"AAAA\",\"kid\":\"ec\"}",
            "{\"kty\":\"EC\",\"crv\":\"P-384\"}",
            "{\"kty\":\"RSA\"}", "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
            "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}",
            "{\"d\":\"secret\"," + body, good.replacing("\"sig\"", with: "\"enc\""), "{\"alg\":\"ES384\"," + body,
            "{\"alg\":\"RS256\"," + body,
            "{\"key_ops\":[\"sign\"]," + body, "{\"key_ops\":\"verify\"," + body,
            good.replacing("\"ec\"", with: "5"), good,
        ]
        let set = try JWKSet(parsing: Array("{\"keys\":[\(members.joined(separator: ","))]}".utf8))
        #expect(set.keys.map(\.keyID) == ["ec"])
    }

    @Test(arguments: ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[],\"keys\":[]}", "x"])
    func whatIsNoSetIsRefused(text: String) {
        #expect(throws: TokenError.self) { try JWKSet(parsing: Array(text.utf8)) }
    }

    @Test func theNumberOfKeysAndBytesIsBounded() throws {
        let key: String = try JWK(keyID: "ed", algorithm: nil, key: self.fixture.key(.edDSA).publicKey()).json()
            .jsonText
        let many: String = "{\"keys\":[\(Array(repeating: key, count: 500).joined(separator: ","))]}"
        #expect(try JWKSet(parsing: Array(many.utf8)).keys.count == JWKSet.keysMax)
        #expect(throws: TokenError.self) { try JWKSet(parsing: [UInt8](repeating: 0x20, count: JWKSet.bytesMax + 1)) }
    }

    @Test func aTokenThatNamesNoKeyIsAcceptedOnlyWithoutChoice() throws {
        let token: String = try self.fixture.token(header: "{\"alg\":\"ES256\"}")
        let mine: PublicKey = try self.fixture.key(.es256).publicKey()
        let other: PublicKey = try PrivateKey.generate(.p256).publicKey()
        let one = JWKSet(keys: [JWK(keyID: "a", algorithm: nil, key: mine)])
        _ = try self.fixture.verifier(keys: one).verify(token)
        let two = JWKSet(keys: [
            JWK(keyID: "a", algorithm: nil, key: mine), JWK(keyID: "b", algorithm: nil, key: other),
        ])
        let verifier: TokenVerifier = try self.fixture.verifier(keys: two)
        #expect(TokenFixture.error { try verifier.verify(token) } == .keyNotFound)
    }

    @Test func keysOfTheSameNameAreTriedInTurn() throws {
        let token: String = try self.fixture.token(self.fixture.claims())
        let mine: PublicKey = try self.fixture.key(.es256).publicKey()
        var keys: [JWK] = []
        for _ in 0..<3 {
            keys.append(JWK(keyID: "ec", algorithm: nil, key: try PrivateKey.generate(.p256).publicKey()))
        }
        _ = try self.fixture.verifier(keys: JWKSet(keys: keys + [JWK(keyID: "ec", algorithm: nil, key: mine)])).verify(
            token)
        let verifier: TokenVerifier = try self.fixture.verifier(keys: JWKSet(keys: keys))
        #expect(TokenFixture.error { try verifier.verify(token) } == .signatureInvalid)
    }

    @Test func anUnknownNameAsksForFreshKeys() throws {
        let token: String = try self.fixture.token(header: "{\"alg\":\"ES256\",\"kid\":\"later\"}")
        let verifier: TokenVerifier = try self.fixture.verifier()
        let error: TokenError? = TokenFixture.error { try verifier.verify(token) }
        #expect(error == .keyNotFound)
        #expect(error?.mayBeCuredByFreshKeys == true)
    }

    @Test func signingNeedsAKeyOfTheRightKind() throws {
        #expect(throws: CryptoError.self) {
            try JWT.sign(claims: [:], key: self.fixture.key(.es256), keyID: nil, algorithm: .rs256)
        }
    }

    // RFC 7520 section 4.1 signs text, not claims; appendix A.2 of RFC 7515 is an RS256 token with claims.
    @Test func verifiesATokenMadeByOthers() throws {
        let modulus: String =
            "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_Yp"
            + "RPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxv"
            + "b3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
        let token: String =
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hi"
            + "UPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX"
            + "4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI"
            + "7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        let key = try PublicKey(jwk: .rsa(n: modulus, e: "AQAB"))
        let verifier: TokenVerifier = try self.fixture.verifier(
            keys: JWKSet(keys: [JWK(keyID: nil, algorithm: nil, key: key)]))
        // The signature is good; what is missing is said next.
        #expect(TokenFixture.error { try verifier.verify(token) } == .wrongIssuer)
    }
}
