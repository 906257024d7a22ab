import Bytes

/// A text with signatures below it, in C2SP's signed-note form:
/// ```
/// the text, one or more lines
///
/// — key.name base64(key ID, 4 bytes big endian || signature)
/// ```
/// The text ends with its newline and is what is signed. Nothing of it means anything before a signature of a known key verified.
package struct SignedNote: Sendable, Equatable {
    /// Longest note that is read, bytes.
    package static let bytesMax: Int = 64 * 1024
    /// Most signature lines that are read; the specification asks for at least 16.
    package static let signaturesMax: Int = 64

    /// One signature line: whose it claims to be, and the bytes.
    package struct Signature: Sendable, Equatable {
        package let name: String
        package let keyID: UInt32
        package let bytes: [UInt8]

        package init(name: String, keyID: UInt32, bytes: [UInt8]) {
            self.name = name
            self.keyID = keyID
            self.bytes = bytes
        }
    }

    /// The signed text, with the newline at its end.
    package let text: String
    package private(set) var signatures: [Signature]

    /// - Precondition: `text` is one that can be signed: see `SignedNote.isText`.
    package init(text: String, signatures: [Signature]) {
        precondition(Self.isText(text), "a note's text ends with a newline and has no control characters")
        self.text = text
        self.signatures = signatures
    }

    /// Reads a note; no signature is verified here.
    package init(parsing bytes: [UInt8]) throws(NoteError) {
        guard bytes.count <= Self.bytesMax else { throw .malformed("longer than \(Self.bytesMax) bytes") }
        guard let whole: String = String(validating: bytes, as: UTF8.self) else { throw .malformed("not UTF-8") }
        guard Self.isText(whole) else {
            throw .malformed("expected lines without control characters, and a newline at the end")
        }
        // The last blank line parts the text from the signatures: the text may hold blank lines too.
        guard let blank: Int = Self.lastBlankLine(bytes) else {
            throw .malformed("expected a blank line before the signatures")
        }
        self.text = String(decoding: bytes[..<(blank + 1)], as: UTF8.self)
        self.signatures = []
        let lines: [ArraySlice<UInt8>] = bytes[(blank + 2)...].dropLast().split(
            separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        guard lines.count <= Self.signaturesMax else { throw .malformed("more than \(Self.signaturesMax) signatures") }
        for line in lines { self.signatures.append(try Self.signature(line)) }
    }

    /// The whole note as it is published.
    package var noteText: String {
        var lines: String = self.text + "\n"
        for signature in self.signatures {
            var writer: ByteWriter = ByteWriter()
            writer.appendUInt32(signature.keyID)
            writer.append(signature.bytes)
            lines += "— \(signature.name) \(Base64.encode(writer.bytes))\n"
        }
        return lines
    }

    /// Verifies against the keys that are trusted and returns the text.
    ///
    /// Signatures of other keys are ignored; one of a trusted key that does not verify refuses the whole note; and at least one
    /// must verify.
    package func verifiedText(trusting keys: [NoteVerifier]) throws(NoteError) -> String {
        var verified: Bool = false
        for signature in self.signatures {
            for key in keys where key.name == signature.name && key.keyID == signature.keyID {
                guard key.isValid(signature: signature.bytes, over: self.text) else {
                    throw .invalidSignature(key: key.name)
                }
                verified = true
            }
        }
        guard verified else { throw .unknownSigners(self.signatures.map(\.name)) }
        return self.text
    }

    /// Whether `text` can be a note's text: not empty, a newline at the end, no control character but newlines.
    package static func isText(_ text: String) -> Bool {
        guard text.utf8.last == UInt8(ascii: "\n") else { return false }
        for byte in text.utf8 where byte < 0x20 && byte != UInt8(ascii: "\n") { return false }
        return true
    }

    /// Where the newline stands that ends the text, just before the last blank line.
    private static func lastBlankLine(_ bytes: [UInt8]) -> Int? {
        let newline: UInt8 = UInt8(ascii: "\n")
        for index in stride(from: bytes.count - 2, through: 1, by: -1)
        where bytes[index] == newline && bytes[index - 1] == newline {
            return index - 1
        }
        return nil
    }

    private static func signature(_ line: ArraySlice<UInt8>) throws(NoteError) -> Signature {
        let words: [Substring] = String(decoding: line, as: UTF8.self).split(
            separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3, words[0] == "—" else {
            throw .malformed("expected '— name signature' in each line below the text")
        }
        guard NoteVerifier.isName(String(words[1])) else { throw .malformed("'\(words[1])' is no name of a key") }
        guard let bytes: [UInt8] = Base64.decode(String(words[2])), bytes.count > 4 else {
            throw .malformed("expected base64 of a key ID and a signature after '\(words[1])'")
        }
        var reader: ByteReader = ByteReader(bytes)
        guard let keyID: UInt32 = try? reader.readUInt32() else { throw .malformed("a signature without key ID") }
        return Signature(name: String(words[1]), keyID: keyID, bytes: Array(bytes[4...]))
    }
}

/// Why a note or a key is refused.
package enum NoteError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The bytes are no note, no checkpoint or no key; the text says what was expected.
    case malformed(String)
    /// A signature of a trusted key does not fit the text.
    case invalidSignature(key: String)
    /// None of the signatures is of a trusted key.
    case unknownSigners([String])

    package var description: String {
        switch self {
        case .malformed(let what): "malformed: \(what)"
        case .invalidSignature(let key): "the signature of '\(key)' does not fit the text"
        case .unknownSigners(let names): "signed only by keys that are not trusted: \(names.joined(separator: ", "))"
        }
    }
}
