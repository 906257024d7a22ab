import Bytes
import Crypto
import JSON

/// The keys of a repository, all derived from one random key that a passphrase opens.
struct RepositoryKeys: Sendable {
    /// The repository's id: 32 hexadecimal digits.
    let id: String
    private let key: [UInt8]
    private let nameKey: [UInt8]

    private init(id: String, key: [UInt8]) {
        self.id = id
        self.key = key
        self.nameKey = HMACSHA256.authenticate(Array("piece names".utf8), key: key)
    }

    /// Keys of a new repository, and the file that keeps them.
    static func make(secret: [UInt8]) throws -> (keys: RepositoryKeys, configuration: JSONValue) {
        let keys: RepositoryKeys = RepositoryKeys(id: Hex.encode(Random.bytes(16)), key: AESGCM.makeKey())
        let salt: [UInt8] = Random.bytes(16)
        let lock: [UInt8] = try KeyDerivation.argon2id(secret, salt: salt)
        let sealed: [UInt8] = try AESGCM.seal(keys.key, key: lock, associatedData: Self.bound(to: keys.id))
        let configuration: JSONValue = .object([
            "format": .int(BackupFormat.number), "repository": .string(keys.id),
            "key": .object([
                "derivation": "argon2id", "memory_kib": 65_536, "passes": 3, "lanes": 1,
                "salt": .string(Hex.encode(salt)),
                "sealed": .string(Hex.encode(sealed)),
            ]),
        ])
        return (keys, configuration)
    }

    /// Reads the file and opens what it keeps. - Parameter path: what errors name.
    static func open(_ configuration: [UInt8], secret: [UInt8], path: String) throws -> RepositoryKeys {
        guard let json: JSONValue = try? JSONReader.parse(configuration), let format: Int64 = json["format"]?.integer
        else { throw BackupError.damaged(path: path, what: "it is no JSON object with a format") }
        guard format == BackupFormat.number else { throw BackupError.newerFormat(path: path, format: format) }
        guard let id: String = json["repository"]?.text, let key: JSONValue = json["key"],
            key["derivation"]?.text == "argon2id", key["lanes"]?.integer == 1,
            let memory: Int64 = key["memory_kib"]?.integer, let passes: Int64 = key["passes"]?.integer,
            let salt: [UInt8] = key["salt"]?.text.flatMap({ Hex.decode($0) }),
            let sealed: [UInt8] = key["sealed"]?.text.flatMap({ Hex.decode($0) })
        else { throw BackupError.damaged(path: path, what: "members of a repository's key are missing") }
        do {
            let lock: [UInt8] = try KeyDerivation.argon2id(
                secret, salt: salt, memory: UInt32(clamping: memory), passes: UInt32(clamping: passes))
            return RepositoryKeys(id: id, key: try AESGCM.open(sealed, key: lock, associatedData: Self.bound(to: id)))
        } catch CryptoError.notAuthentic {
            throw BackupError.wrongSecret(path)
        } catch {
            throw BackupError.damaged(path: path, what: "\(error)")
        }
    }

    private static func bound(to id: String) -> [UInt8] { Array("passerelle-backup key \(id)".utf8) }

    /// The name of a piece with these bytes.
    func name(of piece: [UInt8]) -> PieceName { PieceName(HMACSHA256.authenticate(piece, key: self.nameKey)) }

    func key(ofPack id: String) -> [UInt8] { self.derived("pack", id) }
    func key(ofBackup id: String) -> [UInt8] { self.derived("backup", id) }
    func key(ofErasure id: String) -> [UInt8] { self.derived("erasure", id) }

    private func derived(_ kind: String, _ id: String) -> [UInt8] {
        HMACSHA256.authenticate(Array("\(kind)\u{0}\(id)".utf8), key: self.key)
    }
}

/// What a piece is found by: 32 bytes, as four words so that tables of millions stay small.
struct PieceName: Sendable, Hashable {
    static let length: Int = 32
    private let words: (UInt64, UInt64, UInt64, UInt64)

    /// - Precondition: 32 bytes.
    init(_ bytes: [UInt8]) {
        precondition(bytes.count == Self.length)
        func word(_ at: Int) -> UInt64 {
            UInt64(bigEndian: bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: UInt64.self) })
        }
        self.words = (word(0), word(8), word(16), word(24))
    }

    func write(to writer: inout ByteWriter) {
        for word: UInt64 in [self.words.0, self.words.1, self.words.2, self.words.3] { writer.appendUInt64(word) }
    }

    static func == (left: PieceName, right: PieceName) -> Bool { left.words == right.words }

    /// An HMAC is as good as random: its first word will do.
    func hash(into hasher: inout Hasher) { hasher.combine(self.words.0) }
}
