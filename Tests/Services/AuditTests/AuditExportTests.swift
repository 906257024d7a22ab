import Bytes
import HTTP
import JSON
import ServiceTestKit
import Testing

@testable import Audit

@Suite struct AuditExportTests {
    private func export(_ count: Int) async throws -> (fixture: AuditFixture, bytes: [UInt8]) {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(count)
        try await fixture.settle()
        let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/export")
        #expect(answer.status == 200 && answer.fields["Content-Type"] == "application/jsonl")
        return (fixture, answer.bytes)
    }

    private func read(_ bytes: [UInt8], checkpoint: String? = nil, piece: Int = 1_000) throws -> AuditVerdict {
        var reader: AuditExportReader = AuditExportReader(checkpoint: checkpoint.map { Array($0.utf8) })
        for start in stride(from: 0, to: bytes.count, by: piece) {
            try reader.feed(Array(bytes[start..<min(start + piece, bytes.count)]))
        }
        return try reader.verdict()
    }

    @Test(arguments: ["jsonl", "csv"]) func aReadableExportIsContinuedWhereItBrokeOff(format: String) async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(9)
        try await fixture.settle()
        func lines(_ query: String) async throws -> [Substring] {
            let answer: TestAnswer = try await fixture.harness.send(
                "GET", "/v1/audit/export?format=\(format)&type=api.created\(query)")
            #expect(answer.status == 200)
            return String(decoding: answer.bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
        }
        let whole: [Substring] = try await lines("")
        #expect(whole.count == (format == "csv" ? 10 : 9))
        for first in [0, 4, 8, 9] {
            #expect(try await lines("&first=\(first)") == whole.suffix(9 - first), "\(first)")
        }
        let proof: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/export?first=3")
        #expect(proof.status == 400, "a proof is of the whole log")
        await fixture.harness.stop()
    }

    @Test func anExportIsVerifiedAlone() async throws {
        let (fixture, bytes): (AuditFixture, [UInt8]) = try await self.export(40)
        #expect(try self.read(bytes).isSound)
        let size: Int64 = try self.read(bytes, piece: 7).head.size
        // The export's own entry may be part of it or not: it is written while the tree grows.
        #expect(size == 40 || size == 41)
        #expect(try await fixture.harness.auditEntries("audit.read").count == 1)
        await fixture.harness.stop()
    }

    @Test func aChangedExportNamesTheEntry() async throws {
        let (fixture, bytes): (AuditFixture, [UInt8]) = try await self.export(12)
        let checkpoint: String = try await fixture.checkpoint()
        var lines: [[UInt8]] = bytes.split(separator: UInt8(ascii: "\n")).map { Array($0) }
        var line: JSONObject = try #require(JSONReader.parse(lines[6]).object)
        var entry: [UInt8] = try #require(Base64.decode(line["entry"]?.text ?? ""))
        entry.replace("api.created", by: "api.deleted")
        line["entry"] = .string(Base64.encode(entry))
        lines[6] = JSONValue.object(line).serialized()
        let changed: [UInt8] = Array(lines.joined(separator: [UInt8(ascii: "\n")])) + [UInt8(ascii: "\n")]
        #expect(try self.read(changed).findings == [.badEntry(leaf: 5, .altered, more: 0)])
        line["hash"] = .string(Base64.encode(TreeHash(leaf: entry).bytes))
        lines[6] = JSONValue.object(line).serialized()
        let covered: [UInt8] = Array(lines.joined(separator: [UInt8(ascii: "\n")])) + [UInt8(ascii: "\n")]
        let findings: [AuditFinding] = try self.read(covered, checkpoint: checkpoint).findings
        #expect(findings.contains { if case .fork = $0 { true } else { false } })
        await fixture.harness.stop()
    }

    @Test func anExportThatIsNotWholeIsRefused() async throws {
        let (fixture, bytes): (AuditFixture, [UInt8]) = try await self.export(5)
        let lines: [[UInt8]] = bytes.split(separator: UInt8(ascii: "\n")).map { Array($0) + [UInt8(ascii: "\n")] }
        #expect(throws: AuditExportError.self) { try self.read(Array(lines.dropLast().joined())) }
        #expect(throws: AuditExportError.self) { try self.read(Array(lines.dropFirst().joined())) }
        #expect(throws: AuditExportError.self) { try self.read(Array((lines[..<2] + lines[3...]).joined())) }
        #expect(throws: AuditExportError.self) { try self.read(bytes + lines[1]) }
        #expect(throws: AuditExportError.self) { try self.read([]) }
        #expect(throws: AuditExportError.self) {
            try self.read([UInt8](repeating: 97, count: AuditExport.lineBytesMax + 1))
        }
        await fixture.harness.stop()
    }

    @Test func aTenantsAuditorVerifiesTheOwnEntriesAndTheWholeTree() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(6)
        try await fixture.write(9, tenant: "globex")
        try await fixture.settle()
        let checkpoint: String = try await fixture.checkpoint()
        let export: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/export", token: "auditor@acme")
        let text: String = String(decoding: export.bytes, as: UTF8.self)
        for line in text.split(separator: "\n") {
            guard let entry: String = try JSONReader.parse(String(line))["entry"]?.text else { continue }
            #expect(EntryFields(entry: Base64.decode(entry) ?? []).tenant == "acme")
        }
        let verdict: AuditVerdict = try self.read(export.bytes, checkpoint: checkpoint)
        #expect(verdict.isSound && verdict.isTailJudged && verdict.withheld == 9)
        await fixture.harness.stop()
        try await fixture.tamper(batchAt: 2) { $0.replace("api.created", by: "api.deleted") }
        let changed: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/export", token: "auditor@acme")
        #expect(try self.read(changed.bytes).findings == [.badEntry(leaf: 2, .altered, more: 0)])
    }

    @Test func onlyWhoMayReadEntriesExports() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        #expect(try await fixture.harness.send("GET", "/v1/audit/export", token: "viewer@acme").status == 403)
        #expect(
            try await fixture.harness.send("GET", "/v1/audit/export?tenant=globex", token: "auditor@acme").status == 404
        )
        #expect(try await fixture.harness.send("GET", "/v1/audit/export", token: nil).status == 401)
        await fixture.harness.stop()
    }
}
