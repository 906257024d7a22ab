import Bytes
import Contracts
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import ServiceTestKit
import Store
import Testing

@testable import Audit

@Suite struct AuditProofRoutesTests {
    private func hash(_ value: JSONValue?) throws -> TreeHash {
        let bytes: [UInt8] = try #require(Base64.decode(value?.text ?? ""))
        return try #require(TreeHash(bytes))
    }

    private func hashes(_ value: JSONValue?) throws -> [TreeHash] {
        try (value?.elements ?? []).map { try self.hash($0) }
    }

    @Test func theCheckpointIsSignedByAPublishedKey() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(5)
        try await fixture.settle()
        let keys: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/keys", token: "auditor@acme")
        let key: NoteVerifier = try NoteVerifier(parsing: try #require(keys.json["items"]?[0]?["key"]?.text))
        #expect(keys.json["items"]?[0]?["name"]?.text == key.name && key.name.hasPrefix("passerelle.local/audit/"))
        let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/checkpoint", token: "auditor@acme")
        #expect(answer.fields["Content-Type"] == "text/plain; charset=utf-8")
        let checkpoint: Checkpoint = try Checkpoint(verifying: answer.bytes, trusting: [key])
        #expect(checkpoint.origin == key.name && checkpoint.head.size == 5)
        #expect(try await checkpoint.head.root.bytes == NaiveMerkle.root(fixture.entries()[...]))
        await fixture.harness.stop()
    }

    @Test func theKeySurvivesARestart() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        let again: AuditService = try await AuditService.open(services: fixture.harness.services, sealer: FixedSealer())
        let key: String? = try await fixture.harness.send("GET", "/v1/audit/keys").json["items"]?[0]?["key"]?.text
        #expect(again.signer.verifier.text == key)
        await fixture.harness.stop()
    }

    @Test func anEntryOfTheTenantIsProven() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(3)
        try await fixture.write(3, tenant: "globex")
        try await fixture.settle()
        let entries: [[UInt8]] = try await fixture.entries()
        for (leaf, size) in [(3, 6), (5, 6), (3, 4)] {
            let answer: TestAnswer = try await fixture.harness.send(
                "GET", "/v1/audit/proofs?leaf=\(leaf)&size=\(size)", token: "auditor@globex")
            #expect(answer.status == 200)
            #expect(
                MerkleTree.verifiesInclusion(
                    of: TreeHash(leaf: entries[leaf]), leaf: Int64(leaf), size: Int64(size),
                    root: try self.hash(answer.json["root"]),
                    proof: try self.hashes(answer.json["proof"])))
            #expect(try self.hash(answer.json["leaf_hash"]) == TreeHash(leaf: entries[leaf]))
        }
        let others: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/audit/proofs?leaf=1", token: "auditor@globex")
        #expect(others.status == 404)
        #expect(try await fixture.harness.send("GET", "/v1/audit/proofs?leaf=1").json["size"]?.integer ?? 0 >= 6)
        await fixture.harness.stop()
    }

    @Test func aLaterTreeIsProvenToContinueAnEarlierOne() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(9)
        try await fixture.settle()
        let entries: [[UInt8]] = try await fixture.entries()
        for (from, size) in [(3, 9), (8, 9), (9, 9), (0, 9), (4, 7)] {
            let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/proofs?from=\(from)&to=\(size)")
            let older: TreeHash = try self.hash(answer.json["root_from"])
            let newer: TreeHash = try self.hash(answer.json["root"])
            #expect(
                older.bytes == NaiveMerkle.root(entries[..<from]) && newer.bytes == NaiveMerkle.root(entries[..<size]))
            #expect(
                MerkleTree.verifiesConsistency(
                    from: Int64(from), root: older, to: Int64(size), root: newer,
                    proof: try self.hashes(answer.json["proof"])))
        }
        await fixture.harness.stop()
    }

    @Test(arguments: [
        "", "leaf=1&from=2", "leaf=5", "leaf=4&size=4", "leaf=0&size=6", "from=6", "from=3&to=2", "from=1&to=2&size=2",
        "leaf=-1",
    ])
    func impossibleProofsAreRefused(query: String) async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(5)
        try await fixture.settle()
        #expect(try await fixture.harness.send("GET", "/v1/audit/proofs?\(query)").status == 400)
        await fixture.harness.stop()
    }

    @Test func tilesAreServedAtTheAddressesOfTheSpecification() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(260)
        try await fixture.settle()
        let entries: [[UInt8]] = try await fixture.entries()
        let full: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/tile/0/000")
        #expect(full.status == 200 && full.fields["Content-Type"] == "application/octet-stream")
        #expect(full.bytes == entries[..<256].flatMap { TreeHash(leaf: $0).bytes })
        let partial: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/tile/0/001.p/3")
        #expect(partial.bytes == entries[256..<259].flatMap { TreeHash(leaf: $0).bytes })
        #expect(
            try await fixture.harness.send("GET", "/v1/audit/tile/1/000.p/1").bytes == NaiveMerkle.root(entries[..<256])
        )
        for missing in [
            "0/001", "0/001.p/200", "0/002.p/1", "1/000", "8/000", "0/x001/000", "0/1", "0/000.p/0", "entries/001",
            "entries/0", "entries/002.p/1",
        ] {
            #expect(try await fixture.harness.send("GET", "/v1/audit/tile/\(missing)").status == 404, "\(missing)")
        }
        #expect(try await fixture.harness.send("GET", "/v1/audit/tile/0/000", token: "auditor@acme").status == 403)
        await fixture.harness.stop()
    }

    @Test func entryBundlesHaveTheEntriesOfATile() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(5)
        try await fixture.settle()
        let entries: [[UInt8]] = try await fixture.entries()
        for width in [1, 3, 5] {
            let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/tile/entries/000.p/\(width)")
            #expect(answer.status == 200 && answer.fields["Cache-Control"] == "private, max-age=31536000, immutable")
            let expected: [[UInt8]] = entries[..<width].map { (entry: [UInt8]) -> [UInt8] in
                [UInt8(entry.count >> 8), UInt8(entry.count & 255)] + entry
            }
            #expect(answer.bytes == Array(expected.joined()))
        }
        #expect(try await fixture.harness.auditEntries("audit.read").count == 1, "of one reader, in ten minutes")
        #expect(
            try await fixture.harness.send("GET", "/v1/audit/tile/entries/000.p/1", token: "auditor@acme").status == 403
        )
        // What two bytes cannot tell of, and what retention removed.
        try await fixture.store.write { transaction in
            try Author(caller: .platform("test"), trace: TraceContext.make()).audit(
                "a", tenant: "acme", resource: AuditEntry.Resource(type: "a", id: "a"),
                changes: ["long": .string(String(repeating: "x", count: 66_000))], in: transaction)
        }
        let size: Int64 = try await fixture.settle()
        let long: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/tile/entries/000.p/\(size)")
        #expect(long.status == 404 && long.json["detail"]?.text?.contains("bytes, a bundle takes 65535") == true)
        await fixture.harness.stop()
    }
}
