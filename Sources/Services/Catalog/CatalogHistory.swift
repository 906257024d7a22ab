package import JSON
package import Store

/// What revisions never change, by hash or number, also of APIs that were deleted since: what the audit log only has hashes of.
package struct CatalogHistory {
    package init() {}

    /// The bytes of an OpenAPI document as they were imported.
    package func document(tenant: String, hash: String, in store: any Queryable) throws -> [UInt8]? {
        try store.first(
            "SELECT document FROM documents WHERE tenant = $1 AND hash = $2", .text(tenant), .text(hash)
        ) { (row: Row) throws(StoreError) -> [UInt8] in try row.bytes(0) }
    }

    /// The gateway configuration of a revision.
    package func gateway(tenant: String, api: String, revision: Int64, in store: any Queryable) throws -> JSONValue? {
        let text: String? = try store.first(
            "SELECT gateway FROM revisions WHERE tenant = $1 AND api_id = $2 AND revision = $3", .text(tenant),
            .text(api), .int(revision)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
        return try text.map { try JSONReader.parse($0) }
    }
}
