import Files
import GatewayConfiguration
import JSON
import Synchronization
import Telemetry
import TestKit
import Testing
import Time
import Tokens

@testable import Gateway

/// A control plane that ends what a test says.
private final class ScriptedRevocations: RevocationLink {
    private let answers: Mutex<[LinkRevocations]>
    private let asked: Mutex<[Int64]> = Mutex([])

    init(_ answers: [LinkRevocations]) { self.answers = Mutex(answers) }

    var numbers: [Int64] { self.asked.withLock { $0 } }

    func revocations(after number: Int64, wait: Duration) async throws -> LinkRevocations {
        self.asked.withLock { $0.append(number) }
        let answer: LinkRevocations? = self.answers.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        guard let answer: LinkRevocations else { throw CancellationError() }
        return answer
    }
}

struct TokenRevocationTests {
    private static let far: Int64 = SampleIssuer.now + 36_000

    @Test(arguments: [
        ("sid", "ses_1"), ("grant", "gra_1"), ("client_id", "cli_1"), ("sub", "sva_1"),
    ])
    func aGoodTokenIsRefusedOnceWhatItNamesHasEnded(claim: String, id: String) async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port], policies: [try SampleIssuer.policy()])
        let token: String = try SampleIssuer.token([claim: .string(id)])
        let other: String = try SampleIssuer.token([claim: .string("\(id)2")])
        #expect(try gateway.get(token: token).status == 200)
        #expect(try gateway.get(token: other).status == 200)
        let revocations: TokenRevocations = gateway.live.authentication.revocations
        revocations.add([RevokedTokens(id: "another", at: Self.far, ends: Self.far)], now: 0)
        #expect(try gateway.get(token: token).status == 200)
        revocations.add([RevokedTokens(id: id, at: SampleIssuer.now + 5, ends: Self.far)], now: 0)
        for _ in 0..<2 {
            let refused: RawMessage = try gateway.get(token: token)
            #expect(refused.status == 401, "also what was verified before")
            #expect(refused.text.contains("token-invalid"))
        }
        #expect(try gateway.get(token: other).status == 200)
        let later: String = try SampleIssuer.token([claim: .string(id), "iat": .int(SampleIssuer.now + 20)])
        #expect(try gateway.get(token: later).status == 200, "made after that")
        await gateway.stop()
    }

    @Test func whatEndsIsForgottenWhenNoTokenCanBeAboutItAnyMore() {
        let revocations: TokenRevocations = TokenRevocations()
        #expect(!revocations.refuses(["sid": "a"]))
        revocations.add([RevokedTokens(id: "a", at: 10, ends: 20), RevokedTokens(id: "b", at: 10, ends: 5)], now: 6)
        #expect(revocations.count == 1, "no token of it works anyway")
        #expect(revocations.refuses(["sid": "a", "iat": 10]))
        #expect(revocations.refuses(["sid": "a"]), "nobody knows when it was made")
        #expect(!revocations.refuses(["sid": "a", "iat": 11]))
        #expect(!revocations.refuses(["sid": "c", "jti": "a", "iat": 1]))
        revocations.prune(now: 20)
        #expect(revocations.count == 0)
    }

    @Test func aGatewayKeepsOnItsDiskWhatHasEnded() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let clock: ManualClock = ManualClock()
        let now: Int64 = clock.now().milliseconds / 1_000
        let live: LiveState = LiveState()
        let link: ScriptedRevocations = ScriptedRevocations([
            LinkRevocations(latest: 2, revoked: [RevokedTokens(id: "a", at: now, ends: now + 100)]),
            LinkRevocations(latest: 2, revoked: []),
            LinkRevocations(latest: 3, revoked: [RevokedTokens(id: "b", at: now, ends: now + 200)]),
        ])
        let follower: RevocationFollower = RevocationFollower(
            link: link, folder: folder.path, live: live, clock: clock, logger: .silent)
        await follower.load()
        await follower.run()
        #expect(link.numbers == [0, 2, 2, 3])
        #expect(live.authentication.revocations.count == 2)
        clock.advance(by: .seconds(150))
        let later: LiveState = LiveState()
        let again: ScriptedRevocations = ScriptedRevocations([])
        let next: RevocationFollower = RevocationFollower(
            link: again, folder: folder.path, live: later, clock: clock, logger: .silent)
        await next.load()
        #expect(later.authentication.revocations.all.map(\.id) == ["b"])
        await next.run()
        #expect(again.numbers == [3])
        try Files.replace("\(folder.path)/revocations.json", with: Array("{".utf8))
        let broken: RevocationFollower = RevocationFollower(
            link: ScriptedRevocations([]), folder: folder.path, live: LiveState(), clock: clock, logger: .silent)
        await broken.load()
    }
}
