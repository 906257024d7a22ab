package import Store
import Time

/// One page of dead letters.
package struct DeadLetterPage: Sendable {
    package let letters: [DeadLetter]
    /// The offset to ask for the next page with.
    package let next: Int64
}

extension EventLog {
    /// The dead letters of `topic`, oldest first, from `offset` in the dead-letter topic on.
    ///
    /// - Parameter includingSettled: also those that were redriven or dropped.
    package func deadLetters(
        of topic: String, from offset: Int64 = 0, includingSettled: Bool = false, limit: Int = 100
    ) async throws -> DeadLetterPage {
        let name: String = TopicDefinition.deadLetterName(of: topic)
        let available: Range<Int64> = try self.offsets(topic: name, partition: 0)
        var next: Int64 = min(max(offset, available.lowerBound), available.upperBound)
        var letters: [DeadLetter] = []
        while next < available.upperBound, letters.count < limit {
            let page: FetchedRecords = try await self.fetch(
                topic: name, partition: 0, from: next, maxRecords: limit - letters.count)
            let settled: [Int64: DeadLetterOutcome] = try await self.settled(name, in: next..<page.next)
            next = page.next
            for record: Record in page.records {
                let outcome: DeadLetterOutcome? = settled[record.offset]
                if outcome != nil, !includingSettled { continue }
                if let letter: DeadLetter = DeadLetterNote.read(record, topic: topic, outcome: outcome) {
                    letters.append(letter)
                }
            }
        }
        return DeadLetterPage(letters: letters, next: next)
    }

    /// One dead letter by its offset in the dead-letter topic, open or settled.
    package func deadLetter(of topic: String, at offset: Int64) async throws -> DeadLetter {
        let name: String = TopicDefinition.deadLetterName(of: topic)
        guard try self.offsets(topic: name, partition: 0).contains(offset) else {
            throw LogError.unknownDeadLetter(topic: name, offset: offset)
        }
        let page: DeadLetterPage = try await self.deadLetters(of: topic, from: offset, includingSettled: true, limit: 1)
        guard let letter: DeadLetter = page.letters.first, letter.offset == offset else {
            throw LogError.unknownDeadLetter(topic: name, offset: offset)
        }
        return letter
    }

    /// Gives an open dead letter to its group again: it is tried at once, with its tries counted from zero. Later records of its
    /// key that were handled meanwhile are not repeated.
    ///
    /// Throws `LogError.unknownDeadLetter` when there is none or it was dealt with, `LogError.unknownGroup` when its
    /// group is gone.
    ///
    /// - Parameter also: what is to happen in the same transaction, such as an audit entry.
    package func redrive(
        topic: String, at offset: Int64, also: @escaping @Sendable (Transaction) throws -> Void = { _ in }
    ) async throws {
        let letter: DeadLetter = try await self.deadLetter(of: topic, at: offset)
        let at: GroupPartition = GroupPartition(group: letter.group, topic: topic, partition: letter.partition)
        let name: String = TopicDefinition.deadLetterName(of: topic)
        let isShared: Bool = self.isShared
        try await self.store.write { transaction in
            guard try ConsumerTables.exists(at, in: transaction) else { throw LogError.unknownGroup(at.group) }
            try ConsumerTables.settle(name, offset, .redriven, in: transaction)
            let entry: RetryEntry = RetryEntry(
                offset: letter.recordOffset, key: letter.record.key, tries: 0, due: transaction.now)
            try ConsumerTables.insertRetry(
                at, entry, reason: letter.reason, record: letter.record.stored, in: transaction)
            // The reader may be in another process, where nobody wakes it: it notices the epoch.
            if isShared { try ConsumerTables.raiseEpoch(at, in: transaction) }
            try also(transaction)
        }
        self.running(letter.group)?.reload()
    }

    /// Marks an open dead letter as settled without trying it again.
    package func drop(
        topic: String, at offset: Int64, also: @escaping @Sendable (Transaction) throws -> Void = { _ in }
    ) async throws {
        let letter: DeadLetter = try await self.deadLetter(of: topic, at: offset)
        let name: String = TopicDefinition.deadLetterName(of: topic)
        try await self.store.write { transaction in
            try ConsumerTables.settle(name, letter.offset, .dropped, in: transaction)
            try also(transaction)
        }
    }

    private func settled(_ name: String, in offsets: Range<Int64>) async throws -> [Int64: DeadLetterOutcome] {
        let rows: [(Int64, String)] = try await self.store.read { reader in
            try ConsumerTables.settled(name, in: offsets, reader)
        }
        var outcomes: [Int64: DeadLetterOutcome] = [:]
        for (offset, outcome): (Int64, String) in rows { outcomes[offset] = DeadLetterOutcome(rawValue: outcome) }
        return outcomes
    }
}
