import Contracts
import JSON
import Store
import Time

/// An API as stored and shown.
struct API: Sendable {
    /// The life cycle: draft, published (visible in the portal), deprecated, retired.
    static let states: [String] = ["draft", "published", "deprecated", "retired"]

    let tenant: String
    let id: String
    let name: String
    let title: String
    let state: String
    let basePath: String
    let labels: APILabels
    let latestRevision: Int64
    let createdBy: String
    let createdAt: Timestamp
    let version: Int64

    var object: JSONObject {
        [
            "id": .string(self.id), "name": .string(self.name), "title": .string(self.title),
            "state": .string(self.state),
            "base_path": .string(self.basePath), "labels": self.labels.json,
            "latest_revision": .int(self.latestRevision),
            "created_by": .string(self.createdBy), "created_at": .string(self.createdAt.rfc3339),
        ]
    }

    var json: JSONValue { .object(self.object) }

    var record: APIRecord {
        APIRecord(
            tenant: self.tenant, id: self.id, name: self.name, latestRevision: self.latestRevision,
            labels: self.labels, takesSubscriptions: self.state == "published" || self.state == "deprecated")
    }

    static let columns: String =
        "tenant, api_id, name, title, state, base_path, latest_revision, created_by, created_at, version, labels"

    init(
        tenant: String, id: String, name: String, title: String, state: String, basePath: String, latestRevision: Int64,
        createdBy: String, createdAt: Timestamp, version: Int64, labels: APILabels
    ) {
        self.labels = labels
        self.tenant = tenant
        self.id = id
        self.name = name
        self.title = title
        self.state = state
        self.basePath = basePath
        self.latestRevision = latestRevision
        self.createdBy = createdBy
        self.createdAt = createdAt
        self.version = version
    }

    init(_ row: Row) throws(StoreError) {
        self.tenant = try row.text(0)
        self.id = try row.text(1)
        self.name = try row.text(2)
        self.title = try row.text(3)
        self.state = try row.text(4)
        self.basePath = try row.text(5)
        self.latestRevision = try row.int(6)
        self.createdBy = try row.text(7)
        self.createdAt = Timestamp(milliseconds: try row.int(8))
        self.version = try row.int(9)
        self.labels = APILabels(stored: try row.text(10))
    }

    /// The same API with some of its state replaced, one version later.
    func changed(
        title: String? = nil, state: String? = nil, basePath: String? = nil, latestRevision: Int64? = nil,
        labels: APILabels? = nil
    ) -> API {
        API(
            tenant: self.tenant, id: self.id, name: self.name, title: title ?? self.title, state: state ?? self.state,
            basePath: basePath ?? self.basePath, latestRevision: latestRevision ?? self.latestRevision,
            createdBy: self.createdBy, createdAt: self.createdAt, version: self.version + 1,
            labels: labels ?? self.labels)
    }
}

/// An immutable revision as stored and shown.
struct Revision: Sendable {
    let number: Int64
    let documentHash: String
    let gateway: String
    let apiVersion: String
    let createdBy: String
    let createdAt: Timestamp

    var json: JSONValue {
        .object([
            "revision": .int(self.number), "document_sha256": .string(self.documentHash),
            "api_version": .string(self.apiVersion), "gateway": (try? JSONReader.parse(self.gateway)) ?? .null,
            "created_by": .string(self.createdBy), "created_at": .string(self.createdAt.rfc3339),
        ])
    }

    static let columns: String = "revision, document_hash, gateway, api_version, created_by, created_at"

    init(_ row: Row) throws(StoreError) {
        self.number = try row.int(0)
        self.documentHash = try row.text(1)
        self.gateway = try row.text(2)
        self.apiVersion = try row.text(3)
        self.createdBy = try row.text(4)
        self.createdAt = Timestamp(milliseconds: try row.int(5))
    }
}
