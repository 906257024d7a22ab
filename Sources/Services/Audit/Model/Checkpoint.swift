import Bytes

/// The head of a tree: how many leaves, and the root over them.
package struct TreeHead: Sendable, Hashable {
    package let size: Int64
    package let root: TreeHash

    package init(size: Int64, root: TreeHash) {
        self.size = size
        self.root = root
    }
}

/// The text of a C2SP tlog-checkpoint: which log, how many entries, the root over them, and lines nobody here understands.
///
/// Three lines: the origin, the size in decimal, the root in base64. Signed as a note it commits the log to all entries so far.
package struct Checkpoint: Sendable, Equatable {
    package let origin: String
    package let head: TreeHead
    /// Extension lines, kept as they came; we write none.
    package let extensions: [String]

    package init(origin: String, head: TreeHead, extensions: [String] = []) {
        precondition(NoteVerifier.isName(origin), "an origin has no spaces and no plus")
        self.origin = origin
        self.head = head
        self.extensions = extensions
    }

    /// Reads the text of a note.
    package init(parsing text: String) throws(NoteError) {
        let lines: [Substring] = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count >= 4, lines.last == "" else { throw .malformed("expected three lines: origin, size, root") }
        guard !lines[0].isEmpty else { throw .malformed("expected the origin in the first line") }
        guard let size: Int64 = Self.size(lines[1]) else {
            throw .malformed("expected the number of entries, without leading zeroes, in the second line")
        }
        guard let bytes: [UInt8] = Base64.decode(String(lines[2])), let root: TreeHash = TreeHash(bytes) else {
            throw .malformed("expected base64 of a root of 32 bytes in the third line")
        }
        let extensions: [Substring] = Array(lines[3..<(lines.count - 1)])
        guard !extensions.contains("") else { throw .malformed("an extension line is empty") }
        self.origin = String(lines[0])
        self.head = TreeHead(size: size, root: root)
        self.extensions = extensions.map { (line: Substring) -> String in String(line) }
    }

    /// Reads a published checkpoint and verifies that one of `keys` signed it.
    package init(verifying note: [UInt8], trusting keys: [NoteVerifier]) throws(NoteError) {
        try self.init(parsing: try SignedNote(parsing: note).verifiedText(trusting: keys))
    }

    /// The text that is signed.
    package var text: String {
        var text: String = "\(self.origin)\n\(self.head.size)\n\(Base64.encode(self.head.root.bytes))\n"
        for line in self.extensions { text += line + "\n" }
        return text
    }

    private static func size(_ line: Substring) -> Int64? {
        guard !line.isEmpty, line.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        guard line.utf8.count == 1 || line.utf8.first != 48 else { return nil }
        return Int64(line)
    }
}
