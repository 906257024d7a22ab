package import EventLog

/// The topics of the platform: a contract with everyone who reads the log (docs/reference/topics.md).
///
/// Six partitions and seven days unless the line says otherwise.
package enum Topics {
    package static let apiCreated: String = "api-created"
    package static let apiUpdated: String = "api-updated"
    package static let apiDeleted: String = "api-deleted"
    package static let deployRequests: String = "deploy-requests"
    package static let deployResults: String = "deploy-results"
    package static let auditLog: String = "audit-log"
    package static let notifications: String = "notifications"
    package static let securityJobResults: String = "security-job-results"
    package static let applicationCreated: String = "application-created"
    package static let applicationDeleted: String = "application-deleted"
    package static let subscriptionCreated: String = "subscription-created"
    package static let subscriptionUpdated: String = "subscription-updated"
    package static let subscriptionDeleted: String = "subscription-deleted"
    package static let apiKeyRotated: String = "api-key-rotated"
    package static let promotionRequests: String = "promotion-requests"
    package static let resourceCreated: String = "resource-created"
    package static let resourceExpiring: String = "resource-expiring"
    package static let resourceDeleted: String = "resource-deleted"
    package static let tagViolation: String = "tag-violation"
    package static let identityEvents: String = "identity-events"
    package static let secretRotated: String = "secret-rotated"
    package static let locationEvents: String = "location-events"

    /// Every topic with its shape, in the order of the reference.
    package static let all: [TopicDefinition] = [
        TopicDefinition(apiCreated),
        TopicDefinition(apiUpdated),
        TopicDefinition(apiDeleted),
        TopicDefinition(deployRequests),
        TopicDefinition(deployResults),
        TopicDefinition.auditLog,
        TopicDefinition(notifications),
        TopicDefinition(securityJobResults),
        TopicDefinition(applicationCreated),
        TopicDefinition(applicationDeleted),
        TopicDefinition(subscriptionCreated),
        TopicDefinition(subscriptionUpdated),
        TopicDefinition(subscriptionDeleted),
        TopicDefinition(apiKeyRotated),
        TopicDefinition(promotionRequests),
        TopicDefinition(resourceCreated),
        TopicDefinition(resourceExpiring),
        TopicDefinition(resourceDeleted),
        TopicDefinition(tagViolation),
        TopicDefinition(identityEvents),
        TopicDefinition(secretRotated),
        TopicDefinition(locationEvents),
    ]

    /// The same with the audit log kept for another time.
    package static func all(auditKeptFor time: Duration) -> [TopicDefinition] {
        Self.all.map { (topic: TopicDefinition) -> TopicDefinition in
            topic.name == Self.auditLog
                ? TopicDefinition(topic.name, partitions: topic.partitions, retention: time) : topic
        }
    }

    /// Topics that others than the platform may publish to: what they hold makes no service do anything. In all others an event
    /// stands for a change that was made with it.
    package static let open: [String] = [securityJobResults, locationEvents]

    /// Whether the platform has this topic.
    package static func exists(_ name: String) -> Bool {
        for topic in all where topic.name == name { return true }
        return false
    }
}
