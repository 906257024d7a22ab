import Bytes
import Contracts
import HTTP
import JSON
import REST
import Store

extension AuditService {
    /// Checkpoint, keys and proofs. They show positions and the size of the one tree there is, never an entry: that is what
    /// makes a tenant's own entries provable to its auditor.
    var proofRoutes: [Route] {
        [
            Route(
                "GET", "/v1/audit/checkpoint", operationID: "getAuditCheckpoint", tag: Self.name,
                summary:
                    "The signed head of the audit tree (C2SP tlog-checkpoint). Keep it: it commits the log to all entries so far.",
                access: .scoped(Self.read), query: [QueryParameter.tenant],
                answers: [Answer(200, "A signed note", mediaType: "text/plain; charset=utf-8")]
            ) { [self] in try await self.getCheckpoint($0) },
            Route(
                "GET", "/v1/audit/keys", operationID: "listAuditKeys", tag: Self.name,
                summary: "The public keys checkpoints are signed with, in the signed-note form NAME+ID+KEY.",
                access: .scoped(Self.read), query: [QueryParameter.tenant],
                answers: [
                    Answer(
                        200, "Keys", schema: Schema.object(["items": Schema.array(Self.keySchema)], required: ["items"])
                    )
                ]
            ) { [self] in try await self.listKeys($0) },
            Route(
                "GET", "/v1/audit/proofs", operationID: "getAuditProof", tag: Self.name,
                summary:
                    "Proves an entry to be in the tree (leaf), or a smaller tree to be a beginning of a larger (from) (RFC 9162).",
                access: .scoped(Self.read),
                query: [
                    QueryParameter.tenant,
                    QueryParameter("leaf", .integer(0...Int64.max), "The entry to prove."),
                    QueryParameter("from", .integer(0...Int64.max), "The smaller size."),
                    QueryParameter(
                        "size", .integer(0...Int64.max), "The tree to prove it in; the present one when absent."),
                    QueryParameter("to", .integer(0...Int64.max), "The same as size, for consistency proofs."),
                ], answers: [Answer(200, "A proof", schema: Self.proofSchema)]
            ) { [self] in try await self.getProof($0) },
        ]
    }

    private func getCheckpoint(_ context: RequestContext) async throws -> HTTPResponse {
        let head: TreeHead = try await context.read { try TreeTables.head(in: $0) }
        var response: HTTPResponse = HTTPResponse.text(try self.checkpoint(of: head).noteText)
        response.fields.set("Cache-Control", "no-store")
        return response
    }

    private func listKeys(_ context: RequestContext) async throws -> HTTPResponse {
        let keys: [NoteVerifier] = try await context.read { try CheckpointKeys.verifiers(in: $0) }
        let items: [JSONValue] = keys.map { (key: NoteVerifier) -> JSONValue in
            .object(["name": .string(key.name), "key_id": .string(key.keyIDText), "key": .string(key.text)])
        }
        return .json(.object(["items": .array(items)]))
    }

    private func getProof(_ context: RequestContext) async throws -> HTTPResponse {
        let leaf: Int64? = context.query["leaf"].flatMap { Int64($0) }
        let from: Int64? = context.query["from"].flatMap { Int64($0) }
        let size: Int64? = (context.query["size"] ?? context.query["to"]).flatMap { Int64($0) }
        guard (leaf == nil) != (from == nil) else {
            throw APIProblem(.invalidRequest, "Ask either for an entry (leaf) or for a smaller size (from).")
        }
        guard context.query["size"] == nil || context.query["to"] == nil else {
            throw APIProblem.invalid("query:to", "the same as size: give one of them")
        }
        let scope: String? = context.scope
        return try await context.read { reader in
            let present: Int64 = try TreeTables.head(in: reader).size
            let size: Int64 = size ?? present
            guard size <= present else {
                throw APIProblem.invalid("query:size", "expected at most \(present), the present size")
            }
            if let leaf: Int64 { return try Self.inclusion(leaf, size, scope, reader) }
            return try Self.consistency(from ?? 0, size, reader)
        }
    }

    private static func inclusion(_ leaf: Int64, _ size: Int64, _ scope: String?, _ reader: Reader) throws
        -> HTTPResponse
    {
        guard leaf < size else {
            throw APIProblem.invalid("query:leaf", "expected a number below \(size), the tree's size")
        }
        // Entries of other tenants do not exist for this caller.
        if let scope: String, try !EntryIndex.isLeaf(leaf, of: scope, in: reader) {
            throw APIProblem.notFound("entry", String(leaf))
        }
        let tree: TileTree = TreeTables.tree(in: reader)
        return .json(
            .object([
                "leaf": .int(leaf), "size": .int(size), "leaf_hash": Self.text(try tree.subtree(level: 0, index: leaf)),
                "root": Self.text(try MerkleTree.root(size: size, from: tree)),
                "proof": .array(
                    try MerkleTree.inclusionProof(leaf: leaf, size: size, from: tree).map { Self.text($0) }),
            ]))
    }

    private static func consistency(_ from: Int64, _ size: Int64, _ reader: Reader) throws -> HTTPResponse {
        guard from <= size else { throw APIProblem.invalid("query:from", "expected at most \(size)") }
        let tree: TileTree = TreeTables.tree(in: reader)
        return .json(
            .object([
                "from": .int(from), "size": .int(size),
                "root_from": Self.text(try MerkleTree.root(size: from, from: tree)),
                "root": Self.text(try MerkleTree.root(size: size, from: tree)),
                "proof": .array(
                    try MerkleTree.consistencyProof(from: from, to: size, from: tree).map { Self.text($0) }),
            ]))
    }

    private static func text(_ hash: TreeHash) -> JSONValue { .string(Base64.encode(hash.bytes)) }

    private static let keySchema: JSONValue = Schema.object(
        ["name": Schema.text(max: 256), "key_id": Schema.text(max: 8), "key": Schema.text(max: 512)],
        required: ["name", "key_id", "key"])

    private static let proofSchema: JSONValue = .object([
        "type": "object", "required": .array(["size", "root", "proof"]),
        "properties": .object([
            "leaf": .object(["type": "integer"]), "from": .object(["type": "integer"]),
            "size": .object(["type": "integer"]),
            "leaf_hash": .object(["type": "string"]), "root_from": .object(["type": "string"]),
            "root": .object(["type": "string"]),
            "proof": .object(["type": "array", "items": .object(["type": "string"])]),
        ]),
    ])
}
