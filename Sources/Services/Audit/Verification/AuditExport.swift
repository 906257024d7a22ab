import Bytes
import JSON

/// An audit log as a file of JSON lines that can be verified alone, anywhere:
/// ```
/// {"format":"passerelle-audit-export","version":1,"size":N,"root":"…","keys":["…"],"checkpoints":["…"]}
/// {"leaf":0,"hash":"…","entry":"…"}              hash: what the tree holds, base64, or null; entry: the stored bytes, base64
/// {"leaf":1,"hash":"…","purged":true}            removed by retention; or "withheld" (of another tenant), "missing", "unreadable"
/// …
/// {"end":N}                                      leaves above; a file without this line is not whole
/// ```
package enum AuditExport {
    static let format: String = "passerelle-audit-export"
    static let version: Int64 = 1
    package static let mediaType: String = "application/jsonl"
    /// Longest line that is read: an entry of a mebibyte in base64, and some.
    package static let lineBytesMax: Int = 2 << 20

    package static func header(_ log: AuditLogDescription) -> [UInt8] {
        Self.line([
            "format": .string(Self.format), "version": .int(Self.version), "size": .int(log.head.size),
            "root": .string(Base64.encode(log.head.root.bytes)),
            "keys": .array(log.keys.map { (key: NoteVerifier) -> JSONValue in .string(key.text) }),
            "checkpoints": .array(log.checkpoints.map { (note: String) -> JSONValue in .string(note) }),
        ])
    }

    package static func leaf(_ leaf: AuditVerifier.Leaf, number: Int64) -> [UInt8] {
        var object: JSONObject = ["leaf": .int(number)]
        object["hash"] =
            leaf.recordedHash.map { (hash: TreeHash) -> JSONValue in .string(Base64.encode(hash.bytes)) } ?? .null
        switch leaf.content {
        case .bytes(let bytes): object["entry"] = .string(Base64.encode(bytes))
        case .purged: object["purged"] = true
        case .withheld: object["withheld"] = true
        case .missing: object["missing"] = true
        case .unreadable: object["unreadable"] = true
        }
        return Self.line(object)
    }

    package static func end(leaves: Int64) -> [UInt8] { Self.line(["end": .int(leaves)]) }

    private static func line(_ object: JSONObject) -> [UInt8] {
        var bytes: [UInt8] = JSONValue.object(object).serialized()
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }
}

/// Why an export cannot be verified; `line` counts from 1.
package struct AuditExportError: Error, Sendable, Equatable, CustomStringConvertible {
    package let line: Int64
    package let problem: String

    package var description: String { "line \(self.line): \(self.problem)" }
}

/// Verifies an export from its bytes in pieces of any size: a file, or the answer of `GET /v1/audit/export`.
package struct AuditExportReader {
    private let checkpoint: [UInt8]?
    private let trusted: [NoteVerifier]
    private var pending: [UInt8] = []
    /// Bytes of `pending` that are known to hold no end of line.
    private var searched: Int = 0
    private var line: Int64 = 0
    private var leaves: Int64 = 0
    private var verification: AuditVerification?
    private var isAtEnd: Bool = false

    /// - Parameters: as for `AuditVerification`.
    package init(checkpoint: [UInt8]?, trusting trusted: [NoteVerifier] = []) {
        self.checkpoint = checkpoint
        self.trusted = trusted
    }

    /// Entries read so far, for progress.
    package var leavesRead: Int64 { self.leaves }

    /// - Throws: `AuditExportError`, or `NoteError` when the checkpoint is refused.
    package mutating func feed(_ bytes: [UInt8]) throws {
        self.pending.append(contentsOf: bytes)
        var start: Int = 0
        while let end: Int = self.pending[max(start, self.searched)...].firstIndex(of: UInt8(ascii: "\n")) {
            try self.take(Array(self.pending[start..<end]))
            start = end + 1
        }
        self.pending.removeFirst(start)
        self.searched = self.pending.count
        guard self.pending.count <= AuditExport.lineBytesMax else {
            throw AuditExportError(line: self.line + 1, problem: "longer than \(AuditExport.lineBytesMax) bytes")
        }
    }

    /// The verdict, once everything was fed.
    package func verdict() throws(AuditExportError) -> AuditVerdict {
        guard self.isAtEnd, let verification: AuditVerification = self.verification else {
            throw AuditExportError(line: self.line, problem: "the export ends early: its last line must be {\"end\":…}")
        }
        return verification.verdict()
    }

    private mutating func take(_ bytes: [UInt8]) throws {
        self.line += 1
        let value: JSONValue
        do { value = try JSONReader.parse(bytes) } catch { throw self.problem("not JSON: \(error.message)") }
        if self.isAtEnd { throw self.problem("more follows after the end") }
        if self.verification == nil {
            self.verification = try AuditVerification(
                of: try self.description(value), checkpoint: self.checkpoint, trusting: self.trusted)
        } else if let count: Int64 = value["end"]?.integer {
            guard count == self.leaves else {
                throw self.problem("the export says \(count) entries, \(self.leaves) are there")
            }
            self.isAtEnd = true
        } else {
            let leaf: AuditVerifier.Leaf = try self.leaf(value)
            self.verification?.add(leaf)
            self.leaves += 1
        }
    }

    private func description(_ value: JSONValue) throws -> AuditLogDescription {
        guard value["format"]?.text == AuditExport.format else { throw self.problem("this is no audit export") }
        guard value["version"]?.integer == AuditExport.version else {
            throw self.problem("expected version \(AuditExport.version) of the format")
        }
        guard let size: Int64 = value["size"]?.integer, size >= 0, let root: TreeHash = self.hash(value["root"]) else {
            throw self.problem("expected `size` and `root`")
        }
        var keys: [NoteVerifier] = []
        for key in value["keys"]?.elements ?? [] {
            do { keys.append(try NoteVerifier(parsing: key.text ?? "")) } catch {
                throw self.problem("a key is \(error)")
            }
        }
        return AuditLogDescription(
            head: TreeHead(size: size, root: root),
            checkpoints: (value["checkpoints"]?.elements ?? []).map { (note: JSONValue) -> String in note.text ?? "" },
            keys: keys)
    }

    private func leaf(_ value: JSONValue) throws(AuditExportError) -> AuditVerifier.Leaf {
        guard value["leaf"]?.integer == self.leaves else { throw self.problem("expected entry \(self.leaves)") }
        let content: AuditVerifier.Leaf.Content
        if let text: String = value["entry"]?.text {
            guard let bytes: [UInt8] = Base64.decode(text) else { throw self.problem("`entry` is not base64") }
            content = .bytes(bytes)
        } else if value["purged"]?.boolean == true {
            content = .purged
        } else if value["withheld"]?.boolean == true {
            content = .withheld
        } else if value["unreadable"]?.boolean == true {
            content = .unreadable
        } else {
            content = .missing
        }
        return AuditVerifier.Leaf(content: content, recordedHash: self.hash(value["hash"]))
    }

    private func hash(_ value: JSONValue?) -> TreeHash? {
        value?.text.flatMap { (text: String) -> [UInt8]? in Base64.decode(text) }.flatMap {
            (bytes: [UInt8]) -> TreeHash? in
            TreeHash(bytes)
        }
    }

    private func problem(_ text: String) -> AuditExportError { AuditExportError(line: self.line, problem: text) }
}
