import Contracts
import HTTP
import REST
import Store
import Telemetry

extension AuditService {
    var exportRoutes: [Route] {
        [
            Route(
                "GET", "/v1/audit/export", operationID: "exportAuditLog", tag: Self.name,
                summary:
                    "The audit log: proof (the default) is all of it as JSON lines that verify alone, jsonl and csv are entries that match.",
                access: .scoped(Self.read),
                query: [
                    QueryParameter.tenant,
                    QueryParameter(
                        "format", .oneOf(["proof"] + EntryTable.Format.allCases.map(\.rawValue)), "The form."),
                ] + Self.filterParameters,
                answers: [Answer(200, "JSON lines, or CSV", mediaType: AuditExport.mediaType)]
                    + EntryTable.Format.allCases.map {
                        Answer(200, "JSON lines, or CSV", mediaType: $0.mediaType)
                    }
            ) { [self] in try await self.export($0) }
        ]
    }

    private func export(_ context: RequestContext) async throws -> HTTPResponse {
        if let format: EntryTable.Format = context.query["format"].flatMap({ EntryTable.Format(rawValue: $0) }) {
            return try await self.exportEntries(context, format)
        }
        for parameter in Self.filterParameters where context.query[parameter.name] != nil {
            throw APIProblem.invalid(
                "query:\(parameter.name)", "only with format=jsonl or csv: a proof is of the whole log")
        }
        try await self.auditRead(context, what: "export")
        let store: Store = self.services.store
        let scope: String? = context.scope
        let log: AuditLogDescription = try await LeafReader.describe(store)
        return HTTPResponse(status: 200, fields: ["content-type": AuditExport.mediaType]) { writer in
            try await writer.write(AuditExport.header(log))
            var reader: LeafReader = LeafReader(store: store)
            var number: Int64 = 0
            // What is appended while this runs is not part of it: else a busy log would never end.
            while number < log.head.size {
                let page: [AuditVerifier.Leaf] = try await reader.page()
                if page.isEmpty { break }
                for leaf in page.prefix(Int(log.head.size - number)) {
                    try await writer.write(AuditExport.leaf(leaf.withholding(exceptOf: scope), number: number))
                    number += 1
                }
            }
            try await writer.write(AuditExport.end(leaves: number))
        }
    }

    /// The entries that match, oldest first, as the caller gets to see them; memory for a page of them.
    private func exportEntries(_ context: RequestContext, _ format: EntryTable.Format) async throws -> HTTPResponse {
        var filter: EntryFilter = try await self.filter(context)
        let size: Int64 = try await self.head().size
        filter.leaves = min(filter.leaves.lowerBound, size)..<min(filter.leaves.upperBound, size)
        try await self.auditRead(context, what: "export")
        let (asked, reach): (EntryFilter, EntryOpener.Reach) = (filter, Self.reach(context))
        let fields: HTTPFields = [
            "content-type": format.mediaType, "content-disposition": "attachment; filename=audit.\(format.rawValue)",
            "x-content-type-options": "nosniff", "cache-control": "no-store",
        ]
        // What continues another one follows its last line.
        let head: [UInt8] = context.query["first"] == nil ? EntryTable.head(format) : []
        return HTTPResponse(status: 200, fields: fields) { writer in
            if !head.isEmpty { try await writer.write(head) }
            try await self.entryPages(asked, reach) { page in
                var lines: [UInt8] = []
                for (leaf, entry) in page { lines += EntryTable.line(leaf, entry, format) }
                try await writer.write(lines)
            }
        }
    }
}

extension AuditVerifier.Leaf {
    /// The leaf as a reader of `tenant` gets it; all of it where that is nil.
    ///
    /// An entry without a recorded hash is not in the tree yet, or its hash is lost; then its own hash takes that place.
    func withholding(exceptOf tenant: String?) -> AuditVerifier.Leaf {
        // What retention removed everybody may know: it says numbers only, and a verification needs it.
        guard let tenant: String, case .bytes(let bytes) = self.content, EntryFields(entry: bytes).tenant != tenant,
            Tombstone(entry: bytes) == nil
        else {
            return self
        }
        return AuditVerifier.Leaf(content: .withheld, recordedHash: self.recordedHash ?? TreeHash(leaf: bytes))
    }
}
