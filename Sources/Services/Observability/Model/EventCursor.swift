import Bytes
import Crypto
package import EventLog

/// Seals the position of a reader in a topic, so that it can be handed out.
///
/// Offsets count the records of all tenants; a caller of one tenant must not learn them. A cursor therefore is AES-256-GCM over
/// the offsets, bound to the topic and the tenant it was made for, and always of the same length for a topic.
package struct EventCursor: Sendable {
    /// Longest cursor that is read, bytes of text.
    package static let bytesMax: Int = 12_288

    private let key: [UInt8]

    /// - Precondition: the key has 32 bytes.
    package init(key: [UInt8]) {
        precondition(key.count == AESGCM.keyLength, "cursors are sealed with AES-256")
        self.key = key
    }

    /// - Parameter tenant: nil for a reader of all tenants.
    package func seal(_ position: LogPosition, topic: String, tenant: String?) throws -> String {
        var writer: ByteWriter = ByteWriter(reserving: 8 * position.offsets.count)
        for offset in position.offsets { writer.appendInt64(offset) }
        return Base64.encodeURL(
            try AESGCM.seal(writer.bytes, key: self.key, associatedData: Self.purpose(topic: topic, tenant: tenant)))
    }

    /// - Returns: nil for anything but a cursor of this topic and this tenant.
    package func open(_ text: String, topic: String, tenant: String?) -> LogPosition? {
        guard text.utf8.count <= Self.bytesMax, let sealed: [UInt8] = Base64.decodeURL(text),
            let bytes: [UInt8] = try? AESGCM.open(
                sealed, key: self.key, associatedData: Self.purpose(topic: topic, tenant: tenant))
        else { return nil }
        var reader: ByteReader = ByteReader(bytes)
        var offsets: [Int64] = []
        while !reader.isAtEnd {
            guard let offset: Int64 = try? reader.readInt64(), offset >= 0 else { return nil }
            offsets.append(offset)
        }
        return LogPosition(offsets: offsets)
    }

    /// Neither topics nor tenants hold a zero byte, so no two pairs give the same bytes; all tenants are told from one named "".
    private static func purpose(topic: String, tenant: String?) -> [UInt8] {
        let scope: String = tenant.map { (name: String) -> String in "tenant\0\(name)" } ?? "all"
        return Array("events\0\(topic)\0\(scope)".utf8)
    }
}
