/// Checks proofs with nothing but the roots: what somebody does who does not trust the log.
extension MerkleTree {
    /// Whether `proof` shows that `leafHash` is leaf number `leaf` of the tree with `size` leaves and `root` (RFC 9162, 2.1.3.2).
    package static func verifiesInclusion(
        of leafHash: TreeHash, leaf: Int64, size: Int64, root: TreeHash, proof: [TreeHash]
    ) -> Bool {
        guard leaf >= 0, leaf < size else { return false }
        var walk: ProofWalk = ProofWalk(node: leaf, last: size - 1)
        var hash: TreeHash = leafHash
        for sibling in proof {
            guard let side: ProofWalk.Side = walk.next() else { return false }
            switch side {
            case .left: hash = TreeHash(left: sibling, right: hash)
            case .right: hash = TreeHash(left: hash, right: sibling)
            }
        }
        return walk.isAtRoot && hash == root
    }

    /// Whether `proof` shows that the tree of size `from` is a beginning of the tree of size `to` (RFC 9162, 2.1.4.2).
    package static func verifiesConsistency(
        from: Int64, root fromRoot: TreeHash, to: Int64, root toRoot: TreeHash, proof: [TreeHash]
    ) -> Bool {
        guard from >= 0, from <= to else { return false }
        if from == 0 { return proof.isEmpty && fromRoot == TreeHash.ofEmptyTree }
        if from == to { return proof.isEmpty && fromRoot == toRoot }
        var path: ArraySlice<TreeHash> = proof[...]
        // A tree of 2^n leaves is a complete subtree of the larger one: its root is the first hash, and was left out.
        let isComplete: Bool = from & (from - 1) == 0
        guard let first: TreeHash = isComplete ? fromRoot : path.popFirst() else { return false }
        var walk: ProofWalk = ProofWalk(node: from - 1, last: to - 1)
        walk.skipRightEdges()
        var older: TreeHash = first
        var newer: TreeHash = first
        for sibling in path {
            guard let side: ProofWalk.Side = walk.next() else { return false }
            switch side {
            case .left:
                older = TreeHash(left: sibling, right: older)
                newer = TreeHash(left: sibling, right: newer)
            case .right:
                newer = TreeHash(left: newer, right: sibling)
            }
        }
        return walk.isAtRoot && older == fromRoot && newer == toRoot
    }
}

/// The way from a node up to the root of a tree whose last node on that level is `last`.
private struct ProofWalk {
    /// Where the sibling stands.
    enum Side { case left, right }

    var node: Int64
    var last: Int64

    var isAtRoot: Bool { self.last == 0 }

    /// One level up past a sibling, or several where the node has none; nil above the root.
    mutating func next() -> Side? {
        guard self.last != 0 else { return nil }
        var side: Side = .right
        if self.node & 1 == 1 || self.node == self.last {
            side = .left
            // The last node of a level without a sibling is its own parent.
            while self.node & 1 == 0, self.node != 0 { self.rise() }
        }
        self.rise()
        return side
    }

    /// Rises while the node is a right child: to the largest complete subtree that ends with it.
    mutating func skipRightEdges() {
        while self.node & 1 == 1 { self.rise() }
    }

    private mutating func rise() {
        self.node >>= 1
        self.last >>= 1
    }
}
