package import Files

/// The passphrase or key of a repository, as a file holds it.
package enum BackupSecret {
    /// All bytes of the file, but a line end at its end. - Throws: `FileError` when it cannot be read or is too long.
    package static func read(file: String) throws(FileError) -> [UInt8] {
        Self.trimmed(try Files.read(file, bytesMax: BackupFormat.secretBytesMax))
    }

    package static func trimmed(_ bytes: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = bytes
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        return bytes
    }
}
