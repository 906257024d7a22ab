/// A row of log_outbox as the sequencer judges it, without its records.
struct OutboxRow: Sendable, Equatable {
    /// From a sequence, taken when the publishing transaction was about to commit, that is with all its locks held.
    let id: Int64
    /// The publishing transaction.
    let transaction: Int64
    let byteCount: Int64
}

/// Which unnumbered records of a shared log get their offsets next. Pure.
///
/// The rows are what one snapshot of the database shows, so each of them is committed. A row is ripe when its transaction is
/// older than every one that was running: `transaction < oldestRunning` (PostgreSQL's `pg_snapshot_xmin`). Rows are numbered in
/// the order of ids, and none before an unripe one with a lower id:
///
/// A publishes and commits, then B, which may have begun earlier, publishes about the same key. B took its row's id after A's
/// commit, so A's is lower; and whoever sees B's row sees A's. But B's transaction can be the older one and ripe while A's is
/// not, because a third one, between the two, still runs. Going by age alone would put B first.
enum SequencerRules {
    /// The rows to be numbered now, in order: at least the first that is ripe, and no more than fit `bytesMax`.
    ///
    /// All rows that are older than `oldestRunning` and whose ids are at most the last one's are among them, in any later
    /// snapshot too: whatever is that old had ended when this one was taken.
    ///
    /// - Parameter rows: in the order of ids, from the lowest there is.
    static func ripe(_ rows: [OutboxRow], oldestRunning: Int64, bytesMax: Int64 = Int64.max) -> ArraySlice<OutboxRow> {
        var bytes: Int64 = 0
        var count: Int = 0
        for row: OutboxRow in rows {
            guard row.transaction < oldestRunning else { break }
            bytes += row.byteCount
            if count > 0, bytes > bytesMax { break }
            count += 1
        }
        return rows[..<count]
    }
}
