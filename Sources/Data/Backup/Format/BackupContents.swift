import Bytes
package import JSON
package import Time

/// What a backup consists of: its description, and where each piece of each file is.
struct BackupContents: Sendable {
    /// Where a piece is.
    struct Place: Sendable {
        let name: PieceName
        /// Index into `packs`.
        let pack: UInt32
        /// Where its sealed form begins in the pack.
        let offset: UInt64
        /// Its plain length.
        let length: UInt32

        static let encodedBytes: Int = PieceName.length + 16
    }

    var description: BackupDescription
    /// The packs its pieces are in.
    var packs: [String] = []
    /// The pieces of all files, in order: those of the first file, then those of the second.
    var places: [Place] = []

    /// The bytes that are sealed: length of the JSON (4 bytes, big-endian), the JSON, then 48 bytes a piece: name (32), pack (4),
    /// offset (8), length (4).
    func encoded() -> [UInt8] {
        var json: JSONObject = self.description.json.object ?? JSONObject()
        json["packs"] = .array(self.packs.map { JSONValue.string($0) })
        let text: [UInt8] = JSONValue.object(json).serialized()
        var writer: ByteWriter = ByteWriter(reserving: text.count + 4 + self.places.count * Place.encodedBytes)
        writer.appendUInt32(UInt32(text.count))
        writer.append(text)
        for place in self.places {
            place.name.write(to: &writer)
            writer.appendUInt32(place.pack)
            writer.appendUInt64(place.offset)
            writer.appendUInt32(place.length)
        }
        return writer.bytes
    }

    /// - Throws: `BackupError.damaged` for `path` when the parts do not fit together.
    init(decoding bytes: [UInt8], path: String) throws {
        func bad(_ what: String) -> BackupError { .damaged(path: path, what: what) }
        var reader: ByteReader = ByteReader(bytes)
        do {
            let text: [UInt8] = try reader.read(Int(try reader.readUInt32()))
            let json: JSONValue = try JSONReader.parse(text)
            guard let description: BackupDescription = BackupDescription(json) else { throw bad("its description") }
            self.description = description
            self.packs = (json["packs"]?.elements ?? []).compactMap(\.text)
            guard reader.remaining % Place.encodedBytes == 0 else { throw bad("its list of pieces is torn") }
            self.places.reserveCapacity(reader.remaining / Place.encodedBytes)
            while !reader.isAtEnd {
                let name: PieceName = PieceName(try reader.read(PieceName.length))
                let place: Place = Place(
                    name: name, pack: try reader.readUInt32(), offset: try reader.readUInt64(),
                    length: try reader.readUInt32())
                guard Int(place.pack) < self.packs.count, place.length <= UInt32(BackupFormat.pieceBytes),
                    place.offset < UInt64(Int64.max)
                else { throw bad("a piece is said to be where nothing can be") }
                self.places.append(place)
            }
        } catch let error as BackupError {
            throw error
        } catch {
            throw bad("\(error)")
        }
        var pieces: Int = 0
        for file in self.description.files { pieces += file.pieces }
        guard pieces == self.places.count else { throw bad("it names \(self.places.count) pieces and needs \(pieces)") }
    }

    init(description: BackupDescription) { self.description = description }
}

/// What people see of a backup.
package struct BackupDescription: Sendable {
    /// A database in a backup.
    package struct File: Sendable {
        /// Its path in the data folder.
        package let name: String
        package let bytes: Int64
        /// SHA-256 of the whole file, hexadecimal.
        package let sha256: String

        /// More than any file system holds; sums of as many as a description can name still fit 64 bits.
        static let bytesMax: Int64 = 1 << 48

        var pieces: Int { Int((self.bytes + Int64(BackupFormat.pieceBytes) - 1) / Int64(BackupFormat.pieceBytes)) }
    }

    /// Time and some random digits, so that names sort by time: `20261121T101500Z-1f3a9c52`.
    package let id: String
    package let createdAt: Timestamp
    /// The version of the product that made it.
    package let version: String
    /// The fingerprint of the master key that secrets in it are sealed with; nil when there was none.
    package let masterKey: String?
    package var files: [File] = []
    /// Bytes this backup added to the repository.
    package var bytesAdded: Int64 = 0
    /// Records of `audit-log` in it.
    package var auditEntries: Int64 = 0

    init(id: String, createdAt: Timestamp, version: String, masterKey: String?) {
        self.id = id
        self.createdAt = createdAt
        self.version = version
        self.masterKey = masterKey
    }

    init?(_ json: JSONValue) {
        guard let id: String = json["id"]?.text,
            let created: Timestamp = json["created_at"]?.text.flatMap(Timestamp.init),
            let files: [JSONValue] = json["files"]?.elements
        else { return nil }
        self.init(
            id: id, createdAt: created, version: json["version"]?.text ?? "", masterKey: json["master_key"]?.text)
        for file in files {
            guard let name: String = file["name"]?.text, Self.isInside(name),
                let bytes: Int64 = file["bytes"]?.integer, (0...File.bytesMax).contains(bytes),
                let sha256: String = file["sha256"]?.text
            else { return nil }
            self.files.append(File(name: name, bytes: bytes, sha256: sha256))
        }
        self.bytesAdded = json["bytes_added"]?.integer ?? 0
        self.auditEntries = json["audit_entries"]?.integer ?? 0
    }

    /// Whether a path leads to a place in the folder it is relative to.
    static func isInside(_ name: String) -> Bool {
        let parts: [Substring] = name.split(separator: "/", omittingEmptySubsequences: false)
        return !name.utf8.contains(0) && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
    }

    /// Bytes of its files.
    package var bytes: Int64 {
        var sum: Int64 = 0
        for file in self.files { sum += file.bytes }
        return sum
    }

    package var json: JSONValue {
        var files: [JSONValue] = []
        for file in self.files {
            files.append(
                .object(["name": .string(file.name), "bytes": .int(file.bytes), "sha256": .string(file.sha256)]))
        }
        return .object([
            "id": .string(self.id), "created_at": .string(self.createdAt.rfc3339), "version": .string(self.version),
            "master_key": self.masterKey.map { JSONValue.string($0) } ?? .null, "bytes": .int(self.bytes),
            "bytes_added": .int(self.bytesAdded), "audit_entries": .int(self.auditEntries), "files": .array(files),
        ])
    }
}
