import Bytes
import Crypto
import Testing

@Suite struct SecretsTests {
    @Test func randomBytesDiffer() {
        #expect(Random.bytes(32) != Random.bytes(32))
        #expect(Random.bytes(0).isEmpty)
        let token: String = Random.token(prefix: "pk_", bytes: 24)
        #expect(token.hasPrefix("pk_"))
        #expect(Base64.decodeURL(String(token.dropFirst(3)))?.count == 24)
    }

    @Test func comparesWholeValues() {
        #expect(ConstantTime.equals([], []))
        #expect(ConstantTime.equals([1, 2], [1, 2]))
        #expect(!ConstantTime.equals([1, 2], [1, 3]))
        #expect(!ConstantTime.equals([1, 2], [1, 2, 3]))
        #expect(ConstantTime.equals("abc", "abc"))
        #expect(!ConstantTime.equals("abc", "abd"))
        let bytes: [UInt8] = [1, 2, 3]
        bytes.withUnsafeBytes { all in
            #expect(ConstantTime.equals(all, UnsafeRawBufferPointer(all)))
            #expect(!ConstantTime.equals(all, UnsafeRawBufferPointer(rebasing: all[0..<2])))
            #expect(
                ConstantTime.equals(
                    UnsafeRawBufferPointer(start: nil, count: 0), UnsafeRawBufferPointer(rebasing: all[0..<0])))
        }
    }

    @Test(arguments: [0, 1, 15, 16, 17, 100_000])
    func opensWhatItSealed(length: Int) throws {
        let key: [UInt8] = AESGCM.makeKey()
        let plaintext: [UInt8] = Random.bytes(length)
        let sealed: [UInt8] = try AESGCM.seal(plaintext, key: key, associatedData: Array("tenant/name".utf8))
        #expect(sealed.count == length + 28)
        #expect(try AESGCM.open(sealed, key: key, associatedData: Array("tenant/name".utf8)) == plaintext)
        #expect(try AESGCM.seal(plaintext, key: key, associatedData: Array("tenant/name".utf8)) != sealed)
    }

    @Test func refusesEveryChange() throws {
        let key: [UInt8] = AESGCM.makeKey()
        let data: [UInt8] = Array("a".utf8)
        let sealed: [UInt8] = try AESGCM.seal(Array("attack at dawn".utf8), key: key, associatedData: data)
        for position in sealed.indices {
            var changed: [UInt8] = sealed
            changed[position] ^= 1
            #expect(throws: CryptoError.notAuthentic) { try AESGCM.open(changed, key: key, associatedData: data) }
        }
        for length in 0..<sealed.count {
            #expect(throws: CryptoError.notAuthentic) {
                try AESGCM.open(Array(sealed.prefix(length)), key: key, associatedData: data)
            }
        }
        #expect(throws: CryptoError.notAuthentic) { try AESGCM.open(sealed, key: key, associatedData: Array("b".utf8)) }
        #expect(throws: CryptoError.notAuthentic) {
            try AESGCM.open(sealed, key: AESGCM.makeKey(), associatedData: data)
        }
        #expect(throws: CryptoError.self) { try AESGCM.open(sealed, key: Array(key.dropLast()), associatedData: data) }
        #expect(throws: CryptoError.self) { try AESGCM.seal([], key: key + [0]) }
    }

    // NIST CAVP gcmDecrypt256, one vector with 128 bits of plaintext and associated data.
    @Test func opensAKnownVector() throws {
        let key: [UInt8] = Hex.decode("92e11dcdaa866f5ce790fd24501f92509aacf4cb8b1339d50c9c1240935dd08b")!
        let nonce: [UInt8] = Hex.decode("ac93a1a6145299bde902f21a")!
        let ciphertext: [UInt8] = Hex.decode("8995ae2e6df3dbf96fac7b7137bae67f")!
        let data: [UInt8] = Hex.decode("1e0889016f67601c8ebea4943bc23ad6")!
        let tag: [UInt8] = Hex.decode("eca5aa77d51d4a0a14d9c51e1da474ab")!
        let plaintext: [UInt8] = try AESGCM.open(nonce + ciphertext + tag, key: key, associatedData: data)
        #expect(Hex.encode(plaintext) == "2d71bcfa914e4ac045b2aa60955fad24")
    }
}

@Suite struct PasswordTests {
    @Test func verifiesWhatItHashed() throws {
        let hash: String = try Password.hash("correct horse")
        #expect(hash.hasPrefix("$argon2id$v=19$m=65536,t=3,p=1$"))
        #expect(try Password.verify("correct horse", against: hash))
        #expect(try !Password.verify("correct horsf", against: hash))
        #expect(!Password.isOutdated(hash))
    }

    // Made with the reference implementation's command line: argon2 somesalt -id -t 2 -m 8 -p 1 -l 32, password "password".
    @Test func readsTheCostFromTheHash() throws {
        let hash: String = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
        #expect(try Password.verify("password", against: hash))
        #expect(try !Password.verify("Password", against: hash))
        #expect(Password.isOutdated(hash))
    }

    @Test func theDummyBelongsToNobodyAndCostsAsMuch() throws {
        #expect(try !Password.verify("", against: Password.dummy))
        #expect(!Password.isOutdated(Password.dummy))
    }

    @Test(arguments: [
        "", "x", "$argon2id$", "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=262145,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=4294967297,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=17,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=5$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=0256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=4,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$t=2,m=256,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=1$c29t$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOg",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ=$nf65EOgLrQMR/uIPnA4rEg",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4$",
        "$2b$12$abcdefghijklmnopqrstuuu",
    ])
    func refusesForeignAndCostlyHashes(text: String) {
        #expect(throws: CryptoError.self) { try Password.verify("password", against: text) }
        #expect(Password.isOutdated(text))
    }

    @Test func refusesEndlessPasswords() throws {
        let long = String(repeating: "x", count: Password.bytesMax + 1)
        #expect(throws: CryptoError.self) { try Password.hash(long) }
        #expect(try !Password.verify(long, against: Password.dummy))
    }
}
