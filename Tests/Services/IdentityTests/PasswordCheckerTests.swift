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

struct PasswordCheckerTests {
    private static func gated(_ gate: PasswordGate) -> PasswordChecker {
        PasswordChecker(
            verify: {
                try gate.pass()
                return $1 == "plain:\($0)"
            }, hash: { "plain:\($0)" })
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
