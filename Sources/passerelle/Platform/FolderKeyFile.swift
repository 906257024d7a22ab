import Bytes
import Crypto
import Files
import Gateway
import JSON
import KeyRing

/// The key of a gateway's folder, wrapped by a master key: `folder.key` of that folder.
///
/// ```
/// {"master": what names the master key, "wrapped": base64}
/// ```
/// Made at the first start; wrapped anew when the master key moved.
enum FolderKeyFile {
    private static let fileName: String = "folder.key"
    private static let fileBytesMax: Int = 16 << 10
    /// What the master key wraps it as.
    private static let wrapName: String = "folder of a gateway"

    /// Of the gateway in a platform's process, under the platform's master key. Where that is another one now, a fresh key: the
    /// gateway makes itself another private key then, and gets its secrets again.
    static func open(in folder: String, under keys: KeyRing) async throws -> FolderKey {
        let master: any MasterKey = try keys.master()
        do {
            return try await Self.open(in: folder, masters: [master])
        } catch let error as KeyRingError {
            if case .masterAway = error { throw error }
            return try await Self.make(in: folder, master)
        }
    }

    /// Of a gateway apart, under the master key of its own settings; nil where they name none.
    ///
    /// - Throws: `CommandError.failed` when it cannot be reached, or is another one than the folder needs.
    static func open(apart settings: Settings) async throws -> FolderKey? {
        guard settings.keys.url != nil else { return nil }
        do {
            let places: KeyRingConfiguration = try settings.keys.configuration(data: settings.data, isShared: false)
            return try await Self.open(in: "\(settings.data)/gateway", masters: places.masters())
        } catch let error as KeyRingError {
            throw CommandError.failed("The gateway's keys cannot be opened. \(error)")
        }
    }

    /// - Parameter masters: the present one first, then those it may still be wrapped with.
    private static func open(in folder: String, masters: [any MasterKey]) async throws -> FolderKey {
        let path: String = "\(folder)/\(Self.fileName)"
        guard Files.exists(path) else { return try await Self.make(in: folder, masters[0]) }
        guard let kept: JSONValue = try? JSONReader.parse(try Files.read(path, bytesMax: Self.fileBytesMax)),
            let id: String = kept["master"]?.text,
            let wrapped: [UInt8] = kept["wrapped"]?.text.flatMap({ Base64.decode($0) })
        else { throw KeyRingError.cannotOpen(name: path) }
        guard let master: any MasterKey = masters.first(where: { $0.id == id }) else {
            throw KeyRingError.otherMaster(needed: id, found: masters[0].id)
        }
        var bytes: [UInt8] = try await master.unwrap(wrapped, name: Self.wrapName)
        let key: SecretBytes = SecretBytes(wiping: &bytes)
        if id != masters[0].id { try await Self.write(key, in: folder, masters[0]) }
        return FolderKey(key)
    }

    private static func make(in folder: String, _ master: any MasterKey) async throws -> FolderKey {
        try Files.makeFolder(folder)
        let key: SecretBytes = .random(AESGCM.keyLength)
        try await Self.write(key, in: folder, master)
        return FolderKey(key)
    }

    private static func write(_ key: SecretBytes, in folder: String, _ master: any MasterKey) async throws {
        let wrapped: [UInt8] = try await key.reveal { try await master.wrap($0, name: Self.wrapName) }
        let kept: JSONValue = .object(["master": .string(master.id), "wrapped": .string(Base64.encode(wrapped))])
        try Files.replace("\(folder)/\(Self.fileName)", with: kept.serialized() + Array("\n".utf8), mode: 0o600)
    }
}
