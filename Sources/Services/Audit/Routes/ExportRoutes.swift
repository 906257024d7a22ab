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
                    "The audit log as JSON lines that verify alone: stored bytes, hashes, heads, keys. Within a tenant other tenants' entries are hashes.",
                access: .scoped(Self.read), query: [QueryParameter.tenant],
                answers: [Answer(200, "JSON lines", mediaType: AuditExport.mediaType)]
            ) { [self] in try await self.export($0) }
        ]
    }

    private func export(_ context: RequestContext) async throws -> HTTPResponse {
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
}

extension AuditVerifier.Leaf {
    /// The leaf as a reader of `tenant` gets it; all of it where that is nil.
    ///
    /// An entry without a recorded hash is not in the tree yet, or its hash is lost; then its own hash takes that place.
    func withholding(exceptOf tenant: String?) -> AuditVerifier.Leaf {
        guard let tenant: String, case .bytes(let bytes) = self.content, EntryFields(entry: bytes).tenant != tenant
        else {
            return self
        }
        return AuditVerifier.Leaf(content: .withheld, recordedHash: self.recordedHash ?? TreeHash(leaf: bytes))
    }
}
