package import JSON

/// Something that happened, as the log records it: a CloudEvents 1.0 event in Kafka's binary form.
///
/// The attributes become headers (`ce_specversion`, `ce_id`, `ce_source`, `ce_type`, `ce_time`, `ce_subject`, and without prefix
/// `content-type`, `tenantid`, `actor`, `traceparent`); the value is the JSON of `value` alone.
package struct Event: Sendable {
    package static let sourceDefault: String = "/passerelle"

    /// `evt_…`; nil lets the log make one when it is published. Consumers recognise a repeated delivery by it.
    package let id: String?
    package let topic: String
    /// Chooses the partition: events of one key keep their order.
    package let key: String
    package let tenant: String
    /// Such as `api.created`.
    package let type: String
    /// An opaque user id, or the name of the service that acted by itself. Never an e-mail address.
    package let actor: String
    package let subject: String?
    package let source: String
    package let traceparent: String?
    package let value: JSONValue

    package init(
        id: String? = nil, topic: String, key: String, tenant: String, type: String, actor: String,
        subject: String? = nil, source: String = Event.sourceDefault, traceparent: String? = nil, value: JSONValue
    ) {
        self.id = id
        self.topic = topic
        self.key = key
        self.tenant = tenant
        self.type = type
        self.actor = actor
        self.subject = subject
        self.source = source
        self.traceparent = traceparent
        self.value = value
    }
}
