/// What a gateway serves: the part of the configuration that is the same on every gateway of a target.
///
/// A file gives it beside the `ProcessSettings`; over the link it travels alone as a snapshot. The order of `apis` and of the
/// routes in an API is "file order", the last rule of routing.
package struct GatewayDocument: Sendable, Equatable {
    package var apis: [APIDefinition]
    package var applications: [ApplicationDefinition]
    package var plans: [PlanDefinition]
    /// Limits of whole tenants; those without have no entry.
    package var tenants: [TenantDefinition]

    package init(
        apis: [APIDefinition] = [], applications: [ApplicationDefinition] = [], plans: [PlanDefinition] = [],
        tenants: [TenantDefinition] = []
    ) {
        self.apis = apis
        self.applications = applications
        self.plans = plans
        self.tenants = tenants
    }

    /// The version of the document's format, as `version:` says it in a file and in a snapshot.
    package static let formatVersion: Int64 = 1
}

/// Names an entry of a document: ids are unique within their tenant, so the pair is unique everywhere.
package struct EntryKey: Sendable, Hashable, Comparable, CustomStringConvertible {
    package let tenant: String
    package let id: String

    package init(tenant: String, id: String) {
        self.tenant = tenant
        self.id = id
    }

    /// `tenant/id`; neither part can hold a slash.
    package var text: String { "\(self.tenant)/\(self.id)" }

    package var description: String { self.text }

    /// Reads `tenant/id`; nil when it is anything else.
    package init?(text: String) {
        let parts: [Substring] = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        self.init(tenant: String(parts[0]), id: String(parts[1]))
    }

    package static func < (left: EntryKey, right: EntryKey) -> Bool {
        left.tenant == right.tenant ? left.id < right.id : left.tenant < right.tenant
    }
}

/// Rules and defaults that several entries share.
package enum EntryRules {
    /// The tenant of an entry that names none: a file for one organisation need not repeat it.
    package static let defaultTenant: String = "default"
    /// Characters of an id at most.
    package static let idLengthMax: Int = 128

    /// Why this text cannot be an id, or nil when it can: letters, digits, `.`, `_`, `-`, starting with a letter or digit.
    package static func problem(id text: String) -> String? {
        let expected: String =
            "expected an id of 1 to \(Self.idLengthMax) letters, digits, '.', '_' or '-', starting with a letter or digit"
        guard let first: UInt8 = text.utf8.first, text.utf8.count <= Self.idLengthMax else { return expected }
        guard Self.isAlphanumeric(first) else { return expected }
        for byte in text.utf8 {
            let isMark: Bool = byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
            if !isMark && !Self.isAlphanumeric(byte) { return expected }
        }
        return nil
    }

    static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            return true
        default: return false
        }
    }
}
