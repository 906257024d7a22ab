/// A growing tree reduced to what its root needs: the complete subtrees at its right edge, at most 63 hashes.
///
/// For whoever reads all leaves once and wants roots on the way: constant memory, one or two hashes a leaf.
package struct TreeFrontier: Sendable {
    package private(set) var size: Int64 = 0
    /// Complete subtrees from left to right, sizes falling: one for each bit of `size`.
    private var parts: [TreeHash] = []

    package init() {}

    package mutating func append(_ leaf: TreeHash) {
        var hash: TreeHash = leaf
        // Each trailing 1 bit of the size is a subtree as large as the one in hand: they join.
        for _ in 0..<(~self.size).trailingZeroBitCount { hash = TreeHash(left: self.parts.removeLast(), right: hash) }
        self.parts.append(hash)
        self.size += 1
    }

    /// The root over all leaves so far.
    package var root: TreeHash { MerkleTree.fold(self.parts) }
}
