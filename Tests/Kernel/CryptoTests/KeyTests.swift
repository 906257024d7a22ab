import Bytes
import Crypto
import Testing

@Suite struct KeyTests {
    /// One key of each kind for all tests: RSA keys take long to make.
    static let keys: [KeyKind: PrivateKey] = {
        var keys: [KeyKind: PrivateKey] = [:]
        for kind in KeyKind.allCases { keys[kind] = try? PrivateKey.generate(kind) }
        return keys
    }()

    private func key(_ kind: KeyKind) throws -> PrivateKey { try #require(KeyTests.keys[kind]) }

    @Test(arguments: SignatureScheme.allCases)
    func verifiesWhatItSigned(scheme: SignatureScheme) throws {
        let key: PrivateKey = try self.key(scheme.keyKind)
        let message: [UInt8] = Array("message".utf8)
        let signature: [UInt8] = try key.sign(message, scheme: scheme)
        let publicKey: PublicKey = try key.publicKey()
        #expect(publicKey.isValid(signature, for: message, scheme: scheme))
        #expect(!publicKey.isValid(signature, for: message + [0], scheme: scheme))
        #expect(!publicKey.isValid(signature + [0], for: message, scheme: scheme))
        #expect(!publicKey.isValid(Array(signature.dropLast()), for: message, scheme: scheme))
        #expect(!publicKey.isValid([], for: message, scheme: scheme))
        for position in stride(from: 0, to: signature.count, by: 7) {
            var changed: [UInt8] = signature
            changed[position] ^= 0x10
            #expect(!publicKey.isValid(changed, for: message, scheme: scheme))
        }
        let other: PublicKey = try PrivateKey.generate(scheme.keyKind).publicKey()
        #expect(!other.isValid(signature, for: message, scheme: scheme))
    }

    /// A block may say that it is encrypted: nobody is asked for a pass phrase, at a terminal neither.
    @Test func whatSaysThatItIsEncryptedIsRefusedUnasked() {
        let encrypted: String =
            "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n"
        for kind in ["PUBLIC KEY", "PRIVATE KEY", "RSA PRIVATE KEY", "CERTIFICATE"] {
            let pem: String = "-----BEGIN \(kind)-----\n\(encrypted)-----END \(kind)-----\n"
            #expect(throws: CryptoError.self) { try PublicKey(pem: pem) }
            #expect(throws: CryptoError.self) { try PrivateKey(pem: pem) }
            #expect(throws: CryptoError.self) { try Certificate.chain(pem: pem) }
        }
    }

    @Test(arguments: KeyKind.allCases, SignatureScheme.allCases)
    func aKeyNeverServesAnotherKindOfSignature(kind: KeyKind, scheme: SignatureScheme) throws {
        guard scheme.keyKind != kind else { return }
        let key: PrivateKey = try self.key(kind)
        #expect(throws: CryptoError.self) { try key.sign([1], scheme: scheme) }
        let signature: [UInt8] = try self.key(scheme.keyKind).sign([1], scheme: scheme)
        #expect(try !key.publicKey().isValid(signature, for: [1], scheme: scheme))
    }

    @Test func theTwoRSASchemesAreNotInterchangeable() throws {
        let key: PrivateKey = try self.key(.rsa)
        let publicKey: PublicKey = try key.publicKey()
        let first: [UInt8] = try key.sign([1], scheme: .rsaPKCS1SHA256)
        let second: [UInt8] = try key.sign([1], scheme: .rsaPSSSHA256)
        #expect(!publicKey.isValid(first, for: [1], scheme: .rsaPSSSHA256))
        #expect(!publicKey.isValid(second, for: [1], scheme: .rsaPKCS1SHA256))
    }

    @Test(arguments: KeyKind.allCases)
    func keysGoThroughPEMAndJWK(kind: KeyKind) throws {
        let key: PrivateKey = try self.key(kind)
        let publicKey: PublicKey = try key.publicKey()
        let scheme: SignatureScheme = try #require(SignatureScheme.allCases.first { $0.keyKind == kind })
        let signature: [UInt8] = try PrivateKey(pem: key.pem()).sign([1, 2, 3], scheme: scheme)
        #expect(try key.pem().hasPrefix("-----BEGIN PRIVATE KEY-----\n"))
        #expect(try publicKey.pem().hasPrefix("-----BEGIN PUBLIC KEY-----\n"))
        #expect(try PublicKey(pem: publicKey.pem()).isValid(signature, for: [1, 2, 3], scheme: scheme))
        let again = try PublicKey(jwk: publicKey.jwk())
        #expect(again.isValid(signature, for: [1, 2, 3], scheme: scheme))
        #expect(try again.pem() == publicKey.pem())
        #expect(try again.thumbprint() == publicKey.thumbprint())
    }

    // RFC 7638 section 3.1.
    @Test func theThumbprintIsEveryonesThumbprint() throws {
        let modulus: String =
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3ok"
            + "njhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6"
            + "qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        let key = try PublicKey(jwk: .rsa(n: modulus, e: "AQAB"))
        #expect(try key.thumbprint() == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
    }

    // RFC 8037 appendix A.4.
    @Test func ed25519ChecksAKnownSignature() throws {
        let key = try PublicKey(jwk: .ed25519(x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))
        let message: [UInt8] = Array("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".utf8)
        let signature: [UInt8] = Base64.decodeURL(
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")!
        #expect(key.isValid(signature, for: message, scheme: .ed25519))
        #expect(try PublicKey(ed25519: key.ed25519Bytes!).isValid(signature, for: message, scheme: .ed25519))
    }

    // RFC 7515 appendix A.3.
    @Test func ecdsaChecksAKnownSignature() throws {
        let key = try PublicKey(
            jwk: .p256(
                x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"))
        let message: [UInt8] = Array(
            ("eyJhbGciOiJFUzI1NiJ9."
                + "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ").utf8
        )
        let signature: [UInt8] = Base64.decodeURL(
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")!
        #expect(key.isValid(signature, for: message, scheme: .ecdsaP256SHA256))
    }

    @Test func coordinatesKeepTheirLeadingZeros() throws {
        // One key in 128 has one; look until it was met.
        for _ in 0..<3000 {
            let key: PublicKey = try PrivateKey.generate(.p256).publicKey()
            guard case .p256(let x, let y) = try key.jwk() else { continue }
            let (xBytes, yBytes) = (try #require(Base64.decodeURL(x)), try #require(Base64.decodeURL(y)))
            #expect(xBytes.count == 32 && yBytes.count == 32)
            if xBytes[0] == 0 || yBytes[0] == 0 {
                #expect(try PublicKey(jwk: .p256(x: x, y: y)).pem() == key.pem())
                return
            }
        }
        Issue.record("no key with a leading zero among 3000")
    }

    @Test(
        arguments: [
            .p256(x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1"),
            .p256(x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", y: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
            .p256(x: "", y: ""), .p256(x: "AA", y: "AA"),
            .ed25519(x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUR"), .ed25519(x: "AQAB"), .ed25519(x: "not base64!"),
            .rsa(n: "AQAB", e: "AQAB"), .rsa(n: "", e: "AQAB"), .rsa(n: String(repeating: "_", count: 342), e: "AA"),
            .rsa(n: String(repeating: "_", count: 342), e: "AQ"),
            .rsa(n: String(repeating: "_", count: 342), e: "AQAA"),
            .rsa(n: String(repeating: "_", count: 342), e: "______8"),
            .rsa(n: String(repeating: "_", count: 2000), e: "AQAB"),
            .rsa(n: String(repeating: "_", count: 4000), e: "AQAB"),
        ] as [PublicJWK])
    func refusesBadJWKs(jwk: PublicJWK) {
        #expect(throws: CryptoError.self) { try PublicKey(jwk: jwk) }
    }

    @Test(arguments: ["", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
    func refusesWhatIsNoPEM(text: String) {
        #expect(throws: CryptoError.self) { try PublicKey(pem: text) }
        #expect(throws: CryptoError.self) { try PrivateKey(pem: text) }
    }

    // Encrypted with a pass phrase; reading it must fail at once instead of asking the terminal.
    @Test func refusesEncryptedKeysWithoutAsking() {
        let pem: String = """
            -----BEGIN ENCRYPTED PRIVATE KEY-----
            MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgidvY7jQS9uwICCAAw
            DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEHQ/mdz3ObyCN1jME95H7VMEQNG/
            Vj5FaxpaPTQTcBEcqCqXD8ljBGBfdCiqjOMOvSEX4t7egL4HD+Al214SxZUSAFWU
            X9w79s0djAFD2yituUk=
            -----END ENCRYPTED PRIVATE KEY-----
            """
        #expect(throws: CryptoError.self) { try PrivateKey(pem: pem) }
    }

    // An RSA key of 1024 bits, a secp256k1 key and an X25519 key.
    @Test(arguments: [
        """
        -----BEGIN PUBLIC KEY-----
        MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDnFHK/QVBxtIXCvmNiNUsAwGmq
        Jpk9Mpv7mVMI1+aZj+DJNxRecOcFQSGjrZ7vLLd06bNcSEC/EXuzRdNEw/PC8QvZ
        ZbOls3EOM9AWLFEdW3L72Zo/aBtRTQl0z7yryinsRDCBq72W8WuMUX8arrh3Ai1N
        szDf/c3sISpQ94W05wIDAQAB
        -----END PUBLIC KEY-----
        """,
        """
        -----BEGIN PUBLIC KEY-----
        MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEfdsQvVJTXvjqCKW7hTXP0ENIkO7erOH6
        A9WqGvDmn4x6KY2K4mpqQayGEZOCxdMpq+FerircwtXWvkZdQLfmrA==
        -----END PUBLIC KEY-----
        """,
        """
        -----BEGIN PUBLIC KEY-----
        MCowBQYDK2VuAyEAAD717uSAZEqTPwxWeRULMGhYua61HB12l2SZiInm/xU=
        -----END PUBLIC KEY-----
        """,
    ])
    func refusesWeakAndForeignKeys(pem: String) {
        #expect { try PublicKey(pem: pem) } throws: { error in
            guard case CryptoError.unsupported = error else { return false }
            return true
        }
    }
}
