/// Why a root or a proof cannot be made.
package enum TreeError: Error, Sendable, Equatable {
    /// The leaf is not in a tree of that size.
    case noSuchLeaf(leaf: Int64, size: Int64)
    /// The tree has not been of that size yet, or the smaller size is larger than the other.
    case noSuchSize(size: Int64, available: Int64)
    /// A stored hash the tree needs is not there or damaged.
    case missingNode(level: Int, index: Int64)
}

/// Where the hashes of complete subtrees come from.
package protocol SubtreeSource {
    /// The hash over the leaves `index << level` up to `(index + 1) << level`, all of which exist.
    func subtree(level: Int, index: Int64) throws -> TreeHash
}

/// Roots and proofs of the audit tree, exactly as RFC 9162, 2.1 defines them, from the hashes of complete subtrees.
///
/// Pure; cost of each is O(log² size) subtrees at most, in practice some dozens.
package enum MerkleTree {
    /// The root of the tree over the first `size` leaves (RFC 9162, 2.1.1).
    package static func root(size: Int64, from source: some SubtreeSource) throws -> TreeHash {
        guard size >= 0 else { throw TreeError.noSuchSize(size: size, available: Int64.max) }
        if size == 0 { return TreeHash.ofEmptyTree }
        return try self.hash(start: 0, count: size, from: source)
    }

    /// The sibling hashes from leaf to root that prove the leaf to be in the tree of `size` leaves (RFC 9162, 2.1.3.1).
    package static func inclusionProof(leaf: Int64, size: Int64, from source: some SubtreeSource) throws -> [TreeHash] {
        guard leaf >= 0, leaf < size else { throw TreeError.noSuchLeaf(leaf: leaf, size: size) }
        var proof: [TreeHash] = []
        var start: Int64 = 0
        var count: Int64 = size
        while count > 1 {
            let half: Int64 = self.split(count)
            if leaf - start < half {
                proof.append(try self.hash(start: start + half, count: count - half, from: source))
                count = half
            } else {
                proof.append(try self.hash(start: start, count: half, from: source))
                start += half
                count -= half
            }
        }
        return proof.reversed()
    }

    /// The hashes that prove the tree of `from` leaves to be a beginning of that of `to` leaves (RFC 9162, 2.1.4.1).
    ///
    /// Empty when the sizes are equal or `from` is 0: there is nothing to show.
    package static func consistencyProof(from: Int64, to: Int64, from source: some SubtreeSource) throws -> [TreeHash] {
        guard from >= 0, from <= to else { throw TreeError.noSuchSize(size: from, available: to) }
        if from == 0 || from == to { return [] }
        var proof: [TreeHash] = []
        var start: Int64 = 0
        var count: Int64 = to
        /// Whether the subtree looked at begins at leaf 0: then the verifier knows its root and need not be told.
        var isKnown: Bool = true
        while from - start != count {
            let half: Int64 = self.split(count)
            if from - start <= half {
                proof.append(try self.hash(start: start + half, count: count - half, from: source))
                count = half
            } else {
                proof.append(try self.hash(start: start, count: half, from: source))
                start += half
                count -= half
                isKnown = false
            }
        }
        if !isKnown { proof.append(try self.hash(start: start, count: count, from: source)) }
        return proof.reversed()
    }

    /// The hash over `count` leaves from `start`, which is a multiple of the largest power of two that is not above `count`.
    private static func hash(start: Int64, count: Int64, from source: some SubtreeSource) throws -> TreeHash {
        // The complete subtrees from left to right have falling sizes: the bits of `count`.
        var parts: [TreeHash] = []
        var at: Int64 = start
        for level in stride(from: 62, through: 0, by: -1) where count & (1 << Int64(level)) != 0 {
            parts.append(try source.subtree(level: level, index: at >> Int64(level)))
            at += 1 << Int64(level)
        }
        return Self.fold(parts)
    }

    /// Joins complete subtrees of falling sizes, the smallest first.
    static func fold(_ parts: [TreeHash]) -> TreeHash {
        guard var hash: TreeHash = parts.last else { return TreeHash.ofEmptyTree }
        for part in parts.dropLast().reversed() { hash = TreeHash(left: part, right: hash) }
        return hash
    }

    /// The largest power of two below `count`, which is at least 2.
    private static func split(_ count: Int64) -> Int64 {
        1 << Int64(63 - (count - 1).leadingZeroBitCount)
    }
}
