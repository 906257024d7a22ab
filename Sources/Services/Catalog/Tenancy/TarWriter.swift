import Time

/// Writes a tar archive (POSIX.1-1988, "ustar") into memory, a file at a time.
///
/// ```
/// header (512): name (100) mode (8) uid (8) gid (8) size (12) mtime (12) checksum (8) type (1) link (100)
///               "ustar\0" "00" owner (32) group (32) major (8) minor (8) prefix (155) zeros (12); numbers are octal text
/// content, and zeros up to a multiple of 512
/// two blocks of zeros end the archive
/// ```
struct TarWriter {
    static let blockBytes: Int = 512
    static let nameBytesMax: Int = 100
    static let prefixBytesMax: Int = 155
    /// Largest file the size field holds.
    static let fileBytesMax: Int = 1 << 33 - 1

    private(set) var bytes: [UInt8] = []
    /// The folder that everything is in.
    private let folder: String
    private let time: Timestamp

    init(folder: String, time: Timestamp) {
        precondition(folder.utf8.count <= Self.prefixBytesMax, "the folder's name does not fit")
        self.folder = folder
        self.time = time
    }

    /// - Precondition: the name has at most `nameBytesMax` bytes, the content at most `fileBytesMax`.
    mutating func add(_ name: String, _ content: [UInt8]) {
        precondition(
            name.utf8.count <= Self.nameBytesMax && content.count <= Self.fileBytesMax, "does not fit: \(name)")
        var header: [UInt8] = []
        header.reserveCapacity(Self.blockBytes)
        Self.append(name, 100, to: &header)
        Self.append("0000600", 8, to: &header)
        for _ in 0..<2 { Self.append("0000000", 8, to: &header) }
        Self.append(Self.octal(Int64(content.count)), 12, to: &header)
        Self.append(Self.octal(self.time.milliseconds / 1_000), 12, to: &header)
        header.append(contentsOf: [UInt8](repeating: UInt8(ascii: " "), count: 8))
        Self.append("0", 1, to: &header)
        Self.append("", 100, to: &header)
        Self.append("ustar", 6, to: &header)
        Self.append("00", 2, to: &header)
        for _ in 0..<2 { Self.append("", 32, to: &header) }
        for _ in 0..<2 { Self.append("0000000", 8, to: &header) }
        Self.append(self.folder, 155, to: &header)
        Self.append("", 12, to: &header)
        var sum: Int64 = 0
        for byte in header { sum += Int64(byte) }
        let checksum: String = String(Self.octal(sum).suffix(6))
        header.replaceSubrange(148..<156, with: Array(checksum.utf8) + [0, UInt8(ascii: " ")])
        self.bytes += header
        self.bytes += content
        let rest: Int = content.count % Self.blockBytes
        if rest > 0 { self.bytes += [UInt8](repeating: 0, count: Self.blockBytes - rest) }
    }

    /// Ends the archive.
    mutating func end() { self.bytes += [UInt8](repeating: 0, count: 2 * Self.blockBytes) }

    /// Eleven digits.
    private static func octal(_ number: Int64) -> String {
        let digits: String = String(max(0, number), radix: 8)
        return String(repeating: "0", count: max(0, 11 - digits.utf8.count)) + digits
    }

    private static func append(_ text: String, _ count: Int, to header: inout [UInt8]) {
        let bytes: [UInt8] = Array(text.utf8.prefix(count))
        header += bytes
        header += [UInt8](repeating: 0, count: count - bytes.count)
    }
}
