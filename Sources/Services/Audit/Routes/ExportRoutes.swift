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
                    "The whole audit log as JSON lines that can be verified alone: every stored byte, its hash, heads and keys.",
                access: .platform(Self.read), answers: [Answer(200, "JSON lines", mediaType: AuditExport.mediaType)]
            ) { [self] in try await self.export($0) }
        ]
    }

    private func export(_ context: RequestContext) async throws -> HTTPResponse {
        try await self.auditRead(context, what: "export")
        let store: Store = self.services.store
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
                    try await writer.write(AuditExport.leaf(leaf, number: number))
                    number += 1
                }
            }
            try await writer.write(AuditExport.end(leaves: number))
        }
    }
}
