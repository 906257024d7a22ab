import Files
import KeyRing
import Store
import TestKit
import Testing

@testable import Backup

struct RestoreTests {
    /// What is done to a pack, and what the finding then says.
    enum Damage: String, CaseIterable, Sendable {
        case aBitTurned, cutShort, gone, piecesExchanged
    }

    @Test(arguments: Damage.allCases)
    func theFirstBadPieceIsNamedAndNothingIsRestored(damage: Damage) async throws {
        let fixture: BackupFixture = try BackupFixture()
        try await fixture.write(4_000)
        let made: BackupDescription = try fixture.backUp()
        let path: String = try #require(try fixture.packs.first)
        var bytes: [UInt8] = try Files.read(path, bytesMax: 1 << 26)
        let sealed: Int = BackupFormat.pieceBytes + Sealing.overhead
        var place: Int = 8
        switch damage {
        case .aBitTurned:
            place += sealed
            bytes[place + 1_000] ^= 1
        case .cutShort:
            place += sealed
            bytes.removeSubrange((place + 100)...)
        case .gone: bytes = []
        case .piecesExchanged:
            let first: [UInt8] = Array(bytes[8..<(8 + sealed)])
            bytes.replaceSubrange(8..<(8 + sealed), with: bytes[(8 + sealed)..<(8 + 2 * sealed)])
            bytes.replaceSubrange((8 + sealed)..<(8 + 2 * sealed), with: first)
        }
        try Files.remove(path)
        if damage != .gone { try Files.replace(path, with: bytes) }
        let expected: String = "the piece at byte \(place), which holds bytes \(place == 8 ? 0 : 65_536) to"
        #expect {
            try BackupVerification.run(try fixture.open(), id: made.id)
        } throws: { error in
            "\(error)".contains(expected) && "\(error)".contains(path)
        }
        #expect(throws: BackupError.self) { try fixture.restore() }
        #expect(try Folders.names(in: fixture.folder.path) == ["backups", "data"])
    }

    @Test func aDamagedDescriptionIsNamed() async throws {
        let fixture: BackupFixture = try BackupFixture()
        let made: BackupDescription = try fixture.backUp()
        let path: String = "\(fixture.repository)/backups/\(made.id).backup"
        var bytes: [UInt8] = try Files.read(path, bytesMax: 1 << 20)
        bytes[bytes.count / 2] ^= 4
        try Files.replace(path, with: bytes)
        #expect {
            try BackupVerification.run(try fixture.open(), id: made.id)
        } throws: { "\($0)".contains(path) }
        // As another backup it does not open either.
        try Files.replace("\(fixture.repository)/backups/other.backup", with: bytes)
        #expect(throws: BackupError.self) { try BackupVerification.run(try fixture.open(), id: "other") }
    }

    @Test func lostPiecesAreWrittenAgainByTheNextBackup() async throws {
        let fixture: BackupFixture = try BackupFixture()
        try await fixture.write(2_000)
        try fixture.backUp(second: 1)
        try Files.remove(try #require(try fixture.packs.first))
        let next: BackupDescription = try fixture.backUp(second: 2)
        #expect(next.bytesAdded > 0)
        try fixture.restore(next.id)
        #expect(try await BackupFixture.notes(in: fixture.restored) == 2_000)
    }

    @Test func aFolderThatHoldsSomethingIsRefused() async throws {
        let fixture: BackupFixture = try BackupFixture()
        try fixture.backUp()
        try Files.makeFolder(fixture.restored)
        try Files.replace("\(fixture.restored)/mine", with: [1])
        #expect {
            try fixture.restore()
        } throws: { error in
            guard case BackupError.targetNotEmpty(fixture.restored) = error else { return false }
            return true
        }
        #expect(try Folders.names(in: fixture.restored) == ["mine"])
        try Files.remove("\(fixture.restored)/mine")
        // Empty will do; and what a killed restore left goes.
        try Files.makeFolder("\(fixture.restored).restoring/telemetry")
        try fixture.restore()
        #expect(try await BackupFixture.notes(in: fixture.restored) == 0)
        #expect(!Files.exists("\(fixture.restored).restoring"))
    }

    @Test func theFolderSaysWhichMasterKeyItNeeds() async throws {
        let fixture: BackupFixture = try BackupFixture()
        let keys: LocalMasterKey = try MasterKeyFile(folder: fixture.data).load().key
        let wrapped: [UInt8] = try await keys.wrap([1, 2, 3], name: "x")
        let key: [UInt8] = try MasterKeyFile.read("\(fixture.data)/master.key")
        let fingerprint: String = try #require(try MasterKeyFile.fingerprint(inFolder: fixture.data))
        try fixture.backUp(masterKey: fingerprint)
        try fixture.restore()
        #expect(try MasterKeyFile.fingerprint(inFolder: fixture.restored) == fingerprint)
        #expect(throws: KeyRingError.missing(path: "\(fixture.restored)/master.key", needed: fingerprint)) {
            try MasterKeyFile(folder: fixture.restored).load()
        }
        let other: [UInt8] = [UInt8](repeating: 7, count: 32)
        try Files.replace("\(fixture.restored)/master.key", with: other)
        #expect(throws: KeyRingError.self) { try MasterKeyFile(folder: fixture.restored).load() }
        try Files.replace("\(fixture.restored)/master.key", with: key)
        #expect(try await MasterKeyFile(folder: fixture.restored).load().key.unwrap(wrapped, name: "x") == [1, 2, 3])
        #expect(!Files.exists("\(fixture.restored)/master.key.needed"))
        try Folders.remove(fixture.restored)
        #expect(throws: BackupError.self) { try fixture.restore(masterKey: other) }
        #expect(!Files.exists(fixture.restored))
        try fixture.restore(masterKey: key)
        #expect(try await MasterKeyFile(folder: fixture.restored).load().key.unwrap(wrapped, name: "x") == [1, 2, 3])
    }

    @Test func whoWasErasedIsToldToTheRestoredFolder() async throws {
        let fixture: BackupFixture = try BackupFixture()
        try fixture.backUp()
        let repository: BackupRepository = try fixture.open()
        #expect(try repository.erasures().isEmpty)
        try repository.keep(erasure: "evt_2", Array("{\"id\":\"evt_2\"}".utf8))
        try repository.keep(erasure: "evt_1", Array("{\"id\":\"evt_1\"}".utf8))
        try repository.keep(erasure: "evt_1", Array("{}".utf8))
        let path: String = "\(fixture.repository)/erasures/evt_1.erasure"
        let kept: [UInt8] = try Files.read(path, bytesMax: 1 << 20)
        #expect(!String(decoding: kept, as: UTF8.self).contains("evt_1"), "sealed")
        try fixture.restore()
        let pending: [UInt8] = try Files.read("\(fixture.restored)/\(Restore.erasuresFile)", bytesMax: 1 << 20)
        #expect(String(decoding: pending, as: UTF8.self) == "{\"id\":\"evt_1\"}\n{\"id\":\"evt_2\"}\n")
        try Folders.remove(fixture.restored)
        // One that was altered is named: without it somebody might come back.
        var bytes: [UInt8] = kept
        bytes[bytes.count - 1] ^= 1
        try Files.replace(path, with: bytes)
        #expect {
            try fixture.restore()
        } throws: { "\($0)".contains(path) }
        // Under another's name it does not open either.
        try Files.replace("\(fixture.repository)/erasures/evt_1.erasure", with: kept)
        try Files.replace("\(fixture.repository)/erasures/evt_3.erasure", with: kept)
        #expect(throws: BackupError.self) { try fixture.open().erasures() }
    }
}
