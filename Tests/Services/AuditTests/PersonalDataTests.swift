import Bytes
import Contracts
import Crypto
import EventLog
import Identifiers
import JSON
import ServiceTestKit
import Store
import Synchronization
import TestKit
import Testing
import Time

@testable import Audit

/// A service that keeps a name for each of a few people.
final class NameKeeper: PersonalData {
    private let names: Mutex<[String: String]>
    let forgotten: Mutex<[String]> = Mutex([])

    init(_ names: [String: String]) { self.names = Mutex(names) }

    func person(_ reference: String, in store: any Queryable) throws -> String? {
        self.names.withLock { names in
            names.first { (id: String, name: String) in id == reference || name == reference }?.key
        }
    }

    func personalData(of person: String, in store: any Queryable) throws -> [(kind: String, value: JSONValue)] {
        guard let name: String = self.names.withLock({ $0[person] }) else { return [] }
        return [("user", .object(["name": .string(name)]))]
    }

    func erase(_ person: String, author: Author, in transaction: Transaction) throws -> Bool {
        self.names.withLock { names in
            defer { names[person] = names[person].map { _ in "" } }
            return names[person].map { !$0.isEmpty } ?? false
        }
    }

    func forget(_ person: String) async { self.forgotten.withLock { $0.append(person) } }
}

@Suite struct PersonalDataTests {
    private static let address: String = "198.51.100.23"

    private func fixture(_ keeper: NameKeeper = NameKeeper([:])) async throws -> AuditFixture {
        try await AuditFixture(people: [keeper])
    }

    /// An entry by `actor` from the address, with something personal in its changes.
    private func write(
        _ fixture: AuditFixture, actor: String = "usr_1", name: String? = nil, address: String = Self.address
    ) async throws {
        let author: Author = Author(
            caller: Caller(kind: .user, id: actor, grants: [], ip: address), trace: TraceContext.make())
        try await fixture.store.write { transaction in
            try author.audit(
                "user.renamed", tenant: "acme", resource: AuditEntry.Resource(type: "user", id: actor),
                changes: ["state": "active"],
                personal: name.map { [AuditEntry.Personal("name", .string($0), of: actor)] } ?? [], in: transaction)
        }
    }

    private func entries(_ fixture: AuditFixture, _ query: String, token: String = "admin") async throws -> [JSONValue]
    {
        try await fixture.settle()
        return try await fixture.harness.send("GET", "/v1/audit/entries?order=asc&\(query)", token: token).items
    }

    private func text(_ leaf: [UInt8]) -> String { String(decoding: leaf, as: UTF8.self) }

    // MARK: - Sealing

    @Test func whatIdentifiesSomebodyIsInNoLeaf() async throws {
        let fixture: AuditFixture = try await self.fixture()
        try await self.write(fixture, name: "Ada Lovelace")
        for record in try await fixture.harness.records(Topics.auditLog) {
            let everything: String =
                self.text(record.value) + record.headers.map { "\($0.name)=\(self.text($0.value ?? []))" }.joined()
                + (record.keyText ?? "")
            #expect(!everything.contains(Self.address) && !everything.contains("Lovelace"))
        }
        let bytes: [UInt8] = try #require(try await fixture.entries().first)
        let leaf: JSONValue = try JSONReader.parse(bytes)
        #expect(leaf["format"]?.integer == 1 && leaf.canonical() == bytes)
        let sealed: SealedValue = try #require(leaf["actor"]?["ip"].flatMap { SealedValue($0) })
        #expect(sealed.key.hasPrefix("sbk_") && leaf["changes"]?["name"].flatMap { SealedValue($0) } != nil)
        #expect(leaf["changes"]?["state"]?.text == "active")
        await fixture.harness.stop()
    }

    @Test func onlyWhoMaySeesIt() async throws {
        let fixture: AuditFixture = try await self.fixture()
        try await self.write(fixture, name: "Ada Lovelace")
        for token in ["admin", "auditor@acme"] {
            let entry: JSONValue = try #require(
                try await self.entries(fixture, "type=user.renamed&tenant=acme", token: token).first)
            #expect(entry["actor"]?["ip"]?.text == Self.address && entry["changes"]?["name"]?.text == "Ada Lovelace")
        }
        let closed: JSONValue = try #require(
            try await self.entries(fixture, "type=user.renamed", token: "cpi-admin").first)
        #expect(closed["actor"]?["ip"] == EntryOpener.closed && closed["changes"]?["name"] == EntryOpener.closed)
        #expect(closed["changes"]?["state"]?.text == "active" && closed["actor"]?["user_id"]?.text == "usr_1")
        await fixture.harness.stop()
    }

    @Test func everybodyHasAKeyAndOneIsEnoughForManyEntries() async throws {
        let fixture: AuditFixture = try await self.fixture()
        for actor in ["usr_1", "usr_2", "usr_1", "usr_1"] { try await self.write(fixture, actor: actor) }
        let keys: [String] = try await fixture.entries().map { (leaf: [UInt8]) throws -> String in
            try #require(try JSONReader.parse(leaf)["actor"]?["ip"].flatMap { SealedValue($0) }).key
        }
        #expect(Set(keys).count == 2 && keys[0] == keys[2] && keys[0] == keys[3] && keys[0] != keys[1])
        fixture.harness.clock.advance(by: SubjectKeys.period)
        try await self.write(fixture)
        #expect(
            try await fixture.store.read { try SubjectKeyTable.ids(of: "usr_1", in: $0) }.count == 2,
            "a key for a quarter")
        #expect(
            try await self.entries(fixture, "type=user.renamed").allSatisfy { $0["actor"]?["ip"]?.text == Self.address }
        )
        await fixture.harness.stop()
    }

    private struct Refused: Error {}

    @Test func aKeyWhoseChangeWasUndoneSealsNothing() async throws {
        let fixture: AuditFixture = try await self.fixture()
        let author: Author = Author(
            caller: Caller(kind: .user, id: "usr_1", grants: [], ip: Self.address), trace: TraceContext.make())
        await #expect(throws: Refused.self) {
            try await fixture.store.write { transaction in
                try author.audit(
                    "a", tenant: "acme", resource: AuditEntry.Resource(type: "a", id: "a"), changes: [:],
                    in: transaction)
                throw Refused()
            }
        }
        #expect(try await fixture.store.read { try SubjectKeyTable.ids(of: "usr_1", in: $0) }.isEmpty)
        try await self.write(fixture)
        #expect(try await self.entries(fixture, "type=user.renamed").first?["actor"]?["ip"]?.text == Self.address)
        await fixture.harness.stop()
    }

    @Test func aSealedValueOpensInItsOwnLeafOnly() throws {
        let key: [UInt8] = AESGCM.makeKey()
        let sealed: JSONObject = try SealedValue.seal(.string("x"), key: "k", bytes: key, leaf: "evt_1")
        let value: SealedValue = try #require(SealedValue(.object(sealed)))
        #expect(value.opened(with: key, leaf: "evt_1") == .string("x"))
        #expect(value.opened(with: key, leaf: "evt_2") == nil)
        #expect(value.opened(with: AESGCM.makeKey(), leaf: "evt_1") == nil)
    }

    @Test(
        arguments: [
            #"{"$key":"k","$sealed":"AA","more":1}"#, #"{"$key":"k"}"#, #"{"$key":1,"$sealed":"AA"}"#,
            #"{"$key":"k","$sealed":"="}"#, #"{"key":"k","sealed":"AA"}"#, #""$key""#,
        ])
    func otherObjectsAreNoSealedValues(text: String) throws {
        #expect(SealedValue(try JSONReader.parse(text)) == nil)
    }

    @Test func anAddressNobodySignedInFromIsNotInTheLog() async throws {
        let fixture: AuditFixture = try await self.fixture()
        let author: Author = Author(
            caller: Caller(kind: .platform, id: Caller.anonymousID, grants: [], ip: Self.address),
            trace: TraceContext.make())
        try await fixture.store.write { transaction in
            try author.audit(
                "access.refused-anonymous", tenant: "",
                resource: AuditEntry.Resource(type: "address", id: Self.address, isPersonal: true),
                changes: ["count": 3], in: transaction)
        }
        let record: Record = try #require(try await fixture.harness.records(Topics.auditLog).first)
        #expect(record.keyText?.hasPrefix("sbk_") == true && record.header("ce_subject") == record.keyText)
        let entry: JSONValue = try #require(try await self.entries(fixture, "resource_type=address").first)
        #expect(entry["actor"]?["ip"]?.text == Self.address && entry["resource"]?["id"]?.text == record.keyText)
        let person: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/persons/address:\(Self.address)")
        #expect(person.status == 200 && self.text(person.bytes).contains("access.refused-anonymous"))
        let erased: TestAnswer = try await fixture.harness.send(
            "POST", "/v1/audit/persons/\(record.keyText ?? "")/erasure", .object(["reason": "asked for"]))
        #expect(erased.status == 200 && erased.json["keys_destroyed"]?.integer == 1)
        let now: JSONValue = try #require(try await self.entries(fixture, "resource_type=address").first)
        #expect(now["actor"]?["ip"] == EntryOpener.erased)
        #expect(try await fixture.harness.send("GET", "/v1/audit/persons/address:\(Self.address)").status == 404)
        await fixture.harness.stop()
    }

    // MARK: - One person's data

    private func lines(_ answer: TestAnswer) throws -> [JSONValue] {
        try answer.bytes.split(separator: UInt8(ascii: "\n")).map { try JSONReader.parse(Array($0)) }
    }

    @Test func oneExportHasAllAboutOnePersonAndNothingAboutOthers() async throws {
        let fixture: AuditFixture = try await self.fixture(NameKeeper(["usr_1": "ada", "usr_2": "bob"]))
        try await self.write(fixture, name: "Ada")
        try await self.write(fixture, actor: "usr_2", name: "Bob", address: "203.0.113.9")
        let author: Author = Author(
            caller: Caller(kind: .user, id: "usr_2", grants: [], ip: "203.0.113.9"), trace: TraceContext.make())
        try await fixture.store.write { transaction in
            try author.audit(
                "user.disabled", tenant: "acme", resource: AuditEntry.Resource(type: "user", id: "usr_1"), changes: [:],
                in: transaction)
        }
        try await fixture.settle()
        let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/persons/ada")
        let lines: [JSONValue] = try self.lines(answer)
        #expect(lines.map { $0["kind"]?.text ?? "" } == ["personal-data", "user", "audit-entry", "audit-entry", "end"])
        #expect(lines[1]["value"]?["name"]?.text == "ada")
        #expect(lines[2]["value"]?["actor"]?["ip"]?.text == Self.address && lines[2]["value"]?["leaf"]?.integer == 0)
        #expect(lines[3]["value"]?["event_type"]?.text == "user.disabled")
        #expect(lines[3]["value"]?["actor"]?["ip"] == EntryOpener.closed, "where somebody else was is theirs")
        #expect(!self.text(answer.bytes).contains("203.0.113.9") && !self.text(answer.bytes).contains("Bob"))
        #expect(try await fixture.harness.auditEntries("personal-data.exported").count == 1)
        await fixture.harness.stop()
    }

    @Test func erasureIsForGoodAndLeavesEveryProof() async throws {
        let keeper: NameKeeper = NameKeeper(["usr_1": "ada"])
        let fixture: AuditFixture = try await self.fixture(keeper)
        try await self.write(fixture, name: "Ada")
        try await self.write(fixture, actor: "usr_2")
        try await fixture.settle()
        let checkpoint: String = try await fixture.checkpoint()
        let before: [[UInt8]] = try await fixture.entries()
        let sealed: [UInt8] = try #require(
            try await fixture.store.read { try SubjectKeyTable.newest(of: "usr_1", in: $0)?.sealed })
        let answer: TestAnswer = try await fixture.harness.send(
            "POST", "/v1/audit/persons/usr_1/erasure", .object(["reason": "asked for"]))
        #expect(answer.status == 200 && answer.json["person"]?.text == "usr_1")
        #expect(keeper.forgotten.withLock { $0 } == ["usr_1"])
        let shown: [JSONValue] = try await self.entries(fixture, "type=user.renamed")
        #expect(shown[0]["actor"]?["ip"] == EntryOpener.erased && shown[0]["changes"]?["name"] == EntryOpener.erased)
        #expect(shown[1]["actor"]?["ip"]?.text == Self.address, "others keep theirs")
        #expect(Array(try await fixture.entries().prefix(before.count)) == before)
        let entry: JSONValue = try #require(try await fixture.harness.auditEntries("personal-data.erased").first)
        #expect(entry["changes"]?["reason"]?.text == "asked for" && entry["resource"]?["id"]?.text == "usr_1")
        // What they do later is sealed under another key, and opens.
        try await self.write(fixture)
        #expect(try await self.entries(fixture, "type=user.renamed").last?["actor"]?["ip"]?.text == Self.address)
        let repeated: TestAnswer = try await fixture.harness.send(
            "POST", "/v1/audit/persons/usr_1/erasure", .object(["reason": "again"]))
        #expect(repeated.status == 200 && repeated.json["keys_destroyed"]?.integer == 1)
        await fixture.harness.stop()
        #expect(try await fixture.verify(checkpoint: checkpoint).isSound)
        await fixture.store.close()
        if fixture.store.kind == .sqlite {
            let file: [UInt8] = try #require(fixture.harness.folder.read("passerelle.db"))
            #expect(!file.contains(sealed), "the key is nowhere in the file")
        }
    }

    @Test func onlyThePlatformsAdministratorsExportAndErase() async throws {
        let fixture: AuditFixture = try await self.fixture(NameKeeper(["usr_1": "ada"]))
        for token in ["auditor@acme", "cpi-admin", "cpi-tenant@acme"] {
            #expect(try await fixture.harness.send("GET", "/v1/audit/persons/usr_1", token: token).status == 403)
            let erasure: TestAnswer = try await fixture.harness.send(
                "POST", "/v1/audit/persons/usr_1/erasure", token: token, .object(["reason": "x"]))
            #expect(erasure.status == 403)
        }
        let nobody: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/persons/usr_9")
        #expect(nobody.status == 404)
        let oneself: TestAnswer = try await fixture.harness.send(
            "POST", "/v1/audit/persons/usr_admin/erasure", .object(["reason": "x"]))
        #expect(oneself.status == 404 || oneself.status == 409)
        await fixture.harness.stop()
    }

    @Test func replayKeepsErasedDataErased() async throws {
        let fixture: AuditFixture = try await self.fixture()
        try await self.write(fixture, name: "Ada")
        var state: ReplayedState = ReplayedState()
        for leaf in try await fixture.entries() {
            let entry: JSONValue = try JSONReader.parse(leaf)
            var changed: JSONObject = entry.object ?? [:]
            changed["resource"] = .object(["type": "tenant", "id": "acme"])
            state.apply(.object(changed))
        }
        #expect(state.all(.tenant).first?.value["name"] == EntryOpener.erased)
        await fixture.harness.stop()
    }

    @Test func keysGoAfterTheEntriesTheySealed() async throws {
        let fixture: AuditFixture = try await self.fixture()
        try await self.write(fixture)
        let before: Int = try await fixture.store.write { transaction in
            try SubjectKeyTable.destroy(madeBefore: transaction.now, limit: 10, in: transaction)
        }
        let after: Int = try await fixture.store.write { transaction in
            try SubjectKeyTable.destroy(
                madeBefore: transaction.now.adding(.seconds(3_600)), limit: 10, in: transaction)
        }
        #expect(before == 0 && after == 1)
        await fixture.harness.stop()
    }
}

extension [UInt8] {
    /// Whether `other` stands somewhere in these bytes.
    fileprivate func contains(_ other: [UInt8]) -> Bool {
        guard let first: UInt8 = other.first, self.count >= other.count else { return false }
        for start in 0...(self.count - other.count)
        where self[start] == first && self[start..<(start + other.count)].elementsEqual(other) {
            return true
        }
        return false
    }
}
