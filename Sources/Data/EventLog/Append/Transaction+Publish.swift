package import Store

/// The only way into the log: a change and its events are one transaction.
extension Transaction {
    /// Records an event; returns its id. It is in the log when `Store.write` returns, and never if the closure throws.
    @discardableResult
    package func publish(_ event: Event) throws(LogError) -> String {
        try self.stage().publish(event, now: self.now)
    }

    /// Records who did what in `audit-log`; returns the entry's id. - Throws: `LogError`, or what sealing personal data throws.
    @discardableResult
    package func audit(_ entry: AuditEntry) throws -> String {
        try self.stage().audit(entry, in: self)
    }

    /// Records bytes as they are: for producers outside of the platform and for benchmarks. `key` chooses the partition;
    /// records without one are spread.
    package func publish(
        topic: String, key: [UInt8]?, value: [UInt8]?, headers: HeaderBlock = HeaderBlock()
    ) throws(LogError) {
        try self.stage().publish(topic: topic, key: key, value: value, headers: headers, now: self.now)
    }

    /// Records once more what the log has accepted before, such as a dead letter.
    func publishAgain(topic: String, key: [UInt8]?, value: [UInt8]?, headers: HeaderBlock) throws(LogError) {
        try self.stage().publishAgain(topic: topic, key: key, value: value, headers: headers, now: self.now)
    }

    private func stage() throws(LogError) -> LogStage {
        guard let stage: LogStage = self.attachment(LogStage.self) else { throw .notAttached }
        return stage
    }
}
