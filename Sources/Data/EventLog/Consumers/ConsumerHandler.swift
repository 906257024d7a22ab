package import Store

/// What a consumer group does with each record.
package enum ConsumerHandler: Sendable {
    /// Effects in the store only: they commit together with the group's offset, so each record takes effect exactly once.
    ///
    /// The closure obeys the rules of `Store.write`: nothing but the transaction, it may run again. Throwing a
    /// `DeliveryError` says what to do with the record; any other error counts as a failed try.
    case transactional(@Sendable (Transaction, Record) throws -> Void)
    /// Effects elsewhere: at least once. The other side recognises a repetition by `record.eventID`.
    case external(@Sendable (Record) async -> Delivery)
}

/// What became of a record.
package enum Delivery: Sendable, Equatable {
    case done
    /// It failed and may work later; after `ConsumerOptions.triesMax` tries it becomes a dead letter.
    /// `after` nil takes the group's own back-off; more than `ConsumerOptions.pauseMax` is cut to that.
    case retry(after: Duration?, reason: String = "")
    /// The other side is down: tried again for as long as it takes, and never counted as a try.
    case unavailable(reason: String)
    /// It can never work: it becomes a dead letter at once.
    case poison(reason: String)
}

/// The outcomes that a transactional handler throws; see `Delivery`.
package enum DeliveryError: Error, Sendable, Equatable {
    case retry(after: Duration?, reason: String)
    case unavailable(reason: String)
    case poison(reason: String)

    var delivery: Delivery {
        switch self {
        case .retry(let after, let reason): .retry(after: after, reason: reason)
        case .unavailable(let reason): .unavailable(reason: reason)
        case .poison(let reason): .poison(reason: reason)
        }
    }
}

/// How a consumer group works. The defaults suit most.
package struct ConsumerOptions: Sendable {
    /// Where a group begins that the log has never seen. A known group goes on where it was.
    package var start: LogStart = .earliest
    /// Failed tries after which a record becomes a dead letter.
    package var triesMax: Int = 8
    /// Pause after the first failed try; doubled with each further one.
    package var backoff: Duration = .milliseconds(500)
    package var backoffMax: Duration = .seconds(60)
    /// The longest pause between two tries while the other side is unavailable.
    package var unavailableBackoffMax: Duration = .seconds(30)
    /// The longest pause that a handler may ask for. What is due later than this from now was written before the clock was
    /// set back, and is tried at once.
    package var pauseMax: Duration = .seconds(900)
    /// Records that wait for another try, per partition; with that many the partition is not read on until some are done.
    package var retriesMax: Int = 10_000
    /// Records a transactional handler gets in one transaction.
    package var chunkRecordsMax: Int = 256
    /// Time a transactional handler may hold the store's writer in one transaction; what is left goes into the next.
    package var chunkTimeMax: Duration = .milliseconds(5)
    /// Topics of whose records a transactional handler gets one in the very commit that writes it, when the group is at the end of
    /// the log: the effects are there a sync earlier, and the writer of the record waits for them. For short handlers whose effects
    /// somebody waits for. With one process on the database only; other rules stay as they are. Of several such groups one is served.
    package var earlyTopics: Set<String> = []
    /// Bytes read from the log at once.
    package var fetchBytesMax: Int = 1 << 20
    /// Records an external handler may be done with before the offset is stored: as many come again after a crash.
    package var uncommittedMax: Int = 64
    /// Time after which the offset is stored although fewer are done.
    package var uncommittedTimeMax: Duration = .milliseconds(100)

    package init() {}
}
