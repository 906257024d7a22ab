import Bytes
import Contracts
import EventLog
import Glibc
import Identifiers
import JSON
import Store

/// The entry that says which entries retention removed: what tells a purge from a theft.
///
/// It is written in the transaction that removes them, and is a leaf itself. The hashes of what it names stay in the tree, so every
/// proof of them stays possible.
struct Tombstone: Sendable, Equatable {
    static let eventType: String = "audit.purged"
    private static let author: String = "audit"

    /// The entries that went.
    let leaves: Range<Int64>
    /// The root of the tree that ends with them; nil where none is stated.
    let root: TreeHash?

    /// Reads it from an entry's bytes; nil for every other entry. Cost of another: one search for a word.
    init?(entry: [UInt8]) {
        guard Self.mayBe(entry), let value: JSONValue = try? JSONReader.parse(entry),
            value["event_type"]?.text == Self.eventType, value["actor"]?["user_id"]?.text == Self.author,
            value["tenant"]?.text == "", let first: Int64 = value["changes"]?["first"]?.integer,
            let end: Int64 = value["changes"]?["end"]?.integer, first >= 0, first < end
        else { return nil }
        self.leaves = first..<end
        self.root = value["changes"]?["root"]?.text.flatMap { Base64.decode($0) }.flatMap { TreeHash($0) }
    }

    private static func mayBe(_ entry: [UInt8]) -> Bool {
        let word: [UInt8] = Array(Self.eventType.utf8)
        return entry.withUnsafeBytes { (bytes: UnsafeRawBufferPointer) -> Bool in
            guard var place: UnsafeRawPointer = bytes.baseAddress else { return false }
            let end: UnsafeRawPointer = place + bytes.count
            while end - place >= word.count, let found = memchr(place, Int32(word[0]), end - place - word.count + 1) {
                if memcmp(found, word, word.count) == 0 { return true }
                place = UnsafeRawPointer(found) + 1
            }
            return false
        }
    }

    /// Writes the tombstone of entries that are being removed. - Returns: false when the tree does not hold them all yet: then they stay.
    static func write(_ leaves: Range<Int64>, in transaction: Transaction) throws -> Bool {
        guard try TreeTables.head(in: transaction).size >= leaves.upperBound else { return false }
        let root: TreeHash = try MerkleTree.root(size: leaves.upperBound, from: TreeTables.tree(in: transaction))
        try Author(caller: .platform(Self.author), trace: TraceContext.make()).audit(
            Self.eventType, tenant: "", resource: AuditEntry.Resource(type: "audit-log", id: "entries"),
            changes: [
                "first": .int(leaves.lowerBound), "end": .int(leaves.upperBound),
                "root": .string(Base64.encode(root.bytes)),
            ], in: transaction)
        return true
    }
}
