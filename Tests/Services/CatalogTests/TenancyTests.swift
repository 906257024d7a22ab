import Bytes
import Contracts
import HTTP
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing
import Time

@testable import Catalog

struct TenancyTests {
    private let confirmed: JSONValue = .object(["confirm": "acme"])

    @Test func theEndOfATenantWaitsAndCanBeCalledOff() async throws {
        let fixture: CatalogFixture = try await CatalogFixture(endsTenants: true)
        let made: TestAnswer = try await fixture.send(
            "POST", "/v1/tenants/acme/deletion", token: "admin", self.confirmed)
        #expect(made.status == 202 && made.json["state"] == "waiting")
        #expect(made.fields["Location"] == "/v1/tasks/\(made.json["task"]?.text ?? "")")
        #expect(made.json["due_at"]?.text == "2026-01-01T01:00:00.000Z")
        let shown: TestAnswer = try await fixture.send("GET", "/v1/tenants/acme")
        #expect(shown.json["ends_at"] == made.json["due_at"])
        let again: TestAnswer = try await fixture.send(
            "POST", "/v1/tenants/acme/deletion", token: "admin", self.confirmed)
        #expect(again.status == 409)
        #expect(try await fixture.send("DELETE", "/v1/tenants/acme/deletion", token: "admin").status == 204)
        #expect(try await fixture.send("GET", "/v1/tenants/acme/deletion", token: "admin").status == 404)
        #expect(try await fixture.finished(made.json["task"]?.text ?? "").state == .failed)
        #expect(try await fixture.send("GET", "/v1/tenants/acme").status == 200)
        await fixture.harness.stop()
    }

    @Test func aTenantEndsWithAllItHas() async throws {
        let fixture: CatalogFixture = try await CatalogFixture(tenants: ["acme", "globex"], endsTenants: true)
        let api: JSONValue = try await fixture.importAPI()
        let made: TestAnswer = try await fixture.send(
            "POST", "/v1/tenants/acme/deletion", token: "admin", self.confirmed)
        let task: String = made.json["task"]?.text ?? ""
        fixture.harness.clock.advance(by: .seconds(3_600))
        #expect(try await fixture.finished(task).state == .done)
        #expect(try await fixture.send("GET", "/v1/tenants/acme", token: "admin").status == 404)
        let left: [String: Int64] = try await fixture.harness.services.store.read { reader in
            var left: [String: Int64] = [:]
            for table in CatalogData(store: fixture.harness.services.store).tenantTables {
                left[table.name] =
                    try reader.first("SELECT count(*) FROM \(table.name) WHERE tenant = 'acme'") { try $0.int(0) }
            }
            return left.filter { $0.value != 0 }
        }
        #expect(left == ["tenants": 1])
        #expect(try await fixture.send("GET", "/v1/tenants/globex/plans", token: "admin").items.count == 3)
        let deleted: [JSONValue] = try await fixture.harness.events(Topics.apiDeleted)
        #expect(deleted.map { $0["api_id"] } == [api["id"]])
        #expect(try await fixture.harness.auditEntries("tenant.deleted").count == 1)
        await fixture.harness.stop()
    }

    @Test(arguments: [
        JSONValue.object([:]), .object(["confirm": "globex"]), .object(["confirm": "acme", "users": "all"]),
    ])
    func refusesAnEndThatIsNotConfirmed(body: JSONValue) async throws {
        let fixture: CatalogFixture = try await CatalogFixture(endsTenants: true)
        #expect(try await fixture.send("POST", "/v1/tenants/acme/deletion", token: "admin", body).status == 400)
        for token in ["cpi-tenant@acme", "cpi-admin", "devops@acme"] {
            let refused: TestAnswer = try await fixture.send(
                "POST", "/v1/tenants/acme/deletion", token: token, self.confirmed)
            #expect(refused.status == 403)
            #expect(try await fixture.send("POST", "/v1/tenants/acme/exports", token: token).status == 403)
        }
        await fixture.harness.stop()
    }

    @Test func anArchiveIsMadeFetchedAndExpires() async throws {
        let fixture: CatalogFixture = try await CatalogFixture(endsTenants: true)
        try await fixture.importAPI()
        let made: TestAnswer = try await fixture.send("POST", "/v1/tenants/acme/exports", token: "admin")
        #expect(made.status == 202)
        let path: String = "/v1/tenants/acme/exports/\(made.json["id"]?.text ?? "")"
        try await eventually("the archive is ready") {
            try await fixture.send("GET", path, token: "admin").json["state"] == "ready"
        }
        let archive: TestAnswer = try await fixture.send("GET", "\(path)/archive", token: "admin")
        #expect(archive.fields["content-length"] == "\(archive.bytes.count)")
        let text: String = String(decoding: archive.bytes, as: UTF8.self)
        for name in ["catalog/plans/000001.jsonl", "catalog/apis/000001.jsonl", "manifest.json"] {
            #expect(text.contains(name))
        }
        #expect(text.contains(Documents.orders))
        fixture.harness.clock.advance(by: .seconds(601))
        try await eventually("the archive goes") {
            fixture.harness.clock.advance(by: .seconds(5))
            return try await fixture.send("GET", path, token: "admin").status == 404
        }
        #expect(try await fixture.harness.auditEntries("tenant.export-expired").count == 1)
        #expect(try await fixture.harness.auditEntries("tenant.export-downloaded").count == 1)
        await fixture.harness.stop()
    }

    @Test func aTarHasItsFilesInBlocks() {
        var tar: TarWriter = TarWriter(folder: "acme", time: Timestamp(milliseconds: 1_767_225_600_000))
        tar.add("a.txt", Array("hello".utf8))
        tar.end()
        #expect(tar.bytes.count == 4 * TarWriter.blockBytes)
        #expect(Array(tar.bytes[0..<6]) == Array("a.txt\0".utf8))
        #expect(String(decoding: tar.bytes[124..<135], as: UTF8.self) == "00000000005")
        #expect(String(decoding: tar.bytes[136..<147], as: UTF8.self) == "15125334400")
        #expect(String(decoding: tar.bytes[257..<262], as: UTF8.self) == "ustar")
        #expect(Array(tar.bytes[512..<517]) == Array("hello".utf8))
    }
}
