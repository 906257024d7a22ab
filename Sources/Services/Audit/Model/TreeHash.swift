import Crypto

/// A node of the audit tree: a SHA-256 value.
package struct TreeHash: Sendable, Hashable {
    /// Bytes of every hash of the tree.
    package static let length: Int = 32

    package let bytes: [UInt8]

    /// - Returns: nil unless there are exactly 32 bytes.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.length else { return nil }
        self.bytes = bytes
    }

    /// The hash of a leaf: SHA-256 over 0x00 and the entry's bytes (RFC 9162, 2.1.1).
    package init(leaf entry: [UInt8]) {
        var input: [UInt8] = [0x00]
        input.reserveCapacity(entry.count + 1)
        input.append(contentsOf: entry)
        self.bytes = SHA256.hash(input)
    }

    /// The hash of an inner node: SHA-256 over 0x01, the left and the right child (RFC 9162, 2.1.1).
    package init(left: TreeHash, right: TreeHash) {
        var input: [UInt8] = [0x01]
        input.reserveCapacity(1 + 2 * Self.length)
        input.append(contentsOf: left.bytes)
        input.append(contentsOf: right.bytes)
        self.bytes = SHA256.hash(input)
    }

    /// The root of a tree without leaves: SHA-256 of nothing.
    package static let ofEmptyTree: TreeHash = TreeHash(digest: SHA256.hash([]))

    private init(digest: [UInt8]) { self.bytes = digest }
}
