package import JSON

/// What an audit entry is found by.
package struct EntryFields: Sendable, Equatable {
    package let tenant: String
    package let eventType: String
    package let resourceType: String
    package let resourceID: String
    package let actor: String

    package init(tenant: String, eventType: String, resourceType: String, resourceID: String, actor: String) {
        self.tenant = tenant
        self.eventType = eventType
        self.resourceType = resourceType
        self.resourceID = resourceID
        self.actor = actor
    }

    /// Reads them from the entry's bytes. What is not there is empty: the tree takes any bytes, the index only finds less.
    package init(entry: [UInt8]) { self.init((try? JSONReader.parse(entry)) ?? .null) }

    package init(_ value: JSONValue) {
        self.tenant = value["tenant"]?.text ?? ""
        self.eventType = value["event_type"]?.text ?? ""
        self.resourceType = value["resource"]?["type"]?.text ?? ""
        self.resourceID = value["resource"]?["id"]?.text ?? ""
        self.actor = value["actor"]?["user_id"]?.text ?? ""
    }
}
