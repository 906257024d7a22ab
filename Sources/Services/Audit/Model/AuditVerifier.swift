/// Verifies an audit log entry by entry: names the first bad entry, a shortened tail, or a fork.
///
/// Pure: fed with the leaves in order by whoever has them (a data folder, REST answers, an export), and asked for the verdict at
/// the end. Constant memory; one SHA-256 over each entry and about one more.
///
/// Two trees grow side by side: one over the entries as they are, one over the leaf hashes the log recorded. Where an entry
/// differs from its recorded hash, the entry is bad; where even the recorded tree differs from a committed root, the log was
/// rewritten (a fork), and no single entry can be named.
package struct AuditVerifier {
    /// One leaf as it is found.
    package struct Leaf: Sendable {
        package enum Content: Sendable {
            /// The stored bytes of the entry.
            case bytes([UInt8])
            /// Retention removed it: its recorded hash stands for it.
            case purged
            /// The reader may not see it, an entry of another tenant: its recorded hash stands for it.
            case withheld
            /// It should be there and is not.
            case missing
            /// Something is there that is no record.
            case unreadable
        }

        package let content: Content
        /// The hash the log's own tree holds for it; nil where it holds none (not yet in the tree, or lost).
        package let recordedHash: TreeHash?

        package init(content: Content, recordedHash: TreeHash?) {
            self.content = content
            self.recordedHash = recordedHash
        }
    }

    private let checkpoint: TreeHead?
    /// Heads to be met, by size, rising. The checkpoint comes before a recorded head of the same size.
    private let heads: [(head: TreeHead, witness: AuditFinding.Witness)]
    private var headsPassed: Int = 0
    /// How many leaves the log's own tree holds.
    private let recordedSize: Int64
    private var found: TreeFrontier = TreeFrontier()
    private var recorded: TreeFrontier = TreeFrontier()
    private var firstBad: (leaf: Int64, defect: AuditFinding.Defect)?
    private var badCount: Int64 = 0
    private var fork: AuditFinding?
    /// Up to here every committed root was met.
    private var soundUpTo: Int64 = 0
    private var purged: Int64 = 0
    private var withheld: Int64 = 0
    /// Up to here entries say that retention removed what was before.
    private var purgeToldUpTo: Int64 = 0

    /// - Parameters:
    ///   - checkpoint: a head from outside whose signature was verified.
    ///   - recorded: heads the log recorded itself, in any order; the largest is its present one.
    package init(checkpoint: TreeHead?, recorded: [TreeHead]) {
        self.checkpoint = checkpoint
        self.recordedSize = recorded.map(\.size).max() ?? 0
        var heads: [(head: TreeHead, witness: AuditFinding.Witness)] = recorded.map { ($0, .recorded) }
        if let checkpoint: TreeHead { heads.append((checkpoint, .checkpoint)) }
        self.heads = heads.sorted { left, right in
            left.head.size != right.head.size
                ? left.head.size < right.head.size : left.witness == .checkpoint && right.witness != .checkpoint
        }
        self.meetHeads()
    }

    /// Takes the next leaf.
    package mutating func add(_ leaf: Leaf) {
        let index: Int64 = self.found.size
        let isInTree: Bool = index < self.recordedSize
        switch leaf.content {
        case .bytes(let bytes):
            if self.purged > 0, let tombstone: Tombstone = Tombstone(entry: bytes) {
                self.purgeToldUpTo = max(self.purgeToldUpTo, tombstone.leaves.upperBound)
            }
            let hash: TreeHash = TreeHash(leaf: bytes)
            self.found.append(hash)
            self.recorded.append(leaf.recordedHash ?? hash)
            if leaf.recordedHash == nil {
                if isInTree { self.note(index, .hashMissing) }
            } else if leaf.recordedHash != hash {
                self.note(index, .altered)
            }
        case .purged, .withheld, .missing, .unreadable:
            // Without even a hash any value will do: the roots above cannot be met, and the entry is named.
            let hash: TreeHash = leaf.recordedHash ?? TreeHash.ofEmptyTree
            self.found.append(hash)
            self.recorded.append(hash)
            switch leaf.content {
            case .purged where leaf.recordedHash != nil: self.purged += 1
            case .withheld where leaf.recordedHash != nil: self.withheld += 1
            case .unreadable: self.note(index, .unreadable)
            default: self.note(index, .missing)
            }
        }
        self.meetHeads()
    }

    /// The verdict over all leaves that were added.
    package func verdict() -> AuditVerdict {
        var findings: [AuditFinding] = []
        if let bad = self.firstBad { findings.append(.badEntry(leaf: bad.leaf, bad.defect, more: self.badCount - 1)) }
        if let fork: AuditFinding = self.fork { findings.append(fork) }
        if self.purged > self.purgeToldUpTo { findings.append(.untoldPurge(self.purgeToldUpTo..<self.purged)) }
        if let finding: AuditFinding = self.shortenedTail() { findings.append(finding) }
        return AuditVerdict(
            head: TreeHead(size: self.found.size, root: self.found.root), purged: self.purged, withheld: self.withheld,
            findings: findings, isTailJudged: self.checkpoint != nil)
    }

    private mutating func note(_ leaf: Int64, _ defect: AuditFinding.Defect) {
        if self.firstBad == nil { self.firstBad = (leaf, defect) }
        self.badCount += 1
    }

    /// Compares the roots with every head of the present size.
    private mutating func meetHeads() {
        let soundBefore: Int64 = self.soundUpTo
        while self.headsPassed < self.heads.count, self.heads[self.headsPassed].head.size == self.found.size {
            let (head, witness): (TreeHead, AuditFinding.Witness) = self.heads[self.headsPassed]
            self.headsPassed += 1
            if self.recorded.root == head.root {
                self.soundUpTo = head.size
            } else if self.found.root == head.root {
                // The entries are what was committed to, so it is the recorded hashes that are wrong.
                if self.firstBad?.defect == .altered { self.firstBad?.defect = .hashAltered }
                self.soundUpTo = head.size
            } else if self.fork == nil, !self.isExplainedByLoss {
                self.fork = .fork(size: head.size, between: soundBefore..<max(head.size, soundBefore + 1), by: witness)
            }
        }
    }

    /// Whether an entry is lost: then nothing is known of its hash, and other roots follow from that alone.
    private var isExplainedByLoss: Bool { self.firstBad?.defect == .missing || self.firstBad?.defect == .unreadable }

    private func shortenedTail() -> AuditFinding? {
        var worst: AuditFinding?
        for (head, witness) in self.heads[self.headsPassed...] where head.size > self.found.size {
            worst = .shortenedTail(entries: self.found.size, promised: head.size, by: witness)
        }
        return worst
    }
}
