import HTTP
import JSON
import ServiceTestKit
import Synchronization
import TestKit
import Testing
import Time

@testable import Identity

extension SignInThrottle {
    /// An attempt that is wrong, if it may be made.
    fileprivate func attempt(account: String, address: String) -> Int? {
        if let seconds: Int = self.wait(account: account, address: address) { return seconds }
        self.fail(account: account, address: address)
        return nil
    }
}

private final class AttemptCounts: Sendable {
    private let counts: Mutex<(made: Int, refused: Int)> = Mutex((0, 0))

    var all: (made: Int, refused: Int) { self.counts.withLock { $0 } }

    func change(_ change: (inout (made: Int, refused: Int)) -> Void) { self.counts.withLock { change(&$0) } }
}

struct SignInThrottleTests {
    @Test func letsAsManyFailuresThroughAsItSaysAndForgetsThemOneByOne() {
        let clock: ManualClock = ManualClock()
        let throttle: SignInThrottle = SignInThrottle(clock: clock)
        for attempt in 1...10 {
            #expect(throttle.attempt(account: "ada", address: "192.0.2.\(attempt)") == nil, "\(attempt)")
        }
        #expect(throttle.attempt(account: "ada", address: "192.0.2.99") == 60)
        #expect(throttle.attempt(account: "bob", address: "192.0.2.99") == nil, "others are not concerned")
        clock.advance(by: .seconds(59))
        #expect(throttle.attempt(account: "ada", address: "192.0.2.99") == 1)
        clock.advance(by: .seconds(1))
        #expect(throttle.attempt(account: "ada", address: "192.0.2.99") == nil)
        #expect(throttle.attempt(account: "ada", address: "192.0.2.99") == 60)
        clock.advance(by: .seconds(3_600))
        for attempt in 1...10 {
            #expect(throttle.attempt(account: "ada", address: "192.0.2.\(attempt)") == nil, "\(attempt)")
        }
    }

    @Test(arguments: [
        ["192.0.2.1"], ["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2:3:4:5:6"],
    ])
    func anAddressThatTriesManyAccountsIsSlowedDown(addresses: [String]) {
        let throttle: SignInThrottle = SignInThrottle(clock: ManualClock())
        for attempt in 1...100 {
            let address: String = addresses[attempt % addresses.count]
            #expect(throttle.attempt(account: "user\(attempt)", address: address) == nil, "\(attempt)")
        }
        #expect(throttle.attempt(account: "another", address: addresses[0]) == 6)
    }

    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::6", "2001:db8:1:2::/64"),
        ("2001:db8::6", "2001:db8::/64"), ("::1", "::/64"),
    ])
    func addressesOfOneNetworkAreOne(address: String, network: String) {
        #expect(SignInThrottle.network(of: address) == network)
    }

    @Test func whatFailsTogetherCountsTogether() {
        let clock: ManualClock = ManualClock()
        let throttle: SignInThrottle = SignInThrottle(clock: clock)
        for _ in 1...17 { throttle.fail(account: "ada", address: "192.0.2.1") }
        #expect(throttle.wait(account: "ada", address: "192.0.2.2") == 480)
        clock.advance(by: .seconds(480))
        #expect(throttle.wait(account: "ada", address: "192.0.2.2") == nil)
    }

    @Test func strangersDoNotKeepAnOwnerOutWhereTheyHaveSignedInBefore() async throws {
        let clock: ManualClock = ManualClock()
        let throttle: SignInThrottle = SignInThrottle(clock: clock)
        throttle.succeed(account: "ada", address: "2001:db8:1:2::1")
        for attempt in 1...10 { throttle.fail(account: "ada", address: "192.0.2.\(attempt)") }
        #expect(throttle.wait(account: "ada", address: "192.0.2.99") == 60)
        #expect(throttle.wait(account: "ada", address: "2001:db8:1:2::9") == nil, "the network she has signed in from")
        for _ in 1...10 { throttle.fail(account: "ada", address: "2001:db8:1:2::9") }
        #expect(throttle.wait(account: "ada", address: "2001:db8:1:2::9") == 60, "nobody guesses on there either")
        clock.advance(by: .seconds(60))
        #expect(throttle.wait(account: "ada", address: "192.0.2.99") == nil, "both count apart")

        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        _ = try await fixture.signIn("ada")
        for attempt in 1...10 { fixture.identity.throttle.fail(account: "ada", address: "192.0.2.\(attempt)") }
        let again: TestAnswer = try await fixture.send(
            "POST", "/v1/sessions", token: nil, IdentityFixture.credentials("ada"))
        #expect(again.status == 201)
    }

    /// Codes have six digits: a thousand guesses on a thousand connections would be one in a thousand.
    @Test func noMoreAttemptsAreMadeTogetherThanMayBeWrong() async throws {
        let throttle: SignInThrottle = SignInThrottle(clock: ManualClock())
        let counts: AttemptCounts = AttemptCounts()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 1...30 {
                group.addTask {
                    let attempt: SignInThrottle.Attempt<Int> = try await throttle.attempting(
                        account: "code/ada", address: "192.0.2.1"
                    ) {
                        counts.change { $0.made += 1 }
                        try await eventually("all to be there") { counts.all.made + counts.all.refused == 30 }
                        return nil
                    }
                    if case .mustWait(let seconds) = attempt {
                        #expect(seconds == 60)
                        counts.change { $0.refused += 1 }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(counts.all == (10, 20))
    }

    @Test func whatIsRightOrFailsIsNoWrongAttempt() async throws {
        struct Broken: Error {}
        let throttle: SignInThrottle = SignInThrottle(clock: ManualClock())
        for _ in 1...30 {
            _ = try await throttle.attempting(account: "code/ada", address: "192.0.2.1") { 1 }
            await #expect(throws: Broken.self) {
                _ = try await throttle.attempting(account: "code/bob", address: "192.0.2.1") { () -> Int? in
                    throw Broken()
                }
            }
        }
        #expect(throttle.wait(account: "code/ada", address: "192.0.2.1") == nil)
        #expect(throttle.wait(account: "code/bob", address: "192.0.2.1") == nil)
    }

    @Test func devicesOfOneAddressBeginAsManySignInsAsItSays() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        func begin() async throws -> TestAnswer {
            try await fixture.harness.submit("POST", "/oauth2/device_authorization", form: "client_id=passerelle-cli")
        }
        for _ in 0..<SignInThrottle.deviceStartsMax { #expect(try await begin().status == 200) }
        let refused: TestAnswer = try await begin()
        #expect(refused.status == 400)
        #expect(refused.json["error"]?.text == "slow_down")
        fixture.harness.clock.advance(by: .seconds(2))
        #expect(try await begin().status == 200)
        #expect(try await begin().status == 400)
    }

    @Test func aSignInOfAnySizeIsNotKeptInMemory() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let body: JSONValue = .object(["user": "ada", "password": .string(String(repeating: "x", count: 16 << 10))])
        #expect(try await fixture.send("POST", "/v1/sessions", token: nil, body).status == 413)
    }

    @Test(arguments: ["ada", "nobody"])
    func afterTooManyFailuresEvenTheRightPasswordWaitsWhoeverItIs(name: String) async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        for _ in 1...10 {
            let wrong: TestAnswer = try await fixture.send(
                "POST", "/v1/sessions", token: nil, IdentityFixture.credentials(name, "wrong"))
            #expect(wrong.status == 401)
        }
        let refused: TestAnswer = try await fixture.send(
            "POST", "/v1/sessions", token: nil, IdentityFixture.credentials(name))
        #expect(refused.status == 429)
        #expect(refused.fields["Retry-After"] == "60")
        #expect(refused.detail == "Too many wrong passwords. Try again later, or ask an administrator for a new one.")
        fixture.harness.clock.advance(by: .seconds(60))
        let later: TestAnswer = try await fixture.send(
            "POST", "/v1/sessions", token: nil, IdentityFixture.credentials(name))
        #expect(later.status == (name == "ada" ? 201 : 401))
    }

    @Test func aStolenTokenIsNoWayToGuessThePassword() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada")
        let token: String = try await fixture.signIn("ada")
        let guess: JSONValue = .object(["old_password": "wrong", "password": "another long password"])
        for _ in 1...10 {
            #expect(try await fixture.send("PUT", "/v1/users/\(id)/password", token: token, guess).status == 400)
        }
        #expect(try await fixture.send("PUT", "/v1/users/\(id)/password", token: token, guess).status == 429)
    }
}
