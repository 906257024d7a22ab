import Time

/// What one transaction does to a group's rows of one partition: where the offset goes, and what happens to records that
/// wait for another try. It takes effect only as a whole, and only while the claim still holds.
///
/// A plain value: made by `PartitionReader`, carried out by `ConsumerTables`, and then noted by the reader that made it.
struct PartitionChange: Sendable {
    /// What is done to one record of the retry table.
    enum Step: Sendable {
        /// It waits from now on. `reason` is nil for one that only waits behind another of its key.
        case park(RetryEntry, reason: String?, Record)
        /// It failed again: the entry says when its next turn is.
        case postpone(RetryEntry, reason: String)
        /// It is done with.
        case remove(RetryEntry)
        /// It becomes a dead letter.
        case bury(Record, tries: Int, reason: String)
    }

    let claim: Claim
    /// Where the stored offset goes; nil leaves it where it is.
    let next: Int64?
    let steps: [Step]
    /// When it was decided.
    let now: Timestamp
}
