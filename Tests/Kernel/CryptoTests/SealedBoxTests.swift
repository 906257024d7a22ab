import Crypto
import Testing

struct SealedBoxTests {
    @Test func opensForItsReceiverAlone() throws {
        let receiver: PrivateKey = try PrivateKey.generate(.p256)
        let box: [UInt8] = try SealedBox.seal([1, 2, 3], to: try receiver.publicKey(), associatedData: [9])
        #expect(try SealedBox.open(box, with: receiver, associatedData: [9]) == [1, 2, 3])
        #expect(throws: CryptoError.self) { try SealedBox.open(box, with: receiver, associatedData: [8]) }
        let other: PrivateKey = try PrivateKey.generate(.p256)
        #expect(throws: CryptoError.self) { try SealedBox.open(box, with: other, associatedData: [9]) }
        #expect(try SealedBox.seal([1, 2, 3], to: try receiver.publicKey(), associatedData: [9]) != box)
    }

    @Test func noticesEveryChange() throws {
        let receiver: PrivateKey = try PrivateKey.generate(.p256)
        let box: [UInt8] = try SealedBox.seal([7], to: try receiver.publicKey(), associatedData: [])
        for index in box.indices {
            var changed: [UInt8] = box
            changed[index] ^= 1
            #expect(throws: CryptoError.self, "byte \(index)") {
                try SealedBox.open(changed, with: receiver, associatedData: [])
            }
            #expect(throws: CryptoError.self) {
                try SealedBox.open(Array(box[..<index]), with: receiver, associatedData: [])
            }
        }
    }

    @Test(arguments: [KeyKind.rsa, .p384, .ed25519]) func wantsAKeyOfItsKind(_ kind: KeyKind) throws {
        let key: PublicKey = try PrivateKey.generate(kind).publicKey()
        #expect(throws: CryptoError.self) { try SealedBox.seal([1], to: key, associatedData: []) }
    }
}
