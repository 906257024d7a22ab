import Bytes
import Crypto
import Testing

@Suite struct DigestTests {
    // FIPS 180-4 examples and the empty message.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func hashesKnownMessages(message: String, hash: String) {
        #expect(Hex.encode(SHA256.hash(message)) == hash)
        var context = SHA256Context()
        for byte in message.utf8 { context.update([byte]) }
        #expect(Hex.encode(context.finish()) == hash)
    }

    @Test func aContextCanBeUsedAgain() {
        var context = SHA256Context()
        let bytes: [UInt8] = Array("abc".utf8)
        var output: [UInt8] = [UInt8](repeating: 0, count: 40)
        for _ in 0..<3 {
            context.update([1, 2, 3])
            bytes.withUnsafeBytes { input in output.withUnsafeMutableBytes { context.hash(input, into: $0) } }
            #expect(Array(output.prefix(32)) == SHA256.hash(bytes))
            #expect(output.suffix(8).allSatisfy { $0 == 0 })
        }
    }

    // RFC 4231, test cases 1, 2 and 6.
    @Test(arguments: [
        (
            [UInt8](repeating: 0x0B, count: 20), "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        ),
        (
            Array("Jefe".utf8), "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        ),
        (
            [UInt8](repeating: 0xAA, count: 131), "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        ),
    ])
    func authenticatesKnownMessages(key: [UInt8], message: String, code: String) {
        let computed: [UInt8] = HMACSHA256.authenticate(Array(message.utf8), key: key)
        #expect(Hex.encode(computed) == code)
        #expect(HMACSHA256.isValid(computed, for: Array(message.utf8), key: key))
        #expect(!HMACSHA256.isValid(computed, for: Array(message.utf8) + [0], key: key))
        #expect(!HMACSHA256.isValid(Array(computed.dropLast()), for: Array(message.utf8), key: key))
    }

    @Test func anEmptyKeyAuthenticatesToo() {
        // HMAC of the empty message under the empty key.
        let code: String = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"
        #expect(Hex.encode(HMACSHA256.authenticate([], key: [])) == code)
    }
}
