import HTTP
import JSON
import ServiceTestKit
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
