import Bytes
import Crypto

/// The hash that names the state of a document, kept up entry by entry.
///
/// Format 1: every entry has a name, `kind tenant/id`, and a hash, SHA-256 of its canonical JSON (RFC 8785). An entry belongs to
/// the bucket that the first byte of SHA-256 of its name says. A bucket's hash is SHA-256 over its entries in order of name: the
/// name's UTF-8, one zero byte, the 32 bytes of the entry's hash; an empty bucket's is 32 zero bytes. The document's hash is
/// SHA-256 over "passerelle document 1" and the 256 bucket hashes, written as 64 hexadecimal digits.
///
/// So the order of entries does not matter, and a change costs its entry, its bucket and eight kilobytes. The entries' texts are
/// kept here as well: a copy of a document shares all buckets that do not change.
struct DocumentDigest: Sendable {
    private struct Entry: Sendable {
        let name: String
        let form: EntryForm
    }

    private static let bucketCount: Int = 256

    private var buckets: [[Entry]] = [[Entry]](repeating: [], count: DocumentDigest.bucketCount)
    private var hashes: [[UInt8]] = [[UInt8]](
        repeating: [UInt8](repeating: 0, count: SHA256.length), count: DocumentDigest.bucketCount)

    /// Sets or, with nil, removes an entry.
    mutating func set(_ kind: EntryKind, _ key: EntryKey, _ form: EntryForm?) {
        let name: String = "\(kind.rawValue) \(key.text)"
        let bucket: Int = Int(SHA256.hash(name)[0])
        let place: Int = Self.place(of: name, in: self.buckets[bucket])
        let isThere: Bool = place < self.buckets[bucket].count && self.buckets[bucket][place].name == name
        if isThere { self.buckets[bucket].remove(at: place) }
        if let form { self.buckets[bucket].insert(Entry(name: name, form: form), at: place) }
        self.hashes[bucket] = Self.hash(self.buckets[bucket])
    }

    /// An entry that is there.
    func form(_ kind: EntryKind, _ key: EntryKey) -> EntryForm? {
        let name: String = "\(kind.rawValue) \(key.text)"
        let bucket: [Entry] = self.buckets[Int(SHA256.hash(name)[0])]
        let place: Int = Self.place(of: name, in: bucket)
        return place < bucket.count && bucket[place].name == name ? bucket[place].form : nil
    }

    /// 64 hexadecimal digits.
    var text: String {
        var context: SHA256Context = SHA256Context()
        context.update(Array("passerelle document 1".utf8))
        for hash in self.hashes { context.update(hash) }
        return Hex.encode(context.finish())
    }

    private static func hash(_ bucket: [Entry]) -> [UInt8] {
        if bucket.isEmpty { return [UInt8](repeating: 0, count: SHA256.length) }
        var context: SHA256Context = SHA256Context()
        for entry in bucket {
            context.update(Array(entry.name.utf8))
            context.update([0])
            context.update(entry.form.hash)
        }
        return context.finish()
    }

    /// Names are ASCII, so the order of strings is the order of bytes.
    private static func place(of name: String, in bucket: [Entry]) -> Int {
        var low: Int = 0
        var high: Int = bucket.count
        while low < high {
            let middle: Int = (low + high) / 2
            if bucket[middle].name < name { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// The kinds of entries of a document, by their names in JSON.
package enum EntryKind: String, Sendable, CaseIterable {
    case api = "apis"
    case application = "applications"
    case plan = "plans"
    case tenant = "tenants"
}
