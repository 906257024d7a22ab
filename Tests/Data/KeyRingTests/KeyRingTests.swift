import Bytes
import Crypto
import Store
import TestKit
import Testing

@testable import KeyRing

struct KeyRingTests {
    @Test func opensWhatItSealedAndNothingElse() async throws {
        let fixture: KeyRingFixture = try await KeyRingFixture()
        let ring: KeyRing = try await fixture.ring()
        let sealed: [UInt8] = try ring.seal([1, 2, 3], name: "signing-key/1")
        #expect(try ring.open(sealed, name: "signing-key/1") == [1, 2, 3])
        #expect(try ring.seal([1, 2, 3], name: "signing-key/1") != sealed)
        #expect(throws: KeyRingError.cannotOpen(name: "signing-key/2")) { try ring.open(sealed, name: "signing-key/2") }
        for index in sealed.indices {
            var changed: [UInt8] = sealed
            changed[index] ^= 1
            #expect(throws: KeyRingError.self) { try ring.open(changed, name: "signing-key/1") }
        }
        #expect(throws: KeyRingError.self) { try ring.open([], name: "signing-key/1") }
    }

    @Test func keepsItsKeysOverARestart() async throws {
        let fixture: KeyRingFixture = try await KeyRingFixture()
        let first: KeyRing = try await fixture.ring()
        let sealed: [UInt8] = try first.seal([9], name: "a")
        try await fixture.putNote("word", "n", tenant: "acme", first)
        let second: KeyRing = try await fixture.ring()
        #expect(try second.open(sealed, name: "a") == [9])
        #expect(try await fixture.note("n", tenant: "acme", second) == "word")
        #expect(try await fixture.number("SELECT count(*) FROM key_encrypting_keys") == 1)
    }

    @Test func bindsAValueToItsTenant() async throws {
        let fixture: KeyRingFixture = try await KeyRingFixture()
        let ring: KeyRing = try await fixture.ring()
        try await fixture.putNote("of acme", "n", tenant: "acme", ring)
        try await fixture.putNote("of globex", "n", tenant: "globex", ring)
        #expect(try await fixture.note("n", tenant: "acme", ring) == "of acme")
        // Who moves a row to another tenant does not make it readable there.
        try await fixture.store.write { transaction in
            try transaction.execute("DELETE FROM notes WHERE tenant = 'globex'")
            try transaction.execute("UPDATE notes SET tenant = 'globex' WHERE tenant = 'acme'")
        }
        await #expect(throws: KeyRingError.cannotOpen(name: "note/n/1")) {
            try await fixture.note("n", tenant: "globex", ring)
        }
        // The platform's key opens nothing of a tenant's.
        let sealed: [UInt8] = try await fixture.store.read { reader in
            try reader.first("SELECT sealed FROM notes") { try $0.bytes(0) } ?? []
        }
        #expect(throws: KeyRingError.self) { try ring.open(sealed, name: "note/n/1") }
    }

    @Test func destroysAKeyWithANameAndWhatItSealed() async throws {
        let fixture: KeyRingFixture = try await KeyRingFixture()
        let ring: KeyRing = try await fixture.ring()
        let sealed: [UInt8] = try await fixture.store.write { transaction in
            try ring.seal([7], name: "entry/1", tenant: "acme", key: "subject/usr_1", in: transaction)
        }
        let other: [UInt8] = try await fixture.store.write { transaction in
            try ring.seal([8], name: "entry/1", tenant: "acme", key: "subject/usr_2", in: transaction)
        }
        func opened(_ sealed: [UInt8], _ key: String) async throws -> [UInt8]? {
            try await fixture.store.read { try ring.open(sealed, name: "entry/1", tenant: "acme", key: key, in: $0) }
        }
        #expect(try await opened(sealed, "subject/usr_1") == [7])
        #expect(try await fixture.store.read { try ring.hasKey("subject/usr_1", tenant: "acme", in: $0) })
        #expect(try await fixture.store.write { try ring.destroyKey("subject/usr_1", tenant: "acme", in: $0) })
        #expect(try await !fixture.store.write { try ring.destroyKey("subject/usr_1", tenant: "acme", in: $0) })
        #expect(try await opened(sealed, "subject/usr_1") == nil)
        #expect(try await opened(other, "subject/usr_2") == [8])
        // A new key of that name is another one.
        let later: [UInt8] = try await fixture.store.write { transaction in
            try ring.seal([9], name: "entry/2", tenant: "acme", key: "subject/usr_1", in: transaction)
        }
        #expect(later.count == sealed.count)
        #expect(try await opened(sealed, "subject/usr_1") == nil)
    }

    @Test func forgetsTheKeysOfAChangeThatFailed() async throws {
        struct Failed: Error {}
        let fixture: KeyRingFixture = try await KeyRingFixture()
        let ring: KeyRing = try await fixture.ring()
        await #expect(throws: Failed.self) {
            try await fixture.store.write { transaction in
                _ = try ring.seal([1], name: "a", tenant: "acme", in: transaction)
                throw Failed()
            }
        }
        try await fixture.putNote("word", "n", tenant: "acme", ring)
        #expect(try await fixture.note("n", tenant: "acme", try await fixture.ring()) == "word")
    }

    @Test func opensNothingWhileSealed() async throws {
        let fixture: KeyRingFixture = try await KeyRingFixture()
        let ring: KeyRing = try await fixture.ring()
        let sealed: [UInt8] = try ring.seal([1], name: "a")
        try await fixture.putNote("word", "n", tenant: "acme", ring)
        ring.seal(reason: "an administrator sealed it")
        #expect(ring.isSealed?.reason == "an administrator sealed it")
        let error: KeyRingError = .sealed(reason: "an administrator sealed it")
        #expect(throws: error) { try ring.open(sealed, name: "a") }
        #expect(throws: error) { try ring.seal([2], name: "b") }
        await #expect(throws: error) { try await fixture.note("n", tenant: "acme", ring) }
        await #expect(throws: error) { try await ring.rotateMaster() }
        try await ring.refresh()
        #expect(ring.isSealed != nil)
        try await ring.unseal()
        #expect(try ring.open(sealed, name: "a") == [1])
        #expect(try await fixture.note("n", tenant: "acme", ring) == "word")
    }

    /// A key that is not kept any more is wiped: `SecretBytes` sees to that.
    private final class Kept {
        weak var encrypting: SecretBytes?
        weak var platform: SecretBytes?
        weak var master: SecretBytes?

        init(_ ring: KeyRing) throws {
            let keys: KeyRing.OpenKeys = try ring.opened()
            self.encrypting = keys.encrypting.values.first
            self.platform = keys.platform.first?.key
            self.master = (keys.master as? LocalMasterKey)?.key
        }

        var count: Int { [self.encrypting, self.platform, self.master].compactMap { $0 }.count }
    }

    @Test func keepsNoKeyOnceItIsSealed() async throws {
        let fixture: KeyRingFixture = try await KeyRingFixture()
        let ring: KeyRing = try await fixture.ring()
        let kept: Kept = try Kept(ring)
        #expect(kept.count == 3)
        ring.seal(reason: "a test")
        // The thread that wrote may still hold the closure it ran.
        try await eventually { kept.count == 0 }
        try await ring.unseal()
        #expect(try Kept(ring).count == 3)
    }

    @Test func saysWhichMasterKeyIsNeeded() async throws {
        let fixture: KeyRingFixture = try await KeyRingFixture()
        _ = try await fixture.ring()
        let needed: String = try fixture.master.load().key.id
        let other: LocalMasterKey = try LocalMasterKey(variable: "K", value: String(repeating: "0f", count: 32))
        await #expect(throws: KeyRingError.otherMaster(needed: needed, found: other.id)) {
            try await fixture.ring { $0.master = .fixed(other) }
        }
    }

    @Test func movesFromOneMasterKeyToAnother() async throws {
        let fixture: KeyRingFixture = try await KeyRingFixture()
        let sealed: [UInt8] = try await fixture.ring().seal([1], name: "a")
        let value: String = String(repeating: "0f", count: 32)
        let moved: KeyRing = try await fixture.ring {
            $0.master = .variable(name: "K", value: value)
            $0.old = .file(fixture.master)
        }
        #expect(try moved.open(sealed, name: "a") == [1])
        // From now on without the old one.
        let later: KeyRing = try await fixture.ring { $0.master = .variable(name: "K", value: value) }
        #expect(try later.open(sealed, name: "a") == [1])
        await #expect(throws: KeyRingError.self) { try await fixture.ring() }
        await #expect(throws: KeyRingError.self) { try await later.rotateMaster() }
    }

    @Test func opensWhatTheMasterKeySealedBeforeThereWereLevels() async throws {
        let fixture: KeyRingFixture = try await KeyRingFixture()
        _ = try fixture.master.load()
        let key: [UInt8] = try MasterKeyFile.read(fixture.master.path)
        let old: [UInt8] =
            [1] + (try AESGCM.seal([4, 5], key: key, associatedData: Array("passerelle\u{0}thing/t".utf8)))
        try await fixture.putThing(old, "t")
        let ring: KeyRing = try await fixture.ring { $0.keptFor = .zero }
        #expect(try ring.open(old, name: "thing/t") == [4, 5])
        _ = try await ring.rotateMaster()
        #expect(try ring.open(old, name: "thing/t") == [4, 5])
        #expect(try await ring.backlog(KeyRingFixture.columns) == KeyBacklog(keys: 0, values: 1))
        #expect(try await ring.destroyUnneeded(KeyRingFixture.columns) == [])
        #expect(try await ring.renew(KeyRingFixture.columns) == 0)
        #expect(try await ring.destroyUnneeded(KeyRingFixture.columns) == ["legacy"])
        #expect(try ring.open(try await fixture.thing("t"), name: "thing/t") == [4, 5])
        #expect(throws: KeyRingError.self) { try ring.open(old, name: "thing/t") }
    }
}
