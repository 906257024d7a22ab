import Identifiers
import JSON
import Store
import Time

/// Writes the leaf of an audit entry: the value of its record, byte for byte what the audit tree hashes.
///
/// The format is described in docs/reference/audit-leaf.md and is for ever: a leaf that was written is never written anew.
/// Members stand in the order of RFC 8785, so the envelope is written straight, and only `changes` has to be sorted.
struct AuditLeaf {
    /// The value of the member `format`.
    static let format: Int = 1
    /// The largest integer that RFC 8785 writes exactly.
    static let exactIntegerMax: Int64 = 1 << 53

    private var writer: JSONWriter = JSONWriter()

    /// What stands in the leaf otherwise than in the entry, because it is about a person.
    struct Sealed {
        let ip: JSONValue?
        let resourceID: String
        let changes: JSONObject

        /// As the entry has it: nothing is sealed.
        init(asIn entry: AuditEntry) {
            self.ip = entry.actor.ip.map { JSONValue.string($0) }
            self.resourceID = entry.resource.id
            var changes: JSONObject = entry.changes
            for personal in entry.personal { changes[personal.member] = personal.value }
            self.changes = changes
        }

        /// - Throws: what `sealer` does.
        init(_ entry: AuditEntry, id: String, by sealer: any AuditSealer, in transaction: Transaction) throws {
            self.ip = try entry.actor.ip.map { (ip: String) throws -> JSONValue in
                .object(try sealer.seal(.string(ip), of: entry.actor.subject, leaf: id, in: transaction))
            }
            self.resourceID =
                entry.resource.isPersonal
                ? try sealer.standIn(for: entry.actor.subject, in: transaction) : entry.resource.id
            var changes: JSONObject = entry.changes
            for personal in entry.personal {
                changes[personal.member] = .object(
                    try sealer.seal(personal.value, of: personal.subject, leaf: id, in: transaction))
            }
            self.changes = changes
        }
    }

    /// The leaf's bytes, valid until the next call.
    mutating func write(
        _ entry: AuditEntry, id: String, time: String, sealed: Sealed
    ) throws(LogError) -> [UInt8] {
        if let pointer: String = Self.inexactNumber(in: .object(sealed.changes), at: "/changes") {
            throw .inexactAuditNumber(pointer: pointer)
        }
        self.writer.removeAll()
        self.writer.beginObject()
        self.writeActor(entry.actor, ip: sealed.ip)
        self.writer.field("changes")
        self.writer.raw(JSONValue.object(sealed.changes).canonical())
        self.writer.field("event_type")
        self.writer.string(entry.eventType)
        self.writer.field("format")
        self.writer.int(Self.format)
        self.writeOptional("git_commit", entry.gitCommit)
        self.writer.field("id")
        self.writer.string(id)
        try self.writeResource(entry.resource, id: sealed.resourceID)
        self.writer.field("tenant")
        self.writer.string(entry.tenant)
        self.writer.field("time")
        self.writer.string(time)
        self.writeOptional("trace_id", entry.traceparent.flatMap { TraceContext(traceparent: $0)?.traceID })
        self.writer.endObject()
        return self.writer.bytes
    }

    private mutating func writeActor(_ actor: AuditEntry.Actor, ip: JSONValue?) {
        self.writer.field("actor")
        self.writer.beginObject()
        if let ip: JSONValue {
            self.writer.field("ip")
            self.writer.raw(ip.canonical())
        }
        self.writer.field("tenant")
        self.writer.string(actor.tenant)
        self.writer.field("user_id")
        self.writer.string(actor.userID)
        self.writer.endObject()
    }

    private mutating func writeResource(_ resource: AuditEntry.Resource, id: String) throws(LogError) {
        self.writer.field("resource")
        self.writer.beginObject()
        self.writer.field("id")
        self.writer.string(id)
        self.writer.field("type")
        self.writer.string(resource.type)
        if let version: Int64 = resource.version {
            guard version.magnitude <= UInt64(Self.exactIntegerMax) else {
                throw .inexactAuditNumber(pointer: "/resource/version")
            }
            self.writer.field("version")
            self.writer.int(version)
        }
        self.writer.endObject()
    }

    private mutating func writeOptional(_ name: StaticString, _ value: String?) {
        guard let value: String else { return }
        self.writer.field(name)
        self.writer.string(value)
    }

    /// Where an integer stands that a canonical number would round, or nil.
    private static func inexactNumber(in value: JSONValue, at pointer: String) -> String? {
        switch value {
        case .int(let number): return number.magnitude > UInt64(self.exactIntegerMax) ? pointer : nil
        case .array(let elements):
            for (index, element): (Int, JSONValue) in elements.enumerated() {
                if let found: String = self.inexactNumber(in: element, at: "\(pointer)/\(index)") { return found }
            }
            return nil
        case .object(let object):
            for member: JSONObject.Member in object.members {
                if let found: String = self.inexactNumber(in: member.value, at: "\(pointer)/\(member.key)") {
                    return found
                }
            }
            return nil
        default: return nil
        }
    }
}
