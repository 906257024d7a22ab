import Contracts
import Identifiers
import JSON
import REST
import ServiceTestKit
import Store
import Testing

@testable import Identity

/// What identity tells and forgets about one person; `audit` asks for both.
struct PersonalDataTests {
    private func erase(_ id: String, _ fixture: IdentityFixture) async throws {
        let identity: IdentityService = fixture.identity
        let author: Author = Author(caller: .platform("test"), trace: TraceContext.make())
        try await fixture.harness.services.store.write { try identity.erase(id, author: author, in: $0) }
        await identity.forget(id)
    }

    private func id(_ name: String, _ fixture: IdentityFixture) async throws -> String {
        let identity: IdentityService = fixture.identity
        return try #require(try await fixture.harness.services.store.read { try identity.person(name, in: $0) })
    }

    @Test func tellsAccountSessionsAndTokensWithoutTheirSecrets() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada", ["viewer@acme"])
        let token: String = try await fixture.signIn("ada")
        let made: TestAnswer = try await fixture.send(
            "POST", "/v1/tokens", token: token, .object(["name": "laptop", "scopes": .array(["catalog:api:read"])]))
        #expect(made.status == 201)
        let (identity, id): (IdentityService, String) = (fixture.identity, try await self.id("ada", fixture))
        let kinds: [String] = try await fixture.harness.services.store.read { reader in
            let found: [(kind: String, value: JSONValue)] = try identity.personalData(of: id, in: reader)
            #expect(found.first?.value["name"]?.text == "ada")
            for one in found {
                #expect(!one.value.jsonText.contains("argon2") && !one.value.jsonText.contains("sha256"))
            }
            return found.map(\.kind)
        }
        #expect(kinds == ["user", "session", "token"])
        await fixture.harness.stop()
    }

    @Test func leavesAnIdAndNothingThatNamesAnybody() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.identity.firstAdministrator()
        try await fixture.makeUser("ada", ["viewer@acme", "developer@globex"])
        let token: String = try await fixture.signIn("ada")
        let id: String = try await self.id("ada", fixture)
        try await self.erase(id, fixture)
        #expect(try await fixture.send("GET", "/v1/me", token: token).status == 401)
        let kept: (user: User?, sessions: [Session]) = try await fixture.harness.services.store.read { reader in
            (try UserTable.find(id, in: reader), try SessionTable.of(user: id, after: "", limit: 10, in: reader))
        }
        let user: User = try #require(kept.user)
        #expect(user.name == "erased-\(id.dropFirst(4))" && user.state == .disabled && user.grants.isEmpty)
        #expect(kept.sessions.allSatisfy { $0.ip.isEmpty && $0.isRevoked } && !kept.sessions.isEmpty)
        let entries: [JSONValue] = try await fixture.harness.auditEntries("user.erased")
        #expect(entries.map { $0["tenant"]?.text ?? "" } == ["acme", "globex"])
        #expect(entries.allSatisfy { $0["changes"]?["grants"]?.elements == [] })
        #expect(
            try await fixture.send(
                "POST", "/v1/sessions", token: nil,
                .object(["user": "ada", "password": .string(IdentityFixture.password)])
            ).status == 401)
        await fixture.harness.stop()
    }

    @Test func theLastAdministratorStays() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.identity.firstAdministrator()
        let id: String = try await self.id("admin", fixture)
        await #expect(throws: (any Error).self) { try await self.erase(id, fixture) }
        #expect(try await self.id("admin", fixture) == id)
        await fixture.harness.stop()
    }
}
