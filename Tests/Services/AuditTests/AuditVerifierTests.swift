import Testing

@testable import Audit

/// A log of 20 entries, its tree, and the ways to spoil them.
@Suite struct AuditVerifierTests {
    private let entries: [[UInt8]] = makeEntries(20)

    private func head(_ entries: [[UInt8]], _ size: Int) -> TreeHead {
        var frontier: TreeFrontier = TreeFrontier()
        for entry in entries[..<size] { frontier.append(TreeHash(leaf: entry)) }
        return TreeHead(size: Int64(size), root: frontier.root)
    }

    private func leaves(_ entries: [[UInt8]], hashes: [[UInt8]]? = nil) -> [AuditVerifier.Leaf] {
        zip(entries, hashes ?? entries).map { (entry: [UInt8], hashed: [UInt8]) -> AuditVerifier.Leaf in
            AuditVerifier.Leaf(content: .bytes(entry), recordedHash: TreeHash(leaf: hashed))
        }
    }

    private func verify(
        _ leaves: [AuditVerifier.Leaf], checkpoint: TreeHead? = nil, recorded: [TreeHead] = []
    ) -> AuditVerdict {
        var verifier: AuditVerifier = AuditVerifier(checkpoint: checkpoint, recorded: recorded)
        for leaf in leaves { verifier.add(leaf) }
        return verifier.verdict()
    }

    @Test func aSoundLogIsSound() {
        let verdict: AuditVerdict = self.verify(
            self.leaves(self.entries), checkpoint: self.head(self.entries, 20),
            recorded: [self.head(self.entries, 20), self.head(self.entries, 7), self.head(self.entries, 0)])
        #expect(verdict.isSound && verdict.isTailJudged && verdict.head == self.head(self.entries, 20))
        #expect(verdict.lines == ["sound: 20 entries verified"])
    }

    @Test func withoutACheckpointItSaysThatTheTailCannotBeJudged() {
        let verdict: AuditVerdict = self.verify(self.leaves(self.entries), recorded: [self.head(self.entries, 20)])
        #expect(verdict.isSound && !verdict.isTailJudged)
        #expect(verdict.lines.last?.hasPrefix("the tail cannot be judged without a checkpoint") == true)
    }

    @Test func entriesNewerThanTheCheckpointAreFine() {
        let verdict: AuditVerdict = self.verify(
            self.leaves(self.entries), checkpoint: self.head(self.entries, 13), recorded: [self.head(self.entries, 18)])
        #expect(verdict.isSound)
    }

    @Test(arguments: 0..<20) func anAlteredEntryIsNamed(index: Int) {
        var altered: [[UInt8]] = self.entries
        altered[index].append(0)
        let verdict: AuditVerdict = self.verify(
            self.leaves(altered, hashes: self.entries), checkpoint: self.head(self.entries, 20),
            recorded: [self.head(self.entries, 20)])
        #expect(verdict.findings == [.badEntry(leaf: Int64(index), .altered, more: 0)])
    }

    @Test func theFirstOfSeveralBadEntriesIsNamedAndTheOthersAreCounted() {
        var altered: [[UInt8]] = self.entries
        for index in [5, 9, 12] { altered[index].append(0) }
        let verdict: AuditVerdict = self.verify(
            self.leaves(altered, hashes: self.entries), recorded: [self.head(self.entries, 20)])
        #expect(verdict.findings == [.badEntry(leaf: 5, .altered, more: 2)])
        #expect(
            verdict.lines[1].hasPrefix("entry 5 was altered") && verdict.lines[1].hasSuffix("(and 2 more after it)"))
    }

    @Test func aRemovedEntryIsNamedThoughAllLaterOnesMoved() {
        var removed: [[UInt8]] = self.entries
        removed.remove(at: 6)
        let verdict: AuditVerdict = self.verify(
            self.leaves(removed, hashes: Array(self.entries[..<19])), recorded: [self.head(self.entries, 20)])
        #expect(verdict.findings.first == .badEntry(leaf: 6, .altered, more: 12))
        #expect(verdict.findings.last == .shortenedTail(entries: 19, promised: 20, by: .recorded))
    }

    @Test func aGapIsNamed() {
        var leaves: [AuditVerifier.Leaf] = self.leaves(self.entries)
        leaves[8] = AuditVerifier.Leaf(content: .missing, recordedHash: TreeHash(leaf: self.entries[8]))
        leaves[9] = AuditVerifier.Leaf(content: .missing, recordedHash: nil)
        let verdict: AuditVerdict = self.verify(leaves, checkpoint: self.head(self.entries, 20))
        #expect(verdict.findings == [.badEntry(leaf: 8, .missing, more: 1)])
    }

    @Test func aShortenedTailIsSeenAgainstACheckpoint() {
        let kept: [[UInt8]] = Array(self.entries[..<15])
        let recorded: [TreeHead] = [self.head(kept, 15)]
        #expect(self.verify(self.leaves(kept), recorded: recorded).isSound)
        let verdict: AuditVerdict = self.verify(
            self.leaves(kept), checkpoint: self.head(self.entries, 20), recorded: recorded)
        #expect(verdict.findings == [.shortenedTail(entries: 15, promised: 20, by: .checkpoint)])
    }

    @Test func aTailShortenedWithoutTheTreeIsSeenWithoutACheckpoint() {
        let kept: [[UInt8]] = Array(self.entries[..<15])
        let verdict: AuditVerdict = self.verify(self.leaves(kept), recorded: [self.head(self.entries, 20)])
        #expect(verdict.findings == [.shortenedTail(entries: 15, promised: 20, by: .recorded)])
    }

    @Test func aWhollyRewrittenLogIsAForkAgainstACheckpoint() {
        var rewritten: [[UInt8]] = self.entries
        rewritten[9] = Array("another history".utf8)
        let recorded: [TreeHead] = [self.head(rewritten, 20), self.head(rewritten, 8), self.head(rewritten, 4)]
        #expect(self.verify(self.leaves(rewritten), recorded: recorded).isSound)
        let verdict: AuditVerdict = self.verify(
            self.leaves(rewritten), checkpoint: self.head(self.entries, 16), recorded: recorded)
        #expect(verdict.findings == [.fork(size: 16, between: 8..<16, by: .checkpoint)])
        #expect(verdict.lines[1].hasSuffix("the first different one is one of entries 8 to 15"))
    }

    @Test func aCheckpointOfAnotherLogIsAFork() {
        let other: [[UInt8]] = makeEntries(21).map { $0 + [1] }
        let verdict: AuditVerdict = self.verify(self.leaves(self.entries), checkpoint: self.head(other, 20))
        #expect(verdict.findings == [.fork(size: 20, between: 0..<20, by: .checkpoint)])
    }

    @Test func aRecordedHeadThatWasChangedIsAFork() {
        let wrong: TreeHead = TreeHead(size: 10, root: TreeHash(leaf: []))
        let verdict: AuditVerdict = self.verify(
            self.leaves(self.entries), checkpoint: self.head(self.entries, 10),
            recorded: [wrong, self.head(self.entries, 20)])
        #expect(verdict.findings == [.fork(size: 10, between: 0..<10, by: .recorded)])
    }

    @Test func aDamagedStoredHashIsToldFromADamagedEntry() {
        var hashes: [[UInt8]] = self.entries
        hashes[3].append(0)
        let verdict: AuditVerdict = self.verify(
            self.leaves(self.entries, hashes: hashes), checkpoint: self.head(self.entries, 20),
            recorded: [self.head(self.entries, 20)])
        #expect(verdict.findings == [.badEntry(leaf: 3, .hashAltered, more: 0)])
    }

    @Test func aLostHashIsNamedOnlyWithinTheTree() {
        var leaves: [AuditVerifier.Leaf] = self.leaves(self.entries)
        leaves[19] = AuditVerifier.Leaf(content: .bytes(self.entries[19]), recordedHash: nil)
        #expect(self.verify(leaves, recorded: [self.head(self.entries, 19)]).isSound)
        let verdict: AuditVerdict = self.verify(leaves, recorded: [self.head(self.entries, 20)])
        #expect(verdict.findings == [.badEntry(leaf: 19, .hashMissing, more: 0)])
    }

    private static func tombstone(
        _ leaves: Range<Int>, type: String = "audit.purged", actor: String = "audit", tenant: String = ""
    ) -> [UInt8] {
        Array(
            """
            {"actor":{"user_id":"\(actor)"},"changes":{"end":\(leaves.upperBound),"first":\(leaves.lowerBound)},\
            "event_type":"\(type)","tenant":"\(tenant)"}
            """.utf8)
    }

    /// The log with a tombstone at place 12 and the first six entries gone.
    private func purged(_ tombstone: [UInt8]) -> (entries: [[UInt8]], leaves: [AuditVerifier.Leaf]) {
        var entries: [[UInt8]] = self.entries
        entries[12] = tombstone
        var leaves: [AuditVerifier.Leaf] = self.leaves(entries)
        for index in 0..<6 {
            leaves[index] = AuditVerifier.Leaf(content: .purged, recordedHash: TreeHash(leaf: entries[index]))
        }
        return (entries, leaves)
    }

    @Test func purgedEntriesAreVerifiedByTheirHashes() {
        var (entries, leaves): ([[UInt8]], [AuditVerifier.Leaf]) = self.purged(Self.tombstone(0..<6))
        let verdict: AuditVerdict = self.verify(leaves, checkpoint: self.head(entries, 20))
        #expect(verdict.isSound && verdict.purged == 6)
        leaves[2] = AuditVerifier.Leaf(content: .purged, recordedHash: TreeHash(leaf: []))
        #expect(
            self.verify(leaves, checkpoint: self.head(entries, 20)).findings == [
                .fork(size: 20, between: 0..<20, by: .checkpoint)
            ])
    }

    @Test(
        arguments: [
            (AuditVerifierTests.tombstone(0..<4), 4), (AuditVerifierTests.tombstone(0..<6, type: "api.created"), 0),
            (AuditVerifierTests.tombstone(0..<6, actor: "usr_1"), 0),
            (AuditVerifierTests.tombstone(0..<6, tenant: "acme"), 0), (AuditVerifierTests.tombstone(6..<6), 0),
            (Array("audit.purged".utf8), 0),
        ] as [([UInt8], Int64)])
    func entriesThatNoTombstoneNamesWereTaken(tombstone: [UInt8], told: Int64) {
        let (entries, leaves): ([[UInt8]], [AuditVerifier.Leaf]) = self.purged(tombstone)
        #expect(self.verify(leaves, checkpoint: self.head(entries, 20)).findings == [.untoldPurge(told..<6)])
    }

    @Test func anEmptyLogAgainstACheckpointIsAShortenedTail() {
        #expect(self.verify([]).isSound)
        #expect(
            self.verify([], checkpoint: self.head(self.entries, 20)).findings == [
                .shortenedTail(entries: 0, promised: 20, by: .checkpoint)
            ])
        #expect(self.verify([], checkpoint: self.head(self.entries, 0)).isSound)
    }
}
