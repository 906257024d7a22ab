package import EventLog
package import Identifiers
package import JSON
package import Store

/// Who causes a change and within which trace: what every event and audit entry of the change carries.
///
/// A handler takes it from its request, a consumer from the record it handles. `publish` and `audit` need the transaction of
/// the change, so that a change without its event, or an event without its change, cannot be written.
package struct Author: Sendable {
    package let caller: Caller
    package let trace: TraceContext

    package init(caller: Caller, trace: TraceContext) {
        self.caller = caller
        self.trace = trace
    }

    /// Publishes `value` to `topic` as part of the transaction.
    package func publish(
        _ topic: String, key: String, tenant: String, _ value: JSONObject, in transaction: Transaction
    ) throws {
        try transaction.publish(
            Event(
                topic: topic, key: key, tenant: tenant, type: topic,
                actor: self.caller.id, traceparent: self.trace.traceparent, value: .object(value)))
    }

    /// Writes the audit entry of a change: `changes` is the full after-image, with hashes in place of immutable blobs.
    /// What identifies people goes into `personal`, which is sealed.
    package func audit(
        _ eventType: String, tenant: String, resource: AuditEntry.Resource, changes: JSONObject,
        personal: [AuditEntry.Personal] = [], in transaction: Transaction
    ) throws {
        try transaction.audit(
            AuditEntry(
                eventType: eventType, tenant: tenant, actor: self.caller.actor(tenant: tenant), resource: resource,
                changes: changes, personal: personal, traceparent: self.trace.traceparent))
    }
}
