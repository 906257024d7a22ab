import JSON
import Store
import Time

/// How it stands with an anchor.
struct AnchorState: Sendable, Equatable {
    let name: String
    /// Entries of the newest checkpoint it has taken; 0: none yet.
    var size: Int64 = 0
    var anchoredAt: Timestamp?
    /// Why the last try came to nothing.
    var failure: String?
    var failingSince: Timestamp?

    var json: JSONValue {
        .object([
            "name": .string(self.name), "size": .int(self.size),
            "anchored_at": self.anchoredAt.map { .string($0.rfc3339) } ?? .null,
            "failure": self.failure.map { .string($0) } ?? .null,
            "failing_since": self.failingSince.map { .string($0.rfc3339) } ?? .null,
        ])
    }
}

/// The table `audit_anchors`: a row for each anchor that was ever tried. Of the platform.
enum AnchorTable {
    /// Makes the next try this process's, if it is time for one. Of several processes one gets it.
    ///
    /// - Parameters:
    ///   - every: between two tries that went well.
    ///   - again: after one that did not.
    static func claim(
        _ name: String, every: Duration, again: Duration, in transaction: Transaction
    ) throws(StoreError) -> Bool {
        try transaction.execute(
            """
            INSERT INTO audit_anchors (anchor, size, tried_at) VALUES ($1, 0, $2)
            ON CONFLICT (anchor) DO UPDATE SET tried_at = excluded.tried_at
            WHERE audit_anchors.tried_at <= CASE WHEN audit_anchors.failure IS NULL THEN $3 ELSE $4 END
            """, .text(name), .int(transaction.now.milliseconds),
            .int(transaction.now.adding(.zero - every).milliseconds),
            .int(transaction.now.adding(.zero - again).milliseconds)) == 1
    }

    static func find(_ name: String, in store: some Queryable) throws(StoreError) -> AnchorState {
        try store.first(
            "SELECT size, anchored_at, failure, failing_since FROM audit_anchors WHERE anchor = $1", .text(name)
        ) { (row: Row) throws(StoreError) -> AnchorState in
            AnchorState(
                name: name, size: try row.int(0),
                anchoredAt: try row.optionalInt(1).map { Timestamp(milliseconds: $0) },
                failure: try row.optionalText(2),
                failingSince: try row.optionalInt(3).map { Timestamp(milliseconds: $0) })
        } ?? AnchorState(name: name)
    }

    static func update(_ state: AnchorState, in transaction: Transaction) throws(StoreError) {
        try transaction.execute(
            """
            UPDATE audit_anchors SET size = $2, anchored_at = $3, failure = $4, failing_since = $5 WHERE anchor = $1
            """, .text(state.name), .int(state.size), .optional(state.anchoredAt?.milliseconds),
            .optional(state.failure), .optional(state.failingSince?.milliseconds))
    }
}
