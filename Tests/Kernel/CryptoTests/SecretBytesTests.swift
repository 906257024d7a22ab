import Crypto
import Testing

@Suite struct SecretBytesTests {
    @Test func takesTheBytesAndWipesWhereTheyWere() {
        var bytes: [UInt8] = [1, 2, 3]
        let secret: SecretBytes = SecretBytes(wiping: &bytes)
        #expect(bytes == [0, 0, 0])
        #expect(secret.count == 3)
        #expect(secret.reveal { $0 == [1, 2, 3] })
    }

    @Test func revealsTheSameForAsLongAsItLives() async throws {
        let secret: SecretBytes = .random(32)
        let first: [UInt8] = secret.reveal { $0.map { $0 } }
        #expect(first.count == 32)
        #expect(await secret.reveal { (bytes: [UInt8]) async -> Bool in bytes == first })
        #expect(SecretBytes.random(32).reveal { $0 } != first)
    }

    @Test func emptyOnesAreFine() {
        var none: [UInt8] = []
        #expect(SecretBytes(wiping: &none).reveal { $0.isEmpty })
    }
}
