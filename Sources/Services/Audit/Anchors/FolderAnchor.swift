import Files

/// A folder on other media, each checkpoint in a file of its own: `SIZE.checkpoint`, with 16 digits.
///
/// It is not made: a medium that is not mounted must be noticed.
package struct FolderAnchor: CheckpointAnchor {
    private static let suffix: String = ".checkpoint"
    private static let digits: Int = 16

    private let folder: String

    package init(_ folder: String) { self.folder = folder }

    package var name: String { "folder \(self.folder)" }
    package let canBeAsked: Bool = true

    package func newest() async throws(AnchorError) -> [UInt8]? {
        do throws(FileError) {
            let names: [String] = try Folders.names(in: self.folder).filter { Self.isName($0) }
            guard let newest: String = names.max() else { return nil }
            return try Files.read("\(self.folder)/\(newest)", bytesMax: SignedNote.bytesMax)
        } catch {
            throw .failed("\(error)")
        }
    }

    package func keep(_ note: String, size: Int64) async throws(AnchorError) {
        let digits: String = String(size)
        let zeroes: String = String(repeating: "0", count: max(0, Self.digits - digits.utf8.count))
        do throws(FileError) {
            try Files.replace("\(self.folder)/\(zeroes)\(digits)\(Self.suffix)", with: Array(note.utf8), mode: 0o644)
        } catch {
            throw .failed("\(error)")
        }
    }

    private static func isName(_ name: String) -> Bool {
        name.hasSuffix(Self.suffix) && name.utf8.count == Self.digits + Self.suffix.utf8.count
            && name.utf8.prefix(Self.digits).allSatisfy { (48...57).contains($0) }
    }
}
