import Bytes
package import Crypto

/// The public half of an Ed25519 key that signs notes: its name, its key ID and the key (C2SP signed-note).
package struct NoteVerifier: Sendable, Equatable {
    /// The signature type byte of Ed25519 in key IDs and in the text form.
    static let typeEd25519: UInt8 = 0x01

    package let name: String
    /// The first four bytes of SHA-256 over name, newline, type and key.
    package let keyID: UInt32
    /// The key, 32 bytes (RFC 8032).
    package let publicKey: [UInt8]

    /// - Returns: nil unless the name is one a note can carry and the key has 32 bytes.
    package init?(name: String, publicKey: [UInt8]) {
        guard Self.isName(name), publicKey.count == 32 else { return nil }
        self.name = name
        self.publicKey = publicKey
        let digest: [UInt8] = SHA256.hash(Array(name.utf8) + [UInt8(ascii: "\n"), Self.typeEd25519] + publicKey)
        self.keyID = digest[..<4].reduce(0) { (sum: UInt32, byte: UInt8) -> UInt32 in sum << 8 | UInt32(byte) }
    }

    /// Reads `name+keyid+base64(type || key)`, the form in which such keys are passed on.
    package init(parsing text: String) throws(NoteError) {
        // Base64 may hold plus signs, names may not: only the first two part.
        let words: [Substring] = text.split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count == 3, words[1].utf8.count == 8, let stated: UInt32 = UInt32(words[1], radix: 16) else {
            throw .malformed("expected NAME+KEYID+KEY")
        }
        guard let bytes: [UInt8] = Base64.decode(String(words[2])), bytes.first == Self.typeEd25519,
            let key: NoteVerifier = NoteVerifier(name: String(words[0]), publicKey: Array(bytes.dropFirst()))
        else { throw .malformed("expected base64 of 0x01 and the 32 bytes of an Ed25519 key") }
        guard key.keyID == stated else { throw .malformed("the key ID does not belong to the name and the key") }
        self = key
    }

    package var text: String {
        "\(self.name)+\(self.keyIDText)+\(Base64.encode([Self.typeEd25519] + self.publicKey))"
    }

    /// The key ID as eight hexadecimal digits.
    package var keyIDText: String {
        let digits: String = String(self.keyID, radix: 16)
        return String(repeating: "0", count: 8 - digits.utf8.count) + digits
    }

    package func isValid(signature: [UInt8], over text: String) -> Bool {
        guard let key: PublicKey = try? PublicKey(ed25519: self.publicKey) else { return false }
        return key.isValid(signature, for: Array(text.utf8), scheme: .ed25519)
    }

    /// Whether a key may be called that: not empty, no Unicode space, no control character, no plus.
    package static func isName(_ name: String) -> Bool {
        if name.isEmpty { return false }
        for scalar in name.unicodeScalars {
            if scalar == "+" || scalar.value < 0x20 || scalar.properties.isWhitespace { return false }
        }
        return true
    }
}

/// An Ed25519 key that signs notes.
package struct NoteSigner: Sendable {
    package let verifier: NoteVerifier
    private let key: PrivateKey

    /// - Throws: unless the key is an Ed25519 key and the name is one a note can carry.
    package init(name: String, key: PrivateKey) throws {
        guard let publicKey: [UInt8] = try key.publicKey().ed25519Bytes,
            let verifier: NoteVerifier = NoteVerifier(name: name, publicKey: publicKey)
        else { throw NoteError.malformed("expected an Ed25519 key and a name without spaces and plus") }
        self.verifier = verifier
        self.key = key
    }

    /// Signs `text`, which ends with a newline.
    package func sign(_ text: String) throws -> SignedNote {
        let bytes: [UInt8] = try self.key.sign(Array(text.utf8), scheme: .ed25519)
        let signature: SignedNote.Signature = SignedNote.Signature(
            name: self.verifier.name, keyID: self.verifier.keyID, bytes: bytes)
        return SignedNote(text: text, signatures: [signature])
    }
}
