import Contracts
import EventLog
import Identifiers
import JSON
import Store
import Time

/// The SQL of `audit_access`: how often what counts as unusual has happened in a window; and what follows when it is too often.
///
/// Counted in the transaction that takes the entries into the tree: each entry counts once, whatever crashes and whichever process takes it.
enum AccessCounts {
    /// How long counts are kept after their window.
    static let keptFor: Duration = .seconds(86_400)

    /// Counts one, and tells of it when that reaches the rule's threshold. - Returns: whether it did.
    static func add(
        _ count: AccessRule.Count, _ thresholds: AccessThresholds, in transaction: Transaction
    ) throws -> Bool {
        let threshold: Int64 = thresholds[count.rule]
        guard threshold > 0 else { return false }
        let total: Int64 =
            try transaction.first(
                """
                INSERT INTO audit_access (tenant, rule, who, since, amount) VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT (tenant, rule, who, since) DO UPDATE SET amount = audit_access.amount + excluded.amount
                RETURNING amount
                """, .text(count.tenant), .text(count.rule.rawValue), .text(count.who), .int(count.since),
                .int(count.amount)
            ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) } ?? 0
        guard total >= threshold, total - count.amount < threshold else { return false }
        try Self.tell(count, total: total, in: transaction)
        return true
    }

    /// One entry, and one notification for whoever watches.
    private static func tell(_ count: AccessRule.Count, total: Int64, in transaction: Transaction) throws {
        let author: Author = Author(caller: .platform("audit"), trace: TraceContext.make())
        let data: JSONObject = [
            "rule": .string(count.rule.rawValue), "who": .string(count.who), "count": .int(total),
            "since": .string(Timestamp(milliseconds: count.since).rfc3339),
            "window_seconds": .int(AccessRule.window.components.seconds),
        ]
        try author.audit(
            "access.unusual", tenant: count.tenant,
            resource: AuditEntry.Resource(type: "access-rule", id: count.rule.rawValue), changes: data, in: transaction)
        let id: String = Identifier.make("ntf", now: transaction.now)
        try author.publish(
            Topics.notifications, key: id, tenant: count.tenant,
            [
                "notification_id": .string(id), "type": "access-unusual", "recipients": .array(["role:auditor"]),
                "template": "access-unusual", "data": .object(data),
            ], in: transaction)
    }

    /// Forgets old windows, at most `limit`; returns how many.
    static func forget(before time: Timestamp, limit: Int, in transaction: Transaction) throws(StoreError) -> Int {
        try transaction.execute(
            """
            DELETE FROM audit_access WHERE (tenant, rule, who, since) IN
                (SELECT tenant, rule, who, since FROM audit_access WHERE since < $1 LIMIT $2)
            """, .int(time.milliseconds), .int(Int64(limit)))
    }
}
