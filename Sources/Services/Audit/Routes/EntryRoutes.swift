import Bytes
import Contracts
import EventLog
import HTTP
import JSON
import REST
import Store
import Time

extension AuditService {
    static let read: Permission = Permission("audit", "entry", "read")

    var entryRoutes: [Route] {
        [
            Route(
                "GET", "/v1/audit/entries", operationID: "listAuditEntries", tag: Self.name,
                summary: "Finds audit entries, newest first. The reading is an entry itself.",
                access: .scoped(Self.read),
                query: [QueryParameter.tenant] + Self.filterParameters + [
                    QueryParameter("order", .oneOf(["desc", "asc"]), "Newest (desc, the default) or oldest first."),
                    QueryParameter(
                        "bytes", .boolean, "Also the stored bytes of each entry, base64: what the tree hashes."),
                ] + QueryParameter.page,
                answers: [Answer(200, "Entries", schema: Self.entryPageSchema)]
            ) { [self] in try await self.listEntries($0) }
        ]
    }

    private func listEntries(_ context: RequestContext) async throws -> HTTPResponse {
        let page: Page = try context.page()
        var filter: EntryFilter = try await self.filter(context)
        filter.isAscending = context.query["order"] == "asc"
        filter.leaves = try Self.beyond(page, filter.leaves, isAscending: filter.isAscending)
        try await self.auditRead(context, what: "entries")
        let asked: EntryFilter = filter
        let limit: Int = page.limit + 1
        let leaves: [Int64] = try await context.read { reader in try EntryIndex.leaves(asked, limit: limit, in: reader)
        }
        let records: [Int64: [UInt8]] = try await self.entries(leaves.prefix(page.limit))
        let shown: [Int64: JSONValue] = try await self.shown(records, Self.reach(context))
        let withBytes: Bool = context.query["bytes"] == "true"
        return .json(
            page.envelope(leaves, key: { (leaf: Int64) -> String in String(leaf) }) { (leaf: Int64) -> JSONValue in
                Self.json(leaf, shown[leaf], withBytes ? records[leaf] : nil)
            })
    }

    /// What the caller gets to see of people.
    static func reach(_ context: RequestContext) -> EntryOpener.Reach {
        context.caller.decide(Self.readPersonal, tenant: context.scope).isAllowed ? .everything : .nothing
    }

    private func shown(_ records: [Int64: [UInt8]], _ reach: EntryOpener.Reach) async throws -> [Int64: JSONValue] {
        let leaves: [Int64] = Array(records.keys)
        let entries: [JSONValue] = leaves.map { (leaf: Int64) -> JSONValue in
            records[leaf].flatMap { try? JSONReader.parse($0) } ?? .null
        }
        return Dictionary(uniqueKeysWithValues: zip(leaves, try await self.shown(entries, reach)))
    }

    /// What entries are found by.
    static var filterParameters: [QueryParameter] {
        [
            QueryParameter("type", .text(lengthMax: 128), "Only of this event type, such as api.created."),
            QueryParameter("resource_type", .text(lengthMax: 128), "Only about resources of this type."),
            QueryParameter("resource", .text(lengthMax: 256), "Only about the resource with this id."),
            QueryParameter("actor", .text(lengthMax: 256), "Only what the user with this id did."),
            QueryParameter("from", .text(lengthMax: 64), "Only from this time on (RFC 3339)."),
            QueryParameter("to", .text(lengthMax: 64), "Only before this time (RFC 3339)."),
            QueryParameter(
                "first", .integer(0...Int64.max),
                "Only from this entry on, by its number: what continues an export that broke off."),
        ]
    }

    /// What the query asks for, within the caller's scope.
    func filter(_ context: RequestContext) async throws -> EntryFilter {
        let first: Int64 = max(
            try await self.leaf(at: context.query["from"], "from") ?? 0,
            context.query["first"].flatMap { Int64($0) } ?? 0)
        let end: Int64 = try await self.leaf(at: context.query["to"], "to") ?? Int64.max
        var filter: EntryFilter = EntryFilter(tenant: context.scope, leaves: first..<max(first, end))
        filter.eventType = context.query["type"]
        filter.resourceType = context.query["resource_type"]
        filter.resourceID = context.query["resource"]
        filter.actor = context.query["actor"]
        return filter
    }

    /// The leaves beyond the page's cursor.
    private static func beyond(_ page: Page, _ leaves: Range<Int64>, isAscending: Bool) throws -> Range<Int64> {
        guard let after: String = page.after else { return leaves }
        guard let leaf: Int64 = Int64(after), leaf >= 0, leaf < Int64.max else {
            throw APIProblem.invalid("query:cursor", "expected the `next` of an earlier answer")
        }
        let first: Int64 = isAscending ? max(leaves.lowerBound, leaf + 1) : leaves.lowerBound
        return first..<max(first, isAscending ? leaves.upperBound : min(leaves.upperBound, leaf))
    }

    /// The first leaf at or after a time; nil without one.
    private func leaf(at text: String?, _ parameter: String) async throws -> Int64? {
        guard let text: String else { return nil }
        guard let time: Timestamp = Timestamp(rfc3339: text) else {
            throw APIProblem.invalid("query:\(parameter)", "expected a time such as 2026-01-02T03:04:05Z")
        }
        return try await self.services.log.position(of: Topics.auditLog, at: .time(time)).offsets.first
    }

    /// The stored bytes of entries. Neighbours are read together; those that retention has just removed are left out.
    func entries(_ leaves: some Sequence<Int64>) async throws -> [Int64: [UInt8]] {
        var found: [Int64: [UInt8]] = [:]
        let wanted: Set<Int64> = Set(leaves)
        for leaf in wanted.sorted() where found[leaf] == nil {
            let page: FetchedRecords
            do {
                page = try await self.services.log.fetch(
                    topic: Topics.auditLog, partition: 0, from: leaf, maxBytes: 1, maxRecords: 2 * Page.limitMax)
            } catch LogError.offsetOutOfRange {
                continue
            }
            for record in page.records where wanted.contains(record.offset) { found[record.offset] = record.value }
        }
        return found
    }

    private static func json(_ leaf: Int64, _ entry: JSONValue?, _ bytes: [UInt8]?) -> JSONValue {
        var object: JSONObject = ["leaf": .int(leaf)]
        guard let entry: JSONValue else {
            object["purged"] = true
            return .object(object)
        }
        for member in entry.object?.members ?? [] { object[member.key] = member.value }
        if let bytes: [UInt8] { object["leaf_bytes"] = .string(Base64.encode(bytes)) }
        return .object(object)
    }

    /// Writes one entry for a reading, with its filter: before anything is shown, and however many entries that is.
    func auditRead(_ context: RequestContext, what: String) async throws {
        let author: Author = context.author
        let tenant: String = context.scope ?? ""
        var filter: JSONObject = [:]
        for name in context.query.keys.sorted() where name != "cursor" {
            filter[name] = context.query[name].map { (value: String) -> JSONValue in .string(value) }
        }
        let changes: JSONObject = ["filter": .object(filter)]
        try await self.services.store.write { transaction in
            try author.audit(
                "audit.read", tenant: tenant, resource: AuditEntry.Resource(type: "audit-log", id: what),
                changes: changes,
                in: transaction)
        }
    }

    private static let entryPageSchema: JSONValue = Schema.page(
        .object([
            "type": "object", "required": .array(["leaf"]),
            "properties": .object([
                "leaf": .object(["type": "integer"]), "id": .object(["type": "string"]), "time": Schema.time,
                "event_type": .object(["type": "string"]), "tenant": .object(["type": "string"]),
                "actor": .object(["type": "object"]), "resource": .object(["type": "object"]),
                "changes": .object(["type": "object"]), "trace_id": .object(["type": "string"]),
                "git_commit": .object(["type": "string"]), "leaf_bytes": .object(["type": "string"]),
                "purged": Schema.boolean,
            ]),
        ]))
}
