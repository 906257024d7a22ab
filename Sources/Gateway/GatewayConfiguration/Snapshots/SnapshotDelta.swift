import Bytes
import Documents
package import JSON

/// What leads from one version of a document to another: entries to put, keys to take out, and the hash that must come out.
package struct SnapshotDelta: Sendable, Equatable {
    /// An entry that was put in or replaced.
    package struct Changed: Sendable, Equatable {
        package let key: EntryKey
        /// As it is sent, JSON.
        package let text: [UInt8]
    }

    /// The version it builds on.
    package var base: Int64
    package var version: Int64
    /// Of the document after the change.
    package var hash: String
    package var changed: [EntryKind: [Changed]] = [:]
    package var removed: [EntryKind: [EntryKey]] = [:]

    package init(base: Int64, version: Int64, hash: String) {
        self.base = base
        self.version = version
        self.hash = hash
    }

    /// Adds what became of an entry: its present state in `document`, or its removal.
    package mutating func add(_ kind: EntryKind, _ key: EntryKey, from document: HashedDocument) {
        if let text: [UInt8] = document.text(kind, key) {
            self.changed[kind, default: []].append(Changed(key: key, text: text))
        } else {
            self.removed[kind, default: []].append(key)
        }
    }

    /// As it is sent, JSON.
    ///
    /// - Parameter secrets: a last member.
    package func serialized(secrets: JSONObject? = nil) -> [UInt8] {
        var writer: JSONWriter = JSONWriter(reserving: 8_192)
        writer.beginObject()
        writer.field("base")
        writer.int(self.base)
        writer.field("version")
        writer.int(self.version)
        writer.field("hash")
        writer.string(self.hash)
        writer.field("changed")
        Self.write(self.changed, to: &writer) { writer, entry in writer.raw(entry.text) }
        writer.field("removed")
        Self.write(self.removed, to: &writer) { writer, key in writer.string(key.text) }
        if let secrets: JSONObject {
            writer.field("secrets")
            writer.value(.object(secrets))
        }
        writer.endObject()
        return writer.bytes
    }

    private static func write<Element>(
        _ lists: [EntryKind: [Element]], to writer: inout JSONWriter, _ element: (inout JSONWriter, Element) -> Void
    ) {
        writer.beginObject()
        for kind in EntryKind.allCases {
            guard let list: [Element] = lists[kind], !list.isEmpty else { continue }
            writer.key(kind.rawValue)
            writer.beginArray()
            for one in list { element(&writer, one) }
            writer.endArray()
        }
        writer.endObject()
    }
}

/// Why a snapshot that was sent is not taken over. The document held before stays as it was.
package enum SnapshotError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Not what a snapshot looks like; the text says where.
    case malformed(String)
    /// The delta builds on another version: ask for the whole document.
    case wrongBase(expected: Int64, found: Int64)
    /// What came out is not what the sender has: ask for the whole document.
    case wrongHash(expected: String, found: String)

    package var description: String {
        switch self {
        case .malformed(let detail): return "the snapshot is malformed: \(detail)"
        case .wrongBase(let expected, let found):
            return "expected a change to version \(expected), found one to \(found)"
        case .wrongHash(let expected, let found): return "expected the hash \(expected), found \(found)"
        }
    }
}

extension HashedDocument {
    /// Takes over what a control plane sent: a whole document, or a change to this one. Either all of it or nothing.
    ///
    /// - Parameter opener: for the values that references stand for, which came with it, sealed.
    package mutating func receive(
        _ bytes: [UInt8], opener: (any SecretOpener)? = nil
    ) throws(SnapshotError) {
        let root: Node
        do throws(InvalidDocument) {
            root = try GatewayDocument.parse(bytes, limits: GatewayDocument.limits)
        } catch {
            throw .malformed(error.text())
        }
        if let texts: EntryTexts = EntryTexts(bytes) {
            do throws(SnapshotError) {
                return try self.receive(root, bytes, texts, opener: opener)
            } catch .wrongHash {
                // Who sent it does not write entries as they are hashed.
            }
        }
        try self.receive(root, bytes, nil, opener: opener)
    }

    /// - Parameter texts: where the entries stand in the bytes, which are taken for what was hashed.
    private mutating func receive(
        _ root: Node, _ bytes: [UInt8], _ texts: EntryTexts?, opener: (any SecretOpener)?
    ) throws(SnapshotError) {
        guard case .int(let version)? = root["version"]?.kind, version >= 0, let hash: String = root["hash"]?.text
        else {
            throw .malformed("expected 'version' and 'hash'")
        }
        let secrets: [String: String] = Self.secrets(root["secrets"], opener)
        var next: HashedDocument = HashedDocument()
        if let base: Node = root["base"] {
            guard case .int(let number) = base.kind else { throw .malformed("expected a number as 'base'") }
            guard number == self.version else { throw .wrongBase(expected: self.version, found: number) }
            next = self
            try next.put(root["changed"], bytes, texts?.changed, secrets)
            try next.takeOut(root["removed"])
        } else {
            try next.put(root, bytes, texts?.whole, secrets)
        }
        let found: String = next.hash
        guard found == hash else { throw .wrongHash(expected: hash, found: found) }
        next.setVersion(version, hash: hash)
        self = next
    }

    /// What came sealed beside the entries, by `tenant/name@version`; what does not open is left out.
    private static func secrets(_ node: Node?, _ opener: (any SecretOpener)?) -> [String: String] {
        guard let opener, let members: [Node.Member] = node?.members else { return [:] }
        var secrets: [String: String] = [:]
        for member in members {
            guard let reference: String = member.key.text,
                let sealed: [UInt8] = member.value.text.flatMap({ Base64.decode($0) })
            else { continue }
            secrets[reference] = opener.open(sealed, reference: reference)
        }
        return secrets
    }

    private mutating func put(
        _ node: Node?, _ bytes: [UInt8], _ places: [EntryKind: [Range<Int>]]?, _ secrets: [String: String]
    ) throws(SnapshotError) {
        guard let node else { return }
        for kind in EntryKind.allCases {
            guard let list: Node = node[kind.rawValue] else { continue }
            guard let entries: [Node] = list.elements else { throw .malformed("expected a list as '\(kind.rawValue)'") }
            let known: [Range<Int>]? = places?[kind]
            for (index, entry) in entries.enumerated() {
                let text: [UInt8]? = known.flatMap { index < $0.count ? Array(bytes[$0[index]]) : nil }
                try self.set(kind, sent: entry, text: text, secrets: secrets)
            }
        }
    }

    private mutating func takeOut(_ node: Node?) throws(SnapshotError) {
        guard let node else { return }
        for kind in EntryKind.allCases {
            guard let list: Node = node[kind.rawValue] else { continue }
            guard let keys: [Node] = list.elements else { throw .malformed("expected a list as '\(kind.rawValue)'") }
            for element in keys {
                guard let text: String = element.text, let key = EntryKey(text: text) else {
                    throw .malformed("expected keys such as 'tenant/id' to remove")
                }
                self.remove(kind, key)
            }
        }
    }
}
