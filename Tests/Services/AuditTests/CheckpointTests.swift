import Bytes
import Crypto
import Testing

@testable import Audit

@Suite struct CheckpointTests {
    /// The example of the tlog-checkpoint specification.
    static let example: String = """
        example.com/behind-the-sofa
        20852163
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

        """

    @Test func readsAndWritesTheExampleOfTheSpecification() throws {
        let checkpoint: Checkpoint = try Checkpoint(parsing: Self.example)
        #expect(checkpoint.origin == "example.com/behind-the-sofa" && checkpoint.head.size == 20_852_163)
        #expect(Base64.encode(checkpoint.head.root.bytes) == "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
        #expect(checkpoint.extensions.isEmpty && checkpoint.text == Self.example)
    }

    @Test func keepsExtensionLines() throws {
        let text: String = Self.example + "something\nmore\n"
        let checkpoint: Checkpoint = try Checkpoint(parsing: text)
        #expect(checkpoint.extensions == ["something", "more"] && checkpoint.text == text)
    }

    @Test func anEmptyLogHasACheckpointToo() throws {
        let text: String = Checkpoint(origin: "log", head: TreeHead(size: 0, root: TreeHash.ofEmptyTree)).text
        #expect(text == "log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
        #expect(try Checkpoint(parsing: text).head.size == 0)
    }

    @Test(arguments: [
        "", "log\n", "log\n1\n", "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n+1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n9223372036854775808\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n", "log\n1\nCsUYapGGPo4=\n",
        "log\n1\n!\n",
        "log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
        "log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n",
        "log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nmore\n",
    ])
    func whatIsNoCheckpointIsRefused(text: String) {
        #expect(throws: NoteError.self) { try Checkpoint(parsing: text) }
    }

    @Test func isReadOnlyWhenATrustedKeySignedIt() throws {
        let signer: NoteSigner = try NoteSigner(name: "log.example", key: PrivateKey.generate(.ed25519))
        let other: NoteSigner = try NoteSigner(name: "log.example", key: PrivateKey.generate(.ed25519))
        let checkpoint: Checkpoint = Checkpoint(
            origin: "log.example", head: TreeHead(size: 0, root: TreeHash.ofEmptyTree))
        let note: [UInt8] = Array(try signer.sign(checkpoint.text).noteText.utf8)
        #expect(try Checkpoint(verifying: note, trusting: [other.verifier, signer.verifier]) == checkpoint)
        #expect(throws: NoteError.unknownSigners(["log.example"])) {
            try Checkpoint(verifying: note, trusting: [other.verifier])
        }
        let noCheckpoint: [UInt8] = Array(try signer.sign("hello\n").noteText.utf8)
        #expect(throws: NoteError.self) { try Checkpoint(verifying: noCheckpoint, trusting: [signer.verifier]) }
    }
}
