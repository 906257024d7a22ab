import Files
import KeyRing
import Store
import TestKit
import Testing
import Time

struct KeyRotationTests {
    private static let tenants: [String] = ["acme", "globex"]

    /// A ring with values of two tenants and of the platform.
    private static func filled() async throws -> (KeyRingFixture, KeyRing) {
        let fixture: KeyRingFixture = try await KeyRingFixture()
        let ring: KeyRing = try await fixture.ring { $0.keptFor = .seconds(60) }
        for tenant in self.tenants {
            for number in 1...100 {
                try await fixture.putNote("\(tenant) \(number)", "n\(number)", tenant: tenant, ring)
            }
        }
        for number in 1...10 {
            try await fixture.putThing(try ring.seal([UInt8(number)], name: "thing/t\(number)"), "t\(number)")
        }
        return (fixture, ring)
    }

    /// Everything that `filled` put in opens, with the keys that a start would find.
    private static func check(_ fixture: KeyRingFixture) async throws {
        let ring: KeyRing = try await fixture.ring()
        for tenant in self.tenants {
            for number in 1...100 {
                #expect(try await fixture.note("n\(number)", tenant: tenant, ring) == "\(tenant) \(number)")
            }
        }
        for number in 1...10 {
            #expect(try ring.open(try await fixture.thing("t\(number)"), name: "thing/t\(number)") == [UInt8(number)])
        }
    }

    @Test func rotatesTheMasterKey() async throws {
        let (fixture, ring): (KeyRingFixture, KeyRing) = try await Self.filled()
        let old: [UInt8] = try MasterKeyFile.read(fixture.master.path)
        let id: String = try await ring.rotateMaster()
        #expect(try MasterKeyFile.read(fixture.master.path) != old)
        #expect(try fixture.master.load().key.id == id)
        #expect(!Files.exists(fixture.master.path + ".next"))
        #expect(try await fixture.number("SELECT count(DISTINCT master) FROM key_encrypting_keys") == 1)
        try await Self.check(fixture)
        try Files.replace(fixture.master.path, with: old)
        await #expect(throws: KeyRingError.self) { try await fixture.ring() }
    }

    /// Killed after the next key was written, before the database changed over.
    @Test func undoesAMasterRotationThatHadNotReachedTheDatabase() async throws {
        let (fixture, _): (KeyRingFixture, KeyRing) = try await Self.filled()
        let key: [UInt8] = try MasterKeyFile.read(fixture.master.path)
        try Files.replace(fixture.master.path + ".next", with: [UInt8](repeating: 3, count: 32))
        try await Self.check(fixture)
        #expect(try MasterKeyFile.read(fixture.master.path) == key)
        #expect(!Files.exists(fixture.master.path + ".next"))
    }

    /// Killed after the database had changed over, before the next key took the place of the old one.
    @Test func endsAMasterRotationThatHadReachedTheDatabase() async throws {
        let (fixture, ring): (KeyRingFixture, KeyRing) = try await Self.filled()
        let old: [UInt8] = try MasterKeyFile.read(fixture.master.path)
        _ = try await ring.rotateMaster()
        let new: [UInt8] = try MasterKeyFile.read(fixture.master.path)
        try Files.replace(fixture.master.path, with: old)
        try Files.replace(fixture.master.path + ".next", with: new)
        try await Self.check(fixture)
        #expect(try MasterKeyFile.read(fixture.master.path) == new)
        #expect(!Files.exists(fixture.master.path + ".next"))
    }

    @Test func rotatesTheKeyEncryptingKey() async throws {
        let (fixture, ring): (KeyRingFixture, KeyRing) = try await Self.filled()
        let id: String = try await ring.rotateEncryptingKey()
        // Two tenants' and the platform's data keys.
        #expect(try await ring.backlog(KeyRingFixture.columns) == KeyBacklog(keys: 3, values: 0))
        try await Self.check(fixture)
        #expect(try await ring.renew(KeyRingFixture.columns) == 0)
        #expect(try await fixture.number("SELECT count(DISTINCT key_id) FROM data_keys") == 1)
        #expect(try await ring.destroyUnneeded(KeyRingFixture.columns) == [])
        fixture.clock.advance(by: .seconds(61))
        let destroyed: [String] = try await ring.destroyUnneeded(KeyRingFixture.columns)
        #expect(destroyed.count == 1 && destroyed[0].hasPrefix("kek_") && destroyed[0] != id)
        try await Self.check(fixture)
    }

    @Test(arguments: ["", "acme"]) func rotatesADataKeyAndSealsAnew(_ tenant: String) async throws {
        let (fixture, ring): (KeyRingFixture, KeyRing) = try await Self.filled()
        #expect(try await ring.rotateDataKey(tenant: tenant) == 2)
        let count: Int64 = tenant.isEmpty ? 10 : 100
        #expect(try await ring.backlog(KeyRingFixture.columns) == KeyBacklog(keys: 0, values: count))
        try await Self.check(fixture)
        // What is sealed from now on is not part of it.
        try await fixture.putNote("new", "new", tenant: "acme", ring)
        #expect(try await ring.backlog(KeyRingFixture.columns).values == count)
        fixture.clock.advance(by: .seconds(61))
        #expect(try await ring.destroyUnneeded(KeyRingFixture.columns) == [])
        var told: [Int64] = []
        let unopened: Int64 = try await ring.renew(KeyRingFixture.columns) { done, total in
            told.append(done)
            #expect(total == count)
        }
        #expect(unopened == 0)
        #expect(told.first == 0 && told.last == count && told == told.sorted())
        #expect(try await ring.backlog(KeyRingFixture.columns) == KeyBacklog())
        #expect(try await ring.destroyUnneeded(KeyRingFixture.columns) == ["\(tenant)/1"])
        try await Self.check(fixture)
    }

    /// Killed half-way: some values are sealed anew and some are not; a later process goes on.
    @Test func goesOnWhereARenewalEnded() async throws {
        struct Killed: Error {}
        let (fixture, ring): (KeyRingFixture, KeyRing) = try await Self.filled()
        _ = try await ring.rotateEncryptingKey()
        for tenant in try await ring.tenantsWithKeys() { _ = try await ring.rotateDataKey(tenant: tenant) }
        await #expect(throws: Killed.self) {
            try await ring.renew(KeyRingFixture.columns) { done, _ in if done > 70 { throw Killed() } }
        }
        let left: KeyBacklog = try await ring.backlog(KeyRingFixture.columns)
        #expect(left.values > 0 && left.values < 210)
        try await Self.check(fixture)
        let later: KeyRing = try await fixture.ring()
        #expect(try await later.renew(KeyRingFixture.columns) == 0)
        #expect(try await later.backlog(KeyRingFixture.columns) == KeyBacklog())
        try await Self.check(fixture)
    }

    @Test func leavesWhatDoesNotOpenAndTheKeyItMayNeed() async throws {
        let (fixture, ring): (KeyRingFixture, KeyRing) = try await Self.filled()
        try await fixture.store.write { transaction in
            try transaction.execute("UPDATE notes SET name = 'moved' WHERE tenant = 'acme' AND name = 'n7'")
        }
        _ = try await ring.rotateDataKey(tenant: "acme")
        #expect(try await ring.renew(KeyRingFixture.columns) == 1)
        fixture.clock.advance(by: .seconds(61))
        #expect(try await ring.destroyUnneeded(KeyRingFixture.columns) == [])
    }

    /// Two processes on one database: what one seals with a new key, the other has learnt of before.
    @Test func letsOtherProcessesLearnOfAKeyBeforeItIsUsed() async throws {
        let fixture: KeyRingFixture = try await KeyRingFixture()
        let one: KeyRing = try await fixture.ring { $0.overlap = .seconds(15) }
        let other: KeyRing = try await fixture.ring { $0.overlap = .seconds(15) }
        _ = try await one.rotateEncryptingKey()
        _ = try await one.rotateDataKey(tenant: "")
        let before: [UInt8] = try one.seal([1], name: "a")
        #expect(try other.open(before, name: "a") == [1])
        #expect(try await one.backlog([]) == KeyBacklog())
        try await other.refresh()
        fixture.clock.advance(by: .seconds(16))
        let after: [UInt8] = try one.seal([2], name: "a")
        #expect(after[1..<5] != before[1..<5])
        #expect(try other.open(after, name: "a") == [2])
        try await fixture.putNote("word", "n", tenant: "acme", one)
        #expect(try await fixture.note("n", tenant: "acme", other) == "word")
    }
}
