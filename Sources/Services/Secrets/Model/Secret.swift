import JSON
import Store
import Time

/// A secret of a tenant, without its value.
struct Secret: Sendable {
    /// Longest value, bytes.
    static let valueBytesMax: Int = 64 << 10
    /// Versions kept: with one more, the oldest is destroyed.
    static let versionsMax: Int = 10
    /// Secrets of one tenant at most.
    static let countMax: Int64 = 10_000

    let tenant: String
    let name: String
    var description: String
    /// The version that references without one mean; the highest there is.
    var version: Int64
    let createdAt: Timestamp
    var updatedAt: Timestamp
    var updatedBy: String

    /// As answers and the audit log have it: everything but the value.
    var object: JSONObject {
        [
            "name": .string(self.name), "tenant": .string(self.tenant), "description": .string(self.description),
            "version": .int(self.version), "reference": .string("secret://\(self.name)"),
            "created_at": .string(self.createdAt.rfc3339), "updated_at": .string(self.updatedAt.rfc3339),
            "updated_by": .string(self.updatedBy),
        ]
    }

    /// What is wrong with a value; nil when it is one.
    static func problem(value: String) -> String? {
        let count: Int = value.utf8.count
        guard count >= 1, count <= Self.valueBytesMax else {
            return "expected 1 to \(Self.valueBytesMax) bytes, found \(count)"
        }
        return value.utf8.contains(0) ? "expected text without NUL" : nil
    }
}

/// One version of a secret, without its value.
struct SecretVersion: Sendable {
    let version: Int64
    let createdAt: Timestamp
    let createdBy: String

    var json: JSONValue {
        .object([
            "version": .int(self.version), "created_at": .string(self.createdAt.rfc3339),
            "created_by": .string(self.createdBy),
        ])
    }
}
