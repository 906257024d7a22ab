package import Crypto
package import Files

/// What a gateway's private keys are sealed with on its disk, where it has a master key: AES-256-GCM, bound to the file's name.
///
/// ```
/// file = format (1 byte: 1) + nonce (12) + ciphertext + tag (16); in clear it is PEM, which begins with '-'
/// ```
/// Any thread may call; files are read and written whole, and block.
package struct FolderKey: Sendable {
    private static let format: UInt8 = 1

    private let key: SecretBytes

    package init(_ key: SecretBytes) { self.key = key }

    /// What is in a file. One from before there was a key is sealed by the way.
    ///
    /// - Returns: nil when it was sealed with another key: whatever it was, it is lost.
    /// - Throws: `FileError`, also when it is sealed and there is no key.
    package static func read(_ path: String, bytesMax: Int, with key: FolderKey?) throws(FileError) -> [UInt8]? {
        let bytes: [UInt8] = try Files.read(path, bytesMax: bytesMax)
        guard bytes.first == Self.format else {
            if key != nil { try Self.write(bytes, to: path, with: key) }
            return bytes
        }
        guard let key: FolderKey else {
            throw FileError(path: path, refusal: "is sealed: keys.url has to name the master key of this gateway")
        }
        let sealed: [UInt8] = Array(bytes.dropFirst())
        return try? key.key.reveal { try AESGCM.open(sealed, key: $0, associatedData: Self.name(path)) }
    }

    /// Replaces a file, mode 0600; in clear where there is no key.
    package static func write(_ bytes: [UInt8], to path: String, with key: FolderKey?) throws(FileError) {
        guard let key: FolderKey else { return try Files.replace(path, with: bytes, mode: 0o600) }
        guard
            let sealed: [UInt8] = try? key.key.reveal({
                try AESGCM.seal(bytes, key: $0, associatedData: Self.name(path))
            })
        else { throw FileError(path: path, refusal: "could not be sealed") }
        try Files.replace(path, with: [Self.format] + sealed, mode: 0o600)
    }

    private static func name(_ path: String) -> [UInt8] { Array((path.split(separator: "/").last ?? "").utf8) }
}
