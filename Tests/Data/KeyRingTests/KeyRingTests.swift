import Files
import KeyRing
import TestKit
import Testing

struct KeyRingTests {
    @Test func opensWhatItSealedAndNothingElse() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let ring: KeyRing = try KeyRing.open(folder: folder.path)
        let sealed: [UInt8] = try ring.seal([1, 2, 3], name: "signing-key/1")
        #expect(try ring.open(sealed, name: "signing-key/1") == [1, 2, 3])
        #expect(throws: KeyRingError.cannotOpen(name: "signing-key/2")) { try ring.open(sealed, name: "signing-key/2") }
        for index in sealed.indices {
            var changed: [UInt8] = sealed
            changed[index] ^= 1
            #expect(throws: KeyRingError.self) { try ring.open(changed, name: "signing-key/1") }
        }
        #expect(throws: KeyRingError.self) { try ring.open([], name: "signing-key/1") }
    }

    @Test func keepsTheKeyOfTheFolder() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let sealed: [UInt8] = try KeyRing.open(folder: folder.path).seal([9], name: "a")
        #expect(try KeyRing.open(folder: folder.path).open(sealed, name: "a") == [9])
        #expect(try KeyRing.open(folder: folder.path).seal([9], name: "a") != sealed)
        let other: TemporaryFolder = TemporaryFolder()
        #expect(throws: KeyRingError.self) { try KeyRing.open(folder: other.path).open(sealed, name: "a") }
    }

    @Test func refusesAFileThatIsNoKey() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        folder.write([1, 2], to: KeyRing.fileName)
        #expect(throws: KeyRingError.notAKey(path: folder.file(KeyRing.fileName), bytes: 2)) {
            try KeyRing.open(folder: folder.path)
        }
    }
}
