import Bytes
import Crypto
import JSON
import Testing
import Tokens

/// What has been tried against verifiers of tokens, and must not work here.
@Suite struct TokenAttackTests {
    private let fixture = TokenFixture()

    private func expect(_ error: TokenError, of token: String, _ verifier: TokenVerifier? = nil) throws {
        let verifier: TokenVerifier = try verifier ?? self.fixture.verifier()
        let found: TokenError? = TokenFixture.error { try verifier.verify(token) }
        #expect(found == error)
    }

    private func unsigned(_ header: String, signature: [UInt8] = [1]) -> String {
        let payload: [UInt8] = JSONValue.object(self.fixture.claims()).serialized()
        return Base64.encodeURL(Array(header.utf8)) + "." + Base64.encodeURL(payload) + "."
            + Base64.encodeURL(signature)
    }

    @Test(arguments: [
        "none", "None", "NONE", "nOnE", "", "HS256", "HS512", "RS1", "ES256K", "es256", "RS256 ", "ES256\\u0000",
    ])
    func algorithmsThatAreNotAllowed(name: String) throws {
        try self.expect(.algorithmNotAllowed, of: self.unsigned("{\"alg\":\"\(name)\"}"))
        try self.expect(.algorithmNotAllowed, of: self.unsigned("{\"alg\":\"\(name)\",\"kid\":\"ec\"}"))
    }

    @Test func noSignatureAtAll() throws {
        let token: String = self.unsigned("{\"alg\":\"none\"}")
        let bare: String = String(token[...token.lastIndex(of: ".")!])
        try self.expect(.malformed("the signature must be URL-safe base64 without padding, not empty"), of: bare)
        try self.expect(.malformed("expected three parts separated by dots"), of: String(bare.dropLast()))
    }

    // The public key, which everyone has, used as the secret of an HMAC.
    @Test func thePublicKeyAsSharedSecret() throws {
        let key: PublicKey = try self.fixture.key(.rs256).publicKey()
        let token: String = self.unsigned("{\"alg\":\"HS256\",\"kid\":\"rsa\"}")
        let input: String = token.split(separator: ".").prefix(2).joined(separator: ".")
        for secret in [try key.pem(), try key.pem().trimmedLineFeed, "AQAB"] {
            let code: [UInt8] = HMACSHA256.authenticate(Array(input.utf8), key: Array(secret.utf8))
            try self.expect(.algorithmNotAllowed, of: input + "." + Base64.encodeURL(code))
        }
    }

    // A good signature of another algorithm than the header says, and keys named that are of another kind.
    @Test(arguments: JWTAlgorithm.allCases, JWTAlgorithm.allCases)
    func algorithmsCannotBeConfused(claimed: JWTAlgorithm, used: JWTAlgorithm) throws {
        guard claimed != used else { return }
        let keyOfUsed: String = "{\"alg\":\"\(claimed.rawValue)\",\"kid\":\"\(TokenFixture.keyID(used))\"}"
        let isSameKind: Bool = claimed.scheme.keyKind == used.scheme.keyKind
        try self.expect(isSameKind ? .signatureInvalid : .keyNotFound, of: self.fixture.token(header: keyOfUsed, used))
        let keyOfClaimed: String = "{\"alg\":\"\(claimed.rawValue)\",\"kid\":\"\(TokenFixture.keyID(claimed))\"}"
        try self.expect(.signatureInvalid, of: self.fixture.token(header: keyOfClaimed, used))
    }

    @Test func anAlgorithmOutsideTheListIsRefusedEvenIfItsKeyIsKnown() throws {
        let token: String = try self.fixture.token(self.fixture.claims(), .rs256)
        try self.expect(.algorithmNotAllowed, of: token, self.fixture.verifier([.ps256, .es256, .edDSA]))
        try self.expect(.algorithmNotAllowed, of: token, self.fixture.verifier([]))
    }

    // The token brings its own key, or says where one lies.
    @Test func keysInTheHeaderAreIgnored() throws {
        let attacker: PrivateKey = try .generate(.p256)
        let jwk: String = try JWK(keyID: "ec", algorithm: nil, key: attacker.publicKey()).json().jsonText
        let payload: [UInt8] = JSONValue.object(self.fixture.claims()).serialized()
        for extra in [
            "\"jwk\":\(jwk)", "\"jku\":\"https://attacker/keys\"", "\"x5u\":\"https://attacker\"", "\"x5c\":[\"AAAA\"]",
        ] {
            let header: String = "{\"alg\":\"ES256\",\"kid\":\"ec\",\(extra)}"
            let token: String = try JWT.sign(
                header: Array(header.utf8), payload: payload, key: attacker, algorithm: .es256)
            try self.expect(.signatureInvalid, of: token)
        }
    }

    @Test(arguments: [
        "{\"alg\":\"ES256\",\"kid\":\"ec\",\"crit\":[\"exp\"]}", "{\"alg\":\"ES256\",\"kid\":\"ec\",\"crit\":[]}",
        "{\"alg\":\"ES256\",\"kid\":\"ec\",\"crit\":[\"b64\"],\"b64\":false}",
        "{\"alg\":\"ES256\",\"kid\":\"ec\",\"crit\":null}",
        "{\"alg\":\"none\",\"crit\":\"x\"}",
    ])
    func criticalExtensionsAreRefused(header: String) throws {
        try self.expect(.criticalExtension, of: self.fixture.token(header: header))
    }

    @Test(arguments: [
        "{\"alg\":\"ES256\",\"alg\":\"none\",\"kid\":\"ec\"}", "{\"alg\":\"ES256\",\"kid\":\"ec\",\"kid\":\"ec\"}",
        "{\"alg\":\"ES256\",\"\\u0061lg\":\"ES256\",\"kid\":\"ec\"}", "[\"ES256\"]", "\"ES256\"", "null",
        "{\"alg\":\"ES256\",}",
        "{\"alg\":\"ES256\"} x", "{'alg':'ES256'}", "{\"alg\":\"ES256\"", "\u{FEFF}{\"alg\":\"ES256\"}",
    ])
    func headersThatAreNotStrictJSON(header: String) throws {
        try self.expect(
            .malformed("the header must be a JSON object with each member once"), of: self.fixture.token(header: header)
        )
    }

    @Test(arguments: ["{}", "{\"alg\":5}", "{\"alg\":null}", "{\"alg\":[\"ES256\"]}"])
    func headersWithoutAnAlgorithm(header: String) throws {
        try self.expect(.malformed("the header must have a string alg"), of: self.fixture.token(header: header))
    }

    @Test(arguments: ["kid", "typ"])
    func headerMembersOfTheWrongKind(name: String) throws {
        for value in ["5", "null", "[]", "{}", "\"\(String(repeating: "x", count: 257))\""] {
            let header: String = "{\"alg\":\"ES256\",\"\(name)\":\(value)}"
            try self.expect(
                .malformed("the header's \(name) must be a string of at most 256 bytes"),
                of: self.fixture.token(header: header))
        }
    }

    @Test(arguments: [
        "[1]", "\"x\"", "5", "{\"iss\":\"https://issuer\",\"iss\":\"https://issuer\"}", "{\"a\":1", "\u{0}",
        String(repeating: "{\"a\":", count: 100) + "1" + String(repeating: "}", count: 100),
    ])
    func payloadsThatAreNotStrictJSON(payload: String) throws {
        let token: String = try self.fixture.token(
            header: "{\"alg\":\"ES256\",\"kid\":\"ec\"}", payload: Array(payload.utf8))
        try self.expect(.malformed("the payload must be a JSON object with each member once"), of: token)
    }

    // The payload of a stranger's token is never even parsed.
    @Test func theSignatureIsCheckedBeforeThePayload() throws {
        let header: String = Base64.encodeURL(Array("{\"alg\":\"ES256\",\"kid\":\"ec\"}".utf8))
        let signature: String = Base64.encodeURL([UInt8](repeating: 1, count: 64))
        try self.expect(
            .signatureInvalid, of: header + "." + Base64.encodeURL(Array("not json".utf8)) + "." + signature)
    }

    @Test func everyChangedCharacterIsNoticed() throws {
        let token: [UInt8] = Array(try self.fixture.token(self.fixture.claims(), .edDSA).utf8)
        let verifier: TokenVerifier = try self.fixture.verifier()
        for position in token.indices {
            var changed: [UInt8] = token
            changed[position] = changed[position] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(TokenFixture.error { try verifier.verify(changed) } != nil, "position \(position)")
        }
        for length in 0..<token.count {
            #expect(TokenFixture.error { try verifier.verify(Array(token.prefix(length))) } != nil, "length \(length)")
        }
    }

    // One token, one text: no padding, no other alphabet, no white space, no bits left over, nothing around it.
    @Test func otherSpellingsOfTheSameTokenAreRefused() throws {
        let token: String = try self.fixture.token(self.fixture.claims(), .edDSA)
        let parts: [Substring] = token.split(separator: ".")
        let spellings: [String] = [
            token + "=", token + "==", " " + token, token + " ", token + "\n", token + ".", "." + token,
            "Bearer " + token,
            parts.joined(separator: ".\n"), parts[0] + "==." + parts[1] + "." + parts[2], token + "\u{0}",
            parts.joined(separator: ".."), token.replacingLast(with: "AB"),
        ]
        let verifier: TokenVerifier = try self.fixture.verifier()
        for spelling in spellings {
            #expect(TokenFixture.error { try verifier.verify(spelling) } != nil, "\(spelling)")
        }
        // 64 bytes of signature leave four bits in the last character: changing only those must not pass.
        let last: Character = try #require(token.last)
        let others: [Character] = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_").filter {
            $0 != last
        }
        for other in others {
            #expect(TokenFixture.error { try verifier.verify(String(token.dropLast()) + String(other)) } != nil)
        }
    }

    @Test func hugeTokensAreRefusedUnread() throws {
        let header: String = "{\"alg\":\"ES256\",\"kid\":\"ec\",\"x\":\"\(String(repeating: "x", count: 3000))\"}"
        try self.expect(.tooLarge, of: self.fixture.token(header: header))
        try self.expect(.tooLarge, of: String(repeating: "A", count: JWT.bytesMax + 1))
        try self.expect(.tooLarge, of: String(repeating: ".", count: 10_000_000))
        try self.expect(
            .malformed("expected three parts separated by dots"), of: String(repeating: ".", count: JWT.bytesMax))
    }

    // A signature of r = s = 0 passed verifiers that forgot to check the range.
    @Test func zeroSignatures() throws {
        for length in [1, 63, 64, 65, 256] {
            let token: String = self.unsigned(
                "{\"alg\":\"ES256\",\"kid\":\"ec\"}", signature: [UInt8](repeating: 0, count: length))
            try self.expect(.signatureInvalid, of: token)
        }
    }

    @Test func theDERFormOfAnECDSASignatureIsRefused() throws {
        let token: String = try self.fixture.token(self.fixture.claims(), .es256)
        let parts: [Substring] = token.split(separator: ".")
        let fixed: [UInt8] = try #require(Base64.decodeURL(String(parts[2])))
        let der: [UInt8] = [0x30, 70, 2, 33, 0] + fixed[0..<32] + [2, 33, 0] + fixed[32...]
        try self.expect(.signatureInvalid, of: parts[0] + "." + parts[1] + "." + Base64.encodeURL(der))
    }
}

extension String {
    fileprivate var trimmedLineFeed: String { self.hasSuffix("\n") ? String(self.dropLast()) : self }

    fileprivate func replacingLast(with text: String) -> String { String(self.dropLast()) + text }
}
