/// Something that is wrong with an audit log: each case names the place as exactly as it can be known.
package enum AuditFinding: Sendable, Equatable, CustomStringConvertible {
    /// What is wrong with a single entry.
    package enum Defect: Sendable, Equatable {
        /// Its bytes are not those the tree was built from.
        case altered
        /// It is gone; later entries are there.
        case missing
        /// Something stands in its place that cannot be read.
        case unreadable
        /// The entry is what was committed to; the hash the log keeps for it is not.
        case hashAltered
        /// The hash the tree was built from is gone; the entry itself cannot be judged alone.
        case hashMissing
    }

    /// Who says how the tree has to look at a size.
    package enum Witness: Sendable, Equatable {
        /// The checkpoint that was handed to the verifier: kept outside, so the log cannot have changed it.
        case checkpoint
        /// A head the log itself recorded earlier.
        case recorded
    }

    /// The first entry that is not what was logged; `more` others follow.
    case badEntry(leaf: Int64, Defect, more: Int64)
    /// The log has only `entries` of the `promised` ones: its tail was cut off.
    case shortenedTail(entries: Int64, promised: Int64, by: Witness)
    /// The first `size` entries are not those that were committed to: history was rewritten. The first such entry is one of
    /// `between`, as narrow as the heads allow to tell.
    case fork(size: Int64, between: Range<Int64>, by: Witness)
    /// The oldest entries are gone and no later entry says that retention removed these of them: somebody else did.
    case untoldPurge(Range<Int64>)
    /// A checkpoint the log keeps is not signed by its key: somebody else wrote it. `size` is what it claims, -1 nothing readable.
    case forgedCheckpoint(size: Int64)
    /// The entry is right, and what stands beside it in the log (key, headers, time, checksum) is not what it says.
    case badRecord(leaf: Int64, more: Int64)
    /// The index by which entries are found does not have the entry as it is: lists and readable exports would not show it.
    case badIndex(leaf: Int64, more: Int64)
    /// A tile above the leaves does not follow from them, or one is there that belongs to no tree of this size: proofs would be wrong.
    case badTile(level: Int, index: Int64, more: Int64)
    /// An entry that says what retention removed does not state the root of that tree.
    case badTombstone(leaf: Int64)
    /// A key that opens what entries have of somebody is gone, and no entry says that it was erased.
    case lostKey(id: String, leaf: Int64, more: Int64)

    private static func others(_ more: Int64) -> String { more > 0 ? " (and \(more) more after it)" : "" }

    package var description: String {
        switch self {
        case .badRecord(let leaf, let more):
            return
                "what stands beside entry \(leaf) in the log (key, headers, time) was altered; the entry itself is right\(Self.others(more))"
        case .badIndex(let leaf, let more):
            return
                "the index of entries was altered at entry \(leaf): lists and readable exports would not show it as it is\(Self.others(more))"
        case .badTile(let level, let index, let more):
            return
                "tile \(level)/\(index) of the tree was altered: it does not follow from the entries\(Self.others(more))"
        case .badTombstone(let leaf):
            return "entry \(leaf), which says what retention removed, states another root than the tree has there"
        case .lostKey(let id, let leaf, let more):
            return
                "the key \(id), which opens what entry \(leaf) has of somebody, is gone, and no entry says that it was erased\(Self.others(more))"
        case .badEntry(let leaf, let defect, let more):
            let others: String = Self.others(more)
            switch defect {
            case .altered:
                return "entry \(leaf) was altered: it does not have the hash the tree was built from\(others)"
            case .missing: return "entry \(leaf) is missing\(others)"
            case .unreadable: return "entry \(leaf) cannot be read: its stored bytes are damaged\(others)"
            case .hashAltered: return "the stored hash of entry \(leaf) was altered; the entry itself is right\(others)"
            case .hashMissing: return "the hash of entry \(leaf) is missing from the tree\(others)"
            }
        case .untoldPurge(let leaves):
            return
                "entries \(leaves.lowerBound) to \(leaves.upperBound - 1) are gone, and no entry says that retention removed them"
        case .forgedCheckpoint(let size):
            return "a stored checkpoint\(size < 0 ? "" : " of \(size) entries") is not signed by the log's key"
        case .shortenedTail(let entries, let promised, let witness):
            return "the tail is shortened: \(witness) commits to \(promised) entries, \(entries) are there"
        case .fork(let size, let between, let witness):
            let place: String =
                between.count == 1
                ? "entry \(between.lowerBound)" : "one of entries \(between.lowerBound) to \(between.upperBound - 1)"
            return
                "fork: the first \(size) entries are not those \(witness) commits to; the first different one is \(place)"
        }
    }
}

extension AuditFinding.Witness: CustomStringConvertible {
    package var description: String {
        switch self {
        case .checkpoint: "the checkpoint"
        case .recorded: "a head recorded by the log"
        }
    }
}

/// What a verification came to.
package struct AuditVerdict: Sendable, Equatable {
    /// Entries read, and the root over them.
    package let head: TreeHead
    /// Entries that retention removed: their hashes stand for them.
    package let purged: Int64
    /// Entries the reader may not see: their hashes stand for them.
    package let withheld: Int64
    /// Everything that is wrong; empty is a sound log.
    package let findings: [AuditFinding]
    /// Whether a checkpoint from outside covered the log's end.
    package let isTailJudged: Bool

    package var isSound: Bool { self.findings.isEmpty }

    /// The same with what was found beside the leaves.
    func adding(_ more: [AuditFinding]) -> AuditVerdict {
        AuditVerdict(
            head: self.head, purged: self.purged, withheld: self.withheld, findings: self.findings + more,
            isTailJudged: self.isTailJudged)
    }

    /// One line for each thing worth saying, the verdict first.
    package var lines: [String] {
        var lines: [String] = [
            self.isSound ? "sound: \(self.head.size) entries verified" : "NOT sound: \(self.head.size) entries read"
        ]
        for finding in self.findings { lines.append(finding.description) }
        if self.purged > 0 {
            lines.append("\(self.purged) entries were removed by retention; their hashes are verified in their place")
        }
        if self.withheld > 0 {
            lines.append("\(self.withheld) entries belong to other tenants; only their hashes were verified")
        }
        if !self.isTailJudged {
            lines.append("the tail cannot be judged without a checkpoint: entries cut off at the end would not be seen")
        }
        return lines
    }
}
