import Contracts
import EventLog
import Identifiers
import JSON
import REST
import ServiceTestKit
import Store
import Testing

@testable import Audit

@Suite struct EntryTableTests {
    @Test(
        arguments: [
            ("plain", "plain"), ("a,b", "\"a,b\""), ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""), ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""), ("a=1", "a=1"),
            ("", ""), ("é€", "é€"),
        ])
    func aCellIsTextAndNoFormula(cell: String, written: String) {
        #expect(String(decoding: EntryTable.row([cell, "x"]), as: UTF8.self) == "\(written),x\r\n")
    }

    private func write(_ fixture: AuditFixture, _ name: String, tenant: String = "acme") async throws {
        let author: Author = Author(
            caller: Caller(kind: .user, id: "usr_1", grants: [], ip: "198.51.100.4"), trace: TraceContext.make())
        try await fixture.store.write { transaction in
            try author.audit(
                "api.created", tenant: tenant, resource: AuditEntry.Resource(type: "api", id: name, version: 1),
                changes: ["title": .string(name)], in: transaction)
        }
    }

    private func export(_ fixture: AuditFixture, _ query: String, token: String = "admin") async throws -> String {
        try await fixture.settle()
        let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/export?\(query)", token: token)
        #expect(answer.status == 200)
        return String(decoding: answer.bytes, as: UTF8.self)
    }

    @Test func exportsWhatTheFilterFindsInOrderAndForTheReaderOnly() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await self.write(fixture, "=cmd|'/c calc'!A1")
        try await self.write(fixture, "theirs", tenant: "globex")
        try await self.write(fixture, "orders")
        let csv: [Substring] = try await self.export(fixture, "format=csv&type=api.created", token: "auditor@acme")
            .split(separator: "\r\n")
        #expect(csv.count == 3 && csv[0].hasPrefix("leaf,id,time,tenant,event_type,actor,"))
        #expect(csv[1].hasPrefix("0,evt_") && csv[1].contains(",198.51.100.4,api,'=cmd|'/c calc'!A1,1,"))
        #expect(csv[2].hasPrefix("2,evt_") && csv[2].contains("\"{\"\"title\"\":\"\"orders\"\"}\""))
        let closed: String = try await self.export(fixture, "format=csv&type=api.created", token: "cpi-admin")
        #expect(closed.contains(",sealed,api,") && !closed.contains("198.51.100.4") && closed.contains("theirs"))
        let lines: [Substring] = try await self.export(fixture, "format=jsonl&resource=orders").split(separator: "\n")
        let entry: JSONValue = try JSONReader.parse(String(try #require(lines.first)))
        #expect(lines.count == 1 && entry["leaf"]?.integer == 2 && entry["changes"]?["title"]?.text == "orders")
        #expect(entry["actor"]?["ip"]?.text == "198.51.100.4")
        await fixture.harness.stop()
    }

    @Test func aLongExportIsReadPageByPage() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.store.write { transaction in
            let author: Author = Author(caller: .platform("test"), trace: TraceContext.make())
            for number in 0..<(2 * Page.limitMax + 7) {
                try author.audit(
                    "a.b", tenant: number % 2 == 0 ? "acme" : "globex",
                    resource: AuditEntry.Resource(type: "a", id: "a_\(number)"), changes: [:], in: transaction)
            }
        }
        let lines: [Substring] = try await self.export(fixture, "format=jsonl&type=a.b").split(separator: "\n")
        let leaves: [Int64] = try lines.map { try JSONReader.parse(String($0))["leaf"]?.integer ?? -1 }
        #expect(leaves == Array(0..<Int64(2 * Page.limitMax + 7)))
        await fixture.harness.stop()
    }

    @Test func theWholeLogTakesNoFilter() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/export?type=a.b")
        #expect(answer.status == 400 && answer.pointers == ["query:type"])
        #expect(try await fixture.harness.send("GET", "/v1/audit/export?format=xml").status == 400)
        await fixture.harness.stop()
    }
}
