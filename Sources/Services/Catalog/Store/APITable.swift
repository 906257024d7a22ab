import Contracts
import JSON
import Store
import Time

/// The tables `apis`, `documents` and `revisions`.
enum APITable {
    /// - Parameter reference: the API's name or its id. Deleted APIs are not found.
    static func find(_ reference: String, tenant: String, in store: any Queryable) throws -> API? {
        let column: String = reference.hasPrefix("api_") ? "api_id" : "name"
        return try store.first(
            "SELECT \(API.columns) FROM apis WHERE tenant = $1 AND \(column) = $2 AND deleted_at IS NULL",
            .text(tenant),
            .text(reference), decode: API.init(_:))
    }

    static func all(tenant: String, after: String, limit: Int, in store: any Queryable) throws -> [API] {
        try store.rows(
            """
            SELECT \(API.columns) FROM apis WHERE tenant = $1 AND deleted_at IS NULL AND name > $2 ORDER BY name LIMIT $3
            """, .text(tenant), .text(after), .int(Int64(limit)), decode: API.init(_:))
    }

    /// Published APIs in the order of their ids. - Parameter tenants: nil for all tenants.
    static func published(after: String, tenants: [String]?, limit: Int, in store: any Queryable) throws -> [API] {
        guard let tenants: [String] else {
            return try store.rows(
                """
                SELECT \(API.columns) FROM apis WHERE state = 'published' AND deleted_at IS NULL AND api_id > $1
                ORDER BY api_id LIMIT $2
                """, .text(after), .int(Int64(limit)), decode: API.init(_:))
        }
        var found: [API] = []
        for tenant in tenants {
            found += try store.rows(
                """
                SELECT \(API.columns) FROM apis WHERE tenant = $1 AND state = 'published' AND deleted_at IS NULL
                    AND api_id > $2 ORDER BY api_id LIMIT $3
                """, .text(tenant), .text(after), .int(Int64(limit)), decode: API.init(_:))
        }
        found.sort { $0.id < $1.id }
        return Array(found.prefix(limit))
    }

    static func insert(_ api: API, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO apis (tenant, api_id, name, title, state, base_path, latest_revision, created_by, created_at, version,
                labels)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            """, .text(api.tenant), .text(api.id), .text(api.name), .text(api.title), .text(api.state),
            .text(api.basePath), .int(api.latestRevision), .text(api.createdBy), .int(api.createdAt.milliseconds),
            .int(api.version), .text(api.labels.stored))
    }

    static func update(_ api: API, in transaction: Transaction) throws {
        try transaction.execute(
            """
            UPDATE apis SET title = $3, state = $4, base_path = $5, latest_revision = $6, version = $7, labels = $8
            WHERE tenant = $1 AND api_id = $2
            """, .text(api.tenant), .text(api.id), .text(api.title), .text(api.state), .text(api.basePath),
            .int(api.latestRevision), .int(api.version), .text(api.labels.stored))
    }

    /// Marks the API as deleted; its revisions and history stay.
    static func delete(_ api: API, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE apis SET deleted_at = $3, version = version + 1 WHERE tenant = $1 AND api_id = $2",
            .text(api.tenant),
            .text(api.id), .int(transaction.now.milliseconds))
    }
}

enum RevisionTable {
    static func find(_ number: Int64, apiID: String, tenant: String, in store: any Queryable) throws -> Revision? {
        try store.first(
            "SELECT \(Revision.columns) FROM revisions WHERE tenant = $1 AND api_id = $2 AND revision = $3",
            .text(tenant),
            .text(apiID), .int(number), decode: Revision.init(_:))
    }

    /// Newest first. - Parameter before: only revisions below this number.
    static func all(
        apiID: String, tenant: String, before: Int64, limit: Int, in store: any Queryable
    ) throws -> [Revision] {
        try store.rows(
            """
            SELECT \(Revision.columns) FROM revisions WHERE tenant = $1 AND api_id = $2 AND revision < $3
            ORDER BY revision DESC LIMIT $4
            """, .text(tenant), .text(apiID), .int(before), .int(Int64(limit)), decode: Revision.init(_:))
    }

    /// Stores a revision and, once per content, its document.
    static func insert(
        _ definition: APIDefinitionDraft, number: Int64, apiID: String, tenant: String, author: String,
        in transaction: Transaction
    ) throws {
        try transaction.execute(
            "INSERT INTO documents (tenant, hash, document) VALUES ($1, $2, $3) ON CONFLICT (tenant, hash) DO NOTHING",
            .text(tenant), .text(definition.documentHash), .bytes(definition.document))
        try transaction.execute(
            """
            INSERT INTO revisions (tenant, api_id, revision, document_hash, gateway, api_version, created_by, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            """, .text(tenant), .text(apiID), .int(number), .text(definition.documentHash),
            .text(definition.gateway.jsonText), .text(definition.apiVersion), .text(author),
            .int(transaction.now.milliseconds))
    }

    static func document(hash: String, tenant: String, in store: any Queryable) throws -> [UInt8]? {
        try store.first(
            "SELECT document FROM documents WHERE tenant = $1 AND hash = $2", .text(tenant), .text(hash)
        ) { (row: Row) throws(StoreError) -> [UInt8] in try row.bytes(0) }
    }
}
