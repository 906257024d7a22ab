/// A row of log_leases.
struct LeaseRow: Sendable, Equatable {
    /// nil: it was given back.
    var holder: String?
    /// Rises with every new holder: what a former holder fails at.
    var epoch: Int64
    /// When it is over unless renewed, in milliseconds of the log's own time (`LogTime`).
    var until: Int64
}

/// When a lease is over. Pure: what holds for the lease of a singleton holds for a member's place in its group.
///
/// No time of day is trusted with more than patience: a clock that jumps forward ends leases early, one that jumps back
/// leaves an end too far away, which no honest holder can have written and which therefore counts as over. In both
/// cases two may believe to hold it for a moment; the epoch, checked in every transaction, lets only the newer change anything.
enum LeaseRules {
    /// - Parameters:
    ///   - until: as the row says, milliseconds.
    ///   - term: how long a renewal lasts, milliseconds.
    static func isOver(until: Int64, now: Int64, term: Int64) -> Bool { until <= now || until > now + term }

    /// The row that makes `holder` the holder; nil while somebody else is.
    static func acquire(_ row: LeaseRow?, holder: String, now: Int64, term: Int64) -> LeaseRow? {
        guard let row: LeaseRow else { return LeaseRow(holder: holder, epoch: 1, until: now + term) }
        guard row.holder == nil || self.isOver(until: row.until, now: now, term: term) else { return nil }
        return LeaseRow(holder: holder, epoch: row.epoch + 1, until: now + term)
    }

    /// The row that keeps it for another term; nil when somebody else has it by now.
    static func renew(_ row: LeaseRow?, epoch: Int64, now: Int64, term: Int64) -> LeaseRow? {
        guard let row: LeaseRow, row.epoch == epoch, row.holder != nil else { return nil }
        return LeaseRow(holder: row.holder, epoch: epoch, until: now + term)
    }
}
