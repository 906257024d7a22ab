package import JSON

/// What was done, by whom, to what, and how it looks now. Becomes a record of `audit-log` and a leaf of the audit tree.
///
/// Ids only: names and e-mail addresses of people do not belong here, because what is in the log stays. Where one must be told, it
/// goes into `personal`, which is sealed and can be erased.
package struct AuditEntry: Sendable {
    /// Who acted.
    package struct Actor: Sendable {
        package let userID: String
        /// Where the request came from; nil for what the platform does by itself. Sealed in the leaf.
        package let ip: String?
        /// The tenant the user belongs to.
        package let tenant: String
        /// Whose key seals the address.
        package let subject: String

        /// - Parameter subject: nil is the user.
        package init(userID: String, ip: String?, tenant: String, subject: String? = nil) {
            self.userID = userID
            self.ip = ip
            self.tenant = tenant
            self.subject = subject ?? userID
        }
    }

    /// What was changed.
    package struct Resource: Sendable {
        /// Such as `api`, `deployment`, `subscription`.
        package let type: String
        package let id: String
        /// The resource's version after the change; nil where it has none.
        package let version: Int64?
        /// The id identifies somebody, as an address does: in the log the id of the actor's key stands in its place.
        package let isPersonal: Bool

        package init(type: String, id: String, version: Int64? = nil, isPersonal: Bool = false) {
            self.type = type
            self.id = id
            self.version = version
            self.isPersonal = isPersonal
        }
    }

    /// Something about a person that belongs into `changes`, sealed.
    package struct Personal: Sendable {
        /// The member of `changes` it becomes.
        package let member: String
        package let value: JSONValue
        /// Whose key seals it: a user's id, as a rule.
        package let subject: String

        package init(_ member: String, _ value: JSONValue, of subject: String) {
            self.member = member
            self.value = value
            self.subject = subject
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
    /// What of the change identifies people: added to `changes`, sealed.
    package let personal: [Personal]
    /// Only when Git caused the change.
    package let gitCommit: String?
    package let traceparent: String?

    /// - Parameter tenant: nil means the actor's own.
    package init(
        eventType: String, tenant: String? = nil, actor: Actor, resource: Resource, changes: JSONObject,
        personal: [Personal] = [], gitCommit: String? = nil, traceparent: String? = nil
    ) {
        self.eventType = eventType
        self.tenant = tenant ?? actor.tenant
        self.actor = actor
        self.resource = resource
        self.changes = changes
        self.personal = personal
        self.gitCommit = gitCommit
        self.traceparent = traceparent
    }
}
