package import JSON

/// What was done, by whom, to what, and how it looks now. Becomes a record of `audit-log` and a leaf of the audit tree.
///
/// Ids only: names and e-mail addresses of people do not belong here, because what is in the log stays.
package struct AuditEntry: Sendable {
    /// Who acted.
    package struct Actor: Sendable {
        package let userID: String
        /// Where the request came from; nil for what the platform does by itself.
        package let ip: String?
        /// The tenant the user belongs to.
        package let tenant: String

        package init(userID: String, ip: String?, tenant: String) {
            self.userID = userID
            self.ip = ip
            self.tenant = tenant
        }
    }

    /// What was changed.
    package struct Resource: Sendable {
        /// Such as `api`, `deployment`, `subscription`.
        package let type: String
        package let id: String
        /// The resource's version after the change; nil where it has none.
        package let version: Int64?

        package init(type: String, id: String, version: Int64? = nil) {
            self.type = type
            self.id = id
            self.version = version
        }
    }

    /// Such as `api.created`.
    package let eventType: String
    /// The tenant whose resource it is, which may be another than the actor's: it decides who may read the entry.
    package let tenant: String
    package let actor: Actor
    package let resource: Resource
    /// The full state after the change; immutable blobs as their hashes.
    package let changes: JSONObject
    /// Only when Git caused the change.
    package let gitCommit: String?
    package let traceparent: String?

    /// - Parameter tenant: nil means the actor's own.
    package init(
        eventType: String, tenant: String? = nil, actor: Actor, resource: Resource, changes: JSONObject,
        gitCommit: String? = nil, traceparent: String? = nil
    ) {
        self.eventType = eventType
        self.tenant = tenant ?? actor.tenant
        self.actor = actor
        self.resource = resource
        self.changes = changes
        self.gitCommit = gitCommit
        self.traceparent = traceparent
    }
}
