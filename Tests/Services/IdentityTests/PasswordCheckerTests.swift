import Contracts
import Glibc
import HTTP
import JSON
import REST
import ServiceTestKit
import Store
import Synchronization
import TestKit
import Testing

@testable import Identity

/// Holds back whoever checks a password until it is opened.
final class PasswordGate: Sendable {
    private let state: Mutex<(isOpen: Bool, waiting: Int)> = Mutex((false, 0))

    /// Threads that wait at the gate.
    var waiting: Int { self.state.withLock { $0.waiting } }

    func open() { self.state.withLock { $0.isOpen = true } }

    func close() { self.state.withLock { $0.isOpen = false } }

    /// Called on the checker's own thread, which may block.
    func pass() throws {
        self.state.withLock { $0.waiting += 1 }
        try eventuallyBlocking("the gate to open") { self.state.withLock { $0.isOpen } }
        self.state.withLock { $0.waiting -= 1 }
    }
}

/// Who was sent away, how often.
private final class Refusals: Sendable {
    private let counts: Mutex<[String: Int]> = Mutex([:])

    var all: [String: Int] { self.counts.withLock { $0 } }

    func count(_ address: String) { self.counts.withLock { $0[address, default: 0] += 1 } }
}

struct PasswordCheckerTests {
    private static func gated(_ gate: PasswordGate) -> PasswordChecker {
        PasswordChecker(
            verify: {
                try gate.pass()
                return $1 == "plain:\($0)"
            }, hash: { "plain:\($0)" }, isOutdated: { _ in false })
    }

    @Test func sixteenWaitAndTheNextIsSentAway() async throws {
        let gate: PasswordGate = PasswordGate()
        let fixture: IdentityFixture = try await IdentityFixture(passwords: Self.gated(gate))
        try await fixture.makeUser("ada")
        try await withThrowingTaskGroup(of: Int.self) { group in
            group.addTask { try await Self.signIn(fixture).status }
            try await eventually("the first to be checked") { gate.waiting == 1 }
            for _ in 0..<PasswordChecker.waitingMax { group.addTask { try await Self.signIn(fixture).status } }
            try await eventually("sixteen to wait") { fixture.identity.passwords.waitingCount == 16 }
            let refused: TestAnswer = try await Self.signIn(fixture)
            #expect(refused.status == 503)
            #expect(refused.fields["Retry-After"] == "3")
            let hashing: TestAnswer = try await fixture.send(
                "POST", "/v1/users",
                .object(["name": "bob", "password": .string(IdentityFixture.password), "grants": []]))
            #expect(hashing.status == 503, "making a hash waits in the same queue")
            gate.open()
            for try await status in group { #expect(status == 201) }
        }
        #expect(try await Self.signIn(fixture).status == 201, "there is room again")
    }

    /// Somebody with a password that is right can ask without end: their wrong ones are counted, these are not.
    @Test func nobodyKeepsOthersOutOfTheQueue() async throws {
        let gate: PasswordGate = PasswordGate()
        let checker: PasswordChecker = Self.gated(gate)
        let (many, other): (String, String) = ("192.0.2.1", "2001:db8::7")
        let refused: Refusals = Refusals()
        @Sendable func ask(_ address: String) async {
            do {
                _ = try await checker.verify("a", against: "plain:a", from: address)
            } catch {
                refused.count(address)
            }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await ask(many) }
            try await eventually("the first to be checked") { gate.waiting == 1 }
            for _ in 0..<PasswordChecker.waitingMax { group.addTask { await ask(many) } }
            try await eventually("sixteen to wait") { checker.waitingCount == 16 }
            for count in 1...8 {
                group.addTask { await ask(other) }
                try await eventually("room was made") { refused.all[many] == count }
            }
            await ask(other)
            #expect(refused.all == [many: 8, other: 1], "both have half of the queue")
            gate.open()
            try await group.waitForAll()
        }
        #expect(refused.all == [many: 8, other: 1])
    }

    /// Who knows the old password holds the request back until an administrator has set another one.
    @Test func anOldPasswordThatIsReplacedMeanwhileSetsNoOther() async throws {
        let gate: PasswordGate = PasswordGate()
        let fixture: IdentityFixture = try await IdentityFixture(passwords: Self.gated(gate))
        let id: String = try await fixture.makeUser("ada")
        gate.open()
        let token: String = try await fixture.signIn("ada")
        gate.close()
        let change: JSONValue = .object([
            "old_password": .string(IdentityFixture.password), "password": "a password of my own",
        ])
        async let late: TestAnswer = fixture.send("PUT", "/v1/users/\(id)/password", token: token, change)
        try await eventually("the password to be checked") { gate.waiting == 1 }
        try await fixture.harness.services.store.write { transaction in
            let user: User = try #require(try UserTable.find(id, in: transaction))
            try UserTable.update(user.changed(passwordHash: "plain:another one"), in: transaction)
        }
        gate.open()
        #expect(try await late.status == 409)
        let user: User? = try await fixture.harness.services.store.read { try UserTable.find(id, in: $0) }
        #expect(user?.passwordHash == "plain:another one")
    }

    private static func signIn(_ fixture: IdentityFixture) async throws -> TestAnswer {
        try await fixture.send("POST", "/v1/sessions", token: nil, IdentityFixture.credentials("ada"))
    }

    /// What changes while the password is being checked counts.
    @Test(arguments: ["password", "state"])
    func aSignInIsNotOvertakenByTheEndOfAllSessions(change: String) async throws {
        let gate: PasswordGate = PasswordGate()
        let fixture: IdentityFixture = try await IdentityFixture(passwords: Self.gated(gate))
        let id: String = try await fixture.makeUser("ada")
        async let late: TestAnswer = Self.signIn(fixture)
        try await eventually("the password to be checked") { gate.waiting == 1 }
        // In the store: over REST this would wait behind the check.
        try await fixture.harness.services.store.write { transaction in
            let user: User = try #require(try UserTable.find(id, in: transaction))
            let changed: User =
                change == "state" ? user.changed(state: .disabled) : user.changed(passwordHash: "plain:another one")
            try UserTable.update(changed, in: transaction)
        }
        gate.open()
        #expect(try await late.status == 401)
        #expect(try await fixture.harness.auditEntries("session.created").isEmpty)
    }

    // MARK: What changes while a password is hashed

    /// What a role allows, and whether there is one, is looked at where it is given: not before the hash.
    @Test(arguments: ["edited", "deleted"])
    func aRoleThatChangesMeanwhileIsNotGivenAsItWas(change: String) async throws {
        let gate: PasswordGate = PasswordGate()
        let fixture: IdentityFixture = try await IdentityFixture(
            passwords: PasswordChecker(
                verify: { $1 == "plain:\($0)" },
                hash: {
                    try gate.pass()
                    return "plain:\($0)"
                }, isOutdated: { _ in false }))
        let role: JSONValue = .object(["permissions": ["catalog:api:read"]])
        #expect(try await fixture.send("PUT", "/v1/roles/reader?tenant=acme", role).status == 201)
        let body: JSONValue = .object([
            "name": "eve", "password": .string(IdentityFixture.password),
            "grants": IdentityFixture.grants(["reader@acme"]),
        ])
        async let late: TestAnswer = fixture.send("POST", "/v1/users", token: "cpi-tenant@acme", body)
        try await eventually("the password to be hashed") { gate.waiting == 1 }
        if change == "edited" {
            let more: JSONValue = .object(["permissions": ["catalog:api:read", "identity:user:write", "*:*:*"]])
            #expect(try await fixture.send("PUT", "/v1/roles/reader?tenant=acme", more).status == 200)
        } else {
            #expect(try await fixture.send("DELETE", "/v1/roles/reader?tenant=acme").status == 204)
        }
        gate.open()
        let answer: TestAnswer = try await late
        #expect(answer.status == (change == "edited" ? 403 : 400), "\(answer.json)")
        #expect(try await fixture.send("GET", "/v1/users").items.isEmpty)
    }

    // MARK: Hashes of another cost

    /// `old:` hashes are right and outdated; `plain:` ones are of today.
    private static func renewing(_ gate: PasswordGate? = nil) -> PasswordChecker {
        PasswordChecker(
            verify: { $1 == "plain:\($0)" || $1 == "old:\($0)" },
            hash: {
                try gate?.pass()
                return "plain:\($0)"
            }, isOutdated: { $0.hasPrefix("old:") })
    }

    private static func hash(of id: String, in fixture: IdentityFixture) async throws -> String? {
        try await fixture.harness.services.store.read { try UserTable.find(id, in: $0)?.passwordHash }
    }

    private static func makeOutdated(_ id: String, in fixture: IdentityFixture) async throws {
        try await fixture.harness.services.store.write { transaction in
            try transaction.execute(
                "UPDATE users SET password_hash = $2 WHERE user_id = $1", .text(id),
                .text("old:\(IdentityFixture.password)"))
        }
    }

    /// A user whose hash is outdated, and the gate at which making it anew waits.
    private static func outdatedUser() async throws -> (IdentityFixture, PasswordGate, id: String) {
        let gate: PasswordGate = PasswordGate()
        gate.open()
        let fixture: IdentityFixture = try await IdentityFixture(passwords: Self.renewing(gate))
        let id: String = try await fixture.makeUser("ada")
        try await Self.makeOutdated(id, in: fixture)
        gate.close()
        return (fixture, gate, id)
    }

    @Test func aPasswordThatWasRightIsHashedAtTheCostOfToday() async throws {
        let fixture: IdentityFixture = try await IdentityFixture(passwords: Self.renewing())
        let id: String = try await fixture.makeUser("ada", ["viewer@acme"])
        try await Self.makeOutdated(id, in: fixture)
        let wrong: TestAnswer = try await fixture.send(
            "POST", "/v1/sessions", token: nil, IdentityFixture.credentials("ada", "something else"))
        #expect(wrong.status == 401)
        #expect(try await Self.hash(of: id, in: fixture)?.hasPrefix("old:") == true)
        let token: String = try await fixture.signIn("ada")
        #expect(try await Self.hash(of: id, in: fixture) == "plain:\(IdentityFixture.password)")
        #expect(try await fixture.send("GET", "/v1/me", token: token).status == 200)
        _ = try await fixture.signIn("ada")
        let entries: [JSONValue] = try await fixture.harness.auditEntries("user.password-rehashed")
        #expect(entries.count == 1)
        #expect(entries.first?.jsonText.contains("plain:") == false)
    }

    /// One hash at a time: the second sign-in's check waits until the first has made the hash anew, which it had read before.
    @Test func twoSignInsAtOnceBothSucceed() async throws {
        let (fixture, gate, id): (IdentityFixture, PasswordGate, String) = try await Self.outdatedUser()
        async let first: TestAnswer = Self.signIn(fixture)
        try await eventually("the hash to be made anew") { gate.waiting == 1 }
        async let second: TestAnswer = Self.signIn(fixture)
        try await eventually("the second to be checked") { fixture.identity.passwords.waitingCount == 1 }
        gate.open()
        #expect(try await [first.status, second.status] == [201, 201])
        #expect(try await Self.hash(of: id, in: fixture) == "plain:\(IdentityFixture.password)")
    }

    @Test func whoChangesThePasswordMeanwhileHasTheLastWord() async throws {
        let (fixture, gate, id): (IdentityFixture, PasswordGate, String) = try await Self.outdatedUser()
        async let late: TestAnswer = Self.signIn(fixture)
        try await eventually("the hash to be made anew") { gate.waiting == 1 }
        try await fixture.harness.services.store.write { transaction in
            let user: User = try #require(try UserTable.find(id, in: transaction))
            try UserTable.update(user.changed(passwordHash: "plain:another one"), in: transaction)
        }
        gate.open()
        #expect(try await late.status == 201, "it was right when it was checked")
        #expect(try await Self.hash(of: id, in: fixture) == "plain:another one")
    }

    @Test func worksThroughItsQueueAndStartsAnew() async throws {
        let checker: PasswordChecker = IdentityFixture.plainPasswords()
        for round in 0..<50 {
            let hash: String = try await checker.hash("p\(round)")
            #expect(try await checker.verify("p\(round)", against: hash))
            #expect(try await !checker.verify("q", against: hash))
        }
    }

    @Test func passesFailuresOn() async throws {
        struct Broken: Error {}
        let checker: PasswordChecker = PasswordChecker(
            verify: { _, _ in throw Broken() }, hash: { _ in throw Broken() })
        await #expect(throws: Broken.self) { try await checker.verify("a", against: "b") }
        await #expect(throws: Broken.self) { try await checker.hash("a") }
    }
}
