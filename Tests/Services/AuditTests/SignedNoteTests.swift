import Bytes
import Crypto
import Testing

@testable import Audit

@Suite struct SignedNoteTests {
    /// A key and a note known from the Go checksum database's documentation, where the format comes from.
    static let knownKey: String = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    static let knownSeed: String = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
    static let knownText: String = """
        If you think cryptography is the answer to your problem,
        then you don't know what your problem is.

        """
    static let knownNote: String =
        knownText
        + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"

    private func signer(_ name: String = "log.example/audit") throws -> NoteSigner {
        try NoteSigner(name: name, key: PrivateKey.generate(.ed25519))
    }

    @Test func verifiesTheKnownNoteWithTheKnownKey() throws {
        let key: NoteVerifier = try NoteVerifier(parsing: Self.knownKey)
        #expect(key.name == "PeterNeumann" && key.keyIDText == "c74f20a3" && key.text == Self.knownKey)
        let note: SignedNote = try SignedNote(parsing: Array(Self.knownNote.utf8))
        #expect(try note.verifiedText(trusting: [key]) == Self.knownText)
        #expect(note.noteText == Self.knownNote)
    }

    @Test func signsTheKnownTextAsTheKnownKeyDoes() throws {
        // Ed25519 signatures are determined by key and text. PKCS #8 of an Ed25519 seed has a fixed beginning (RFC 8410, 7).
        let seed: [UInt8] = Array(try #require(Base64.decode(Self.knownSeed)).dropFirst())
        let encoded: String = Base64.encode(try #require(Hex.decode("302e020100300506032b657004220420")) + seed)
        let key: PrivateKey = try PrivateKey(
            pem: "-----BEGIN PRIVATE KEY-----\n\(encoded)\n-----END PRIVATE KEY-----\n")
        #expect(try NoteSigner(name: "PeterNeumann", key: key).sign(Self.knownText).noteText == Self.knownNote)
    }

    @Test func aTextMayHoldBlankLines() throws {
        let signer: NoteSigner = try self.signer()
        let note: SignedNote = try signer.sign("first\n\nsecond\n")
        let read: SignedNote = try SignedNote(parsing: Array(note.noteText.utf8))
        #expect(try read.verifiedText(trusting: [signer.verifier]) == "first\n\nsecond\n")
    }

    @Test func signaturesOfOthersAreIgnored() throws {
        let ours: NoteSigner = try self.signer()
        let theirs: NoteSigner = try self.signer()
        let witness: NoteSigner = try self.signer("witness.example")
        let text: String = "text\n"
        let note: SignedNote = SignedNote(
            text: text,
            signatures: try [witness, theirs, ours].flatMap { (signer: NoteSigner) -> [SignedNote.Signature] in
                try signer.sign(text).signatures
            })
        let read: SignedNote = try SignedNote(parsing: Array(note.noteText.utf8))
        #expect(try read.verifiedText(trusting: [ours.verifier]) == text)
        let stranger: NoteSigner = try self.signer("stranger.example")
        #expect(throws: NoteError.unknownSigners(["witness.example", "log.example/audit", "log.example/audit"])) {
            try read.verifiedText(trusting: [stranger.verifier])
        }
    }

    @Test func aWrongSignatureOfAKnownKeyRefusesTheNote() throws {
        let signer: NoteSigner = try self.signer()
        let good: SignedNote = try signer.sign("text\n")
        var bytes: [UInt8] = good.signatures[0].bytes
        bytes[0] ^= 1
        let bad: SignedNote.Signature = SignedNote.Signature(
            name: signer.verifier.name, keyID: signer.verifier.keyID, bytes: bytes)
        let note: SignedNote = SignedNote(text: "text\n", signatures: good.signatures + [bad])
        #expect(throws: NoteError.invalidSignature(key: signer.verifier.name)) {
            try note.verifiedText(trusting: [signer.verifier])
        }
        let moved: SignedNote = SignedNote(text: "another text\n", signatures: good.signatures)
        #expect(throws: NoteError.invalidSignature(key: signer.verifier.name)) {
            try moved.verifiedText(trusting: [signer.verifier])
        }
    }

    @Test(arguments: [
        "", "\n", "text\n", "text\n\n", "text\n\n— name\n", "text\n\nname AAAAAAE=\n", "text\n\n- name AAAAAAE=\n",
        "text\n\n— name AAAAAA==\n", "text\n\n— name !\n", "text\n\n— na+me AAAAAAE=\n", "text\n\n—  AAAAAAE=\n",
        "text\n\n— name AAAAAAE=", "te\u{1}xt\n\n— name AAAAAAE=\n", "te\rxt\n\n— name AAAAAAE=\n",
        "text\n\n— name AAAAAAE=\nx\n", "text\n\n— name AAAAAAE= \n", "text\n\n— name\u{A0}x AAAAAAE=\n",
    ])
    func whatIsNoNoteIsRefused(text: String) {
        #expect(throws: NoteError.self) { try SignedNote(parsing: Array(text.utf8)) }
    }

    @Test func bytesThatAreNotUTF8AndTooManySignaturesAreRefused() {
        #expect(throws: NoteError.malformed("not UTF-8")) {
            try SignedNote(parsing: [0xFF, 0x0A, 0x0A] + Array("— name AAAAAAE=\n".utf8))
        }
        let many: String = "text\n\n" + String(repeating: "— name AAAAAAE=\n", count: SignedNote.signaturesMax + 1)
        #expect(throws: NoteError.malformed("more than 64 signatures")) { try SignedNote(parsing: Array(many.utf8)) }
        let long: [UInt8] = [UInt8](repeating: UInt8(ascii: "a"), count: SignedNote.bytesMax + 1)
        #expect(throws: NoteError.malformed("longer than 65536 bytes")) { try SignedNote(parsing: long) }
    }

    @Test(arguments: [
        "", "PeterNeumann", "PeterNeumann+c74f20a3",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "PeterNeumann+c74f20a3+ARpc2Q==",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ])
    func aKeyThatDoesNotFitItsIDIsRefused(text: String) {
        #expect(throws: NoteError.self) { try NoteVerifier(parsing: text) }
    }

    @Test func onlyEd25519KeysSign() throws {
        #expect(throws: NoteError.self) { try NoteSigner(name: "log", key: PrivateKey.generate(.p256)) }
        #expect(throws: NoteError.self) { try NoteSigner(name: "a log", key: PrivateKey.generate(.ed25519)) }
    }
}
