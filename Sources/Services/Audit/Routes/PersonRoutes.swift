import Contracts
import EventLog
import HTTP
import JSON
import REST
import Store
import Time

extension AuditService {
    static let readPersonal: Permission = Permission("audit", "personal", "read")

    /// Everything kept about one person, and its erasure. Of the platform: people hold roles in several tenants.
    var personRoutes: [Route] {
        [
            Route(
                "GET", "/v1/audit/persons/{person}", operationID: "exportPersonalData", tag: Self.name,
                summary:
                    "Everything kept about one person, as JSON lines: account, sessions, and the entries about it, opened.",
                access: .platform(Permission("audit", "personal", "export")), isCritical: true,
                answers: [Answer(200, "JSON lines", mediaType: AuditExport.mediaType)]
            ) { [self] in try await self.exportPerson($0) },
            Route(
                "POST", "/v1/audit/persons/{person}/erasure", operationID: "erasePersonalData", tag: Self.name,
                summary:
                    "Erases one person for good: account and sessions are emptied, the keys of what is sealed in the log are destroyed.",
                access: .platform(Permission("audit", "personal", "erase")), isCritical: true,
                body: .json(Self.erasureBody), answers: [Answer(200, "What was erased", schema: Self.erasureSchema)]
            ) { [self] in try await self.erasePerson($0) },
        ]
    }

    private static let erasureBody: JSONValue = Schema.object(
        ["reason": Schema.text(min: 1, max: 200)], required: ["reason"])
    private static let erasureSchema: JSONValue = Schema.object(
        ["person": Schema.text(max: 128), "keys_destroyed": Schema.integer(0...Int64.max), "erased_at": Schema.time],
        required: ["person", "keys_destroyed", "erased_at"])

    /// Whom the path names: the subject under which keys are kept. - Throws: not-found where nobody knows anything.
    private func subject(_ context: RequestContext, in store: any Queryable) throws -> String {
        let text: String = context.parameter("person")
        switch PersonReference(text) {
        case .address(let subject):
            if try SubjectKeyTable.newest(of: subject, in: store) != nil { return subject }
        case .key(let id):
            if let key: SubjectKeyTable.Stored = try SubjectKeyTable.find(id, in: store) { return key.subject }
        case .person(let reference):
            for service in self.people {
                if let id: String = try service.person(reference, in: store) { return id }
            }
            if try SubjectKeyTable.newest(of: text, in: store) != nil { return text }
        }
        throw APIProblem.notFound("person", text)
    }

    // MARK: - Export

    private func exportPerson(_ context: RequestContext) async throws -> HTTPResponse {
        let people: [any PersonalData] = self.people
        let person: Known = try await context.read { reader in
            let subject: String = try self.subject(context, in: reader)
            var things: [[UInt8]] = []
            for service in people {
                for thing in try service.personalData(of: subject, in: reader) {
                    things.append(Self.line(thing.kind, thing.value))
                }
            }
            return Known(
                subject: subject, keys: try SubjectKeyTable.ids(of: subject, in: reader), things: things,
                size: try TreeTables.head(in: reader).size)
        }
        try await self.auditPerson(context, "personal-data.exported", person.subject, keys: person.keys)
        let madeAt: String = context.now.rfc3339
        return HTTPResponse(status: 200, fields: ["content-type": AuditExport.mediaType, "cache-control": "no-store"]) {
            writer in
            try await writer.write(
                Self.line(
                    "personal-data",
                    .object(["version": 1, "person": .string(person.subject), "made_at": .string(madeAt)])))
            for thing in person.things { try await writer.write(thing) }
            var count: Int64 = 0
            for filter in Self.filters(of: person) {
                try await self.entryPages(filter, .only(Set(person.keys))) { page in
                    for (leaf, entry) in page {
                        // What they did to themselves is told as what they did.
                        if filter.resourceID == person.subject, entry["actor"]?["user_id"]?.text == person.subject {
                            continue
                        }
                        var object: JSONObject = ["leaf": .int(leaf)]
                        for member in entry.object?.members ?? [] { object[member.key] = member.value }
                        try await writer.write(Self.line("audit-entry", .object(object)))
                        count += 1
                    }
                }
            }
            try await writer.write(Self.line("end", .object(["audit_entries": .int(count)])))
        }
    }

    /// Somebody as an export begins.
    private struct Known: Sendable {
        let subject: String
        let keys: [String]
        /// The lines of what services keep.
        let things: [[UInt8]]
        /// Entries there are: what comes while the export runs is not part of it.
        let size: Int64
    }

    /// What the person did, then what was done to the account; of an address what stands under its keys.
    private static func filters(of person: Known) -> [EntryFilter] {
        var filters: [EntryFilter] = []
        var filter: EntryFilter = EntryFilter(tenant: nil, leaves: 0..<person.size)
        if case .address = PersonReference(person.subject) {
            for key in person.keys {
                filter.resourceID = key
                filters.append(filter)
            }
        } else {
            filter.actor = person.subject
            filters.append(filter)
            filter.actor = nil
            filter.resourceID = person.subject
            filters.append(filter)
        }
        return filters
    }

    private static func line(_ kind: String, _ value: JSONValue) -> [UInt8] {
        JSONValue.object(["kind": .string(kind), "value": value]).serialized() + [UInt8(ascii: "\n")]
    }

    /// Every entry that a filter finds, oldest first, as a reader of `reach` gets it; a page at a time.
    func entryPages(
        _ filter: EntryFilter, _ reach: EntryOpener.Reach,
        _ body: ([(leaf: Int64, entry: JSONValue)]) async throws -> Void
    ) async throws {
        var next: EntryFilter = filter
        next.isAscending = true
        while true {
            let asked: EntryFilter = next
            let leaves: [Int64] = try await self.services.store.read { reader in
                try EntryIndex.leaves(asked, limit: Page.limitMax, in: reader)
            }
            guard let last: Int64 = leaves.last else { return }
            let records: [Int64: [UInt8]] = try await self.entries(leaves)
            let found: [(leaf: Int64, entry: JSONValue)] = leaves.compactMap { (leaf: Int64) in
                records[leaf].flatMap { try? JSONReader.parse($0) }.map { (leaf, $0) }
            }
            let shown: [JSONValue] = try await self.shown(found.map(\.entry), reach)
            try await body(Array(zip(found.map(\.leaf), shown)))
            next.leaves = (last + 1)..<filter.leaves.upperBound
        }
    }

    /// Entries as a reader of `reach` gets them.
    func shown(_ entries: [JSONValue], _ reach: EntryOpener.Reach) async throws -> [JSONValue] {
        let needed: Set<String> = EntryOpener.keysNeeded(for: entries, reach)
        let subjects: SubjectKeys = self.subjects
        let keys: [String: [UInt8]] =
            needed.isEmpty ? [:] : try await self.services.store.read { try subjects.bytes(of: needed, in: $0) }
        let opener: EntryOpener = EntryOpener(reach: reach, keys: keys)
        return entries.map { (entry: JSONValue) -> JSONValue in opener.shown(entry) }
    }

    // MARK: - Erasure

    private func erasePerson(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let people: [any PersonalData] = self.people
        let reason: String = context.body["reason"]?.text ?? ""
        let (answer, subject): (HTTPResponse, String) = try await self.services.store.write { transaction in
            let subject: String = try self.subject(context, in: transaction)
            guard subject != author.caller.id else { throw APIProblem.conflict("You cannot erase yourself.") }
            for service in people { try service.erase(subject, author: author, in: transaction) }
            let keys: [String] = try SubjectKeyTable.destroy(subject, in: transaction)
            try author.audit(
                SubjectKeys.erasedEvent, tenant: "", resource: Self.resource(subject, keys: keys),
                changes: [
                    "keys": .array(keys.map { (id: String) -> JSONValue in .string(id) }), "reason": .string(reason),
                ], in: transaction)
            return (
                .json(
                    .object([
                        "person": .string(subject), "keys_destroyed": .int(Int64(keys.count)),
                        "erased_at": .string(transaction.now.rfc3339),
                    ])), subject
            )
        }
        self.subjects.forget(subject)
        for service in people { await service.forget(subject) }
        return answer
    }

    private func auditPerson(_ context: RequestContext, _ event: String, _ subject: String, keys: [String]) async throws
    {
        let author: Author = context.author
        try await self.services.store.write { transaction in
            try author.audit(
                event, tenant: "", resource: Self.resource(subject, keys: keys), changes: [:], in: transaction)
        }
    }

    /// What the log has of somebody: the opaque id; of an address only what stands for it.
    private static func resource(_ subject: String, keys: [String]) -> AuditEntry.Resource {
        if case .address = PersonReference(subject) {
            return AuditEntry.Resource(type: "person", id: keys.last ?? "address")
        }
        return AuditEntry.Resource(type: "person", id: subject)
    }
}
