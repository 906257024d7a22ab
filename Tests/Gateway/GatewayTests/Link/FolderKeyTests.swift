import Crypto
import Files
import TestKit
import Testing

@testable import Gateway

/// Private keys of a gateway on its disk.
struct FolderKeyTests {
    private static func key() -> FolderKey { FolderKey(.random(AESGCM.keyLength)) }

    @Test func sealsAFileForItsNameAlone() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let (one, other): (String, String) = ("\(folder.path)/one", "\(folder.path)/other")
        let key: FolderKey = Self.key()
        try FolderKey.write([7, 8, 9], to: one, with: key)
        #expect(try FolderKey.read(one, bytesMax: 100, with: key) == [7, 8, 9])
        #expect(try FolderKey.read(one, bytesMax: 100, with: Self.key()) == nil)
        let sealed: [UInt8] = try Files.read(one, bytesMax: 100)
        #expect(sealed.count == 1 + 12 + 3 + 16)
        try Files.replace(other, with: sealed)
        #expect(try FolderKey.read(other, bytesMax: 100, with: key) == nil)
        #expect { try FolderKey.read(one, bytesMax: 100, with: nil) } throws: { "\($0)".contains("keys.url") }
    }

    @Test func sealsWhatLayThereInClear() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let path: String = "\(folder.path)/one"
        try FolderKey.write(Array("-----".utf8), to: path, with: nil)
        #expect(try Files.read(path, bytesMax: 100) == Array("-----".utf8))
        #expect(try FolderKey.read(path, bytesMax: 100, with: nil) == Array("-----".utf8))
        let key: FolderKey = Self.key()
        #expect(try FolderKey.read(path, bytesMax: 100, with: key) == Array("-----".utf8))
        #expect(try Files.read(path, bytesMax: 100).first == 1)
        #expect(try FolderKey.read(path, bytesMax: 100, with: key) == Array("-----".utf8))
    }

    @Test func aGatewayKeepsItsKeySealedAndMakesAnotherWhereItIsLost() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let key: FolderKey = Self.key()
        let first: String = try GatewayKey(folder: folder.path, folderKey: key).publicText
        let kept: [UInt8] = try Files.read("\(folder.path)/\(GatewayKey.fileName)", bytesMax: 4_096)
        #expect(!String(decoding: kept, as: UTF8.self).contains("PRIVATE"))
        #expect(try GatewayKey(folder: folder.path, folderKey: key).publicText == first)
        #expect(throws: FileError.self) { try GatewayKey(folder: folder.path) }
        #expect(try GatewayKey(folder: folder.path, folderKey: Self.key()).publicText != first)
    }
}
