/// Keeps where backups are who was erased: one made before must bring nobody back. Offered by `backups`, used by `audit`.
package protocol ErasureLedger: Sendable {
    /// Keeps erasures, each under the id of its audit entry; keeping one again changes nothing.
    ///
    /// - Returns: false where there are no backups yet, so nothing to be kept beside.
    func keep(_ erasures: [KeptErasure]) async throws -> Bool
}

/// An erasure as it is kept outside of the log.
package struct KeptErasure: Sendable, Equatable {
    /// Of the audit entry.
    package let id: String
    /// JSON, one line: what repeats it.
    package let line: [UInt8]

    package init(id: String, line: [UInt8]) {
        self.id = id
        self.line = line
    }
}
