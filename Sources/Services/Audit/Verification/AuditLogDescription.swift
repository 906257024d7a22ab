import Bytes

/// What an audit log says of itself: its present head, the heads it signed earlier, and the keys it signs with.
package struct AuditLogDescription: Sendable, Equatable {
    package let head: TreeHead
    /// Signed checkpoints as they are published.
    package let checkpoints: [String]
    package let keys: [NoteVerifier]

    package init(head: TreeHead, checkpoints: [String], keys: [NoteVerifier]) {
        self.head = head
        self.checkpoints = checkpoints
        self.keys = keys
    }
}

/// A verification from beginning to end: what the log says of itself, a checkpoint from outside if there is one, every leaf in
/// order, the verdict.
package struct AuditVerification: Sendable {
    private var verifier: AuditVerifier
    private let forgedSizes: [Int64]

    /// - Parameters:
    ///   - checkpoint: a published checkpoint that was kept outside of the log.
    ///   - trusted: the keys it may be signed with; those the log names when empty.
    /// - Throws: when the checkpoint is none, is of another log, or is signed by none of the keys.
    package init(
        of log: AuditLogDescription, checkpoint: [UInt8]?, trusting trusted: [NoteVerifier] = []
    ) throws(NoteError) {
        let keys: [NoteVerifier] = trusted.isEmpty ? log.keys : trusted
        var outside: TreeHead?
        if let checkpoint: [UInt8] { outside = try Checkpoint(verifying: checkpoint, trusting: keys).head }
        var recorded: [TreeHead] = [log.head]
        var forged: [Int64] = []
        for note in log.checkpoints {
            do throws(NoteError) {
                recorded.append(try Checkpoint(verifying: Array(note.utf8), trusting: keys).head)
            } catch {
                forged.append(Self.statedSize(note))
            }
        }
        self.verifier = AuditVerifier(checkpoint: outside, recorded: recorded)
        self.forgedSizes = forged
    }

    package mutating func add(_ leaf: AuditVerifier.Leaf) { self.verifier.add(leaf) }

    package func verdict() -> AuditVerdict {
        self.verifier.verdict().adding(
            self.forgedSizes.map { (size: Int64) -> AuditFinding in .forgedCheckpoint(size: size) })
    }

    /// The size a note claims, for the finding; -1 where it claims none.
    private static func statedSize(_ note: String) -> Int64 {
        guard let signed: SignedNote = try? SignedNote(parsing: Array(note.utf8)),
            let checkpoint: Checkpoint = try? Checkpoint(parsing: signed.text)
        else { return -1 }
        return checkpoint.head.size
    }
}
