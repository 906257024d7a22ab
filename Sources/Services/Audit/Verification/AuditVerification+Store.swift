import EventLog
package import Store

extension AuditVerification {
    /// What it reads, which is all that a database must have of this binary's schema.
    package static let migrations: [ServiceMigrations] = [
        LogMigrations.service.needing(1), AuditMigrations.service.needing(1),
    ]

    /// Verifies the audit log in a store: of a running platform, or of a data folder nobody else uses.
    ///
    /// Cost: one pass over the audit log and its index; memory for a page, and for the ids of the keys that seal personal data.
    ///
    /// - Parameters:
    ///   - checkpoint: a published checkpoint that was kept outside.
    ///   - trusted: the keys it may be signed with; those the log names when empty.
    ///   - progress: told how many entries were read, every now and then.
    package static func run(
        on store: Store, checkpoint: [UInt8]?, trusting trusted: [NoteVerifier] = [],
        progress: @Sendable (Int64) -> Void = { (_: Int64) in }
    ) async throws -> AuditVerdict {
        let log: AuditLogDescription = try await LeafReader.describe(store)
        var verification: AuditVerification = try AuditVerification(of: log, checkpoint: checkpoint, trusting: trusted)
        var surroundings: SurroundingsCheck = try SurroundingsCheck(store, size: log.head.size)
        var reader: LeafReader = LeafReader(store: store)
        var count: Int64 = 0
        while true {
            let page: [AuditVerifier.Leaf] = try await reader.page()
            if page.isEmpty { break }
            for leaf in page { verification.add(leaf) }
            try await surroundings.add(page, from: reader.batches)
            count += Int64(page.count)
            progress(count)
        }
        let verdict: AuditVerdict = verification.verdict()
        // What is around leaves that are wrong differs from them of necessity.
        return verdict.isSound ? verdict.adding(try await surroundings.findings()) : verdict
    }
}
