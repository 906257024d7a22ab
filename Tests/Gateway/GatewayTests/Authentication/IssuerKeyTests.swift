import Crypto
import GatewayConfiguration
import JSON
import Synchronization
import Testing
import Tokens

@testable import Gateway

/// An issuer that can rotate its keys and go away.
private final class SampleProvider: Sendable {
    private let keys: Mutex<String?>
    private let calls: Atomic<Int> = Atomic(0)
    private let server: Mutex<RawUpstream?> = Mutex(nil)

    init(_ keys: String?) throws {
        self.keys = Mutex(keys)
        let upstream: RawUpstream = try RawUpstream { [weak self] (session: RawUpstream.Session) in
            while let request: RawMessage = session.request() {
                guard let provider: SampleProvider = self else { return }
                session.send(provider.answer(request))
            }
        }
        self.server.withLock { $0 = upstream }
    }

    var port: UInt16 { self.server.withLock { $0?.port } ?? 0 }
    var issuer: String { "http://127.0.0.1:\(self.port)" }
    /// How often the keys were asked for.
    var keyCalls: Int { self.calls.load(ordering: .relaxed) }

    func publish(_ keys: String?) { self.keys.withLock { $0 = keys } }

    private func answer(_ request: RawMessage) -> String {
        if request.startLine.contains("openid-configuration") {
            return Self.response(
                "{\"issuer\":\"\(self.issuer)\",\"jwks_uri\":\"\(self.issuer)/keys\"}")
        }
        self.calls.wrappingAdd(1, ordering: .relaxed)
        guard let keys: String = self.keys.withLock({ $0 }) else {
            return "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
        }
        return Self.response(keys)
    }

    static func response(_ body: String) -> String {
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }
}

struct IssuerKeyTests {
    private static func live(askedEvery: UInt64 = 0, freshFor: UInt64 = 600_000_000_000, stale: UInt64 = .max / 4)
        -> LiveState
    {
        var settings: AuthenticationSettings = AuthenticationSettings()
        settings.keysAskedEvery = askedEvery
        settings.keysFreshFor = freshFor
        settings.keysStaleMax = stale
        settings.keysWaitedFor = 600_000_000_000
        settings.keysCallMax = .seconds(600)
        return LiveState(authentication: settings, stageExtension: nil)
    }

    private static func policy(_ provider: SampleProvider, _ keys: KeySource) -> PolicyDefinition {
        .jwt(JWTPolicy(issuers: [JWTIssuer(issuer: provider.issuer, keys: keys, audiences: ["api"])]))
    }

    private static func set(_ keys: [(String, PrivateKey)]) throws -> String {
        try JWKSet(keys: keys.map { JWK(keyID: $0.0, algorithm: nil, key: try $0.1.publicKey()) }).json().jsonText
    }

    private static func token(_ provider: SampleProvider, _ key: PrivateKey, _ id: String) throws -> String {
        try JWT.sign(
            claims: SampleIssuer.claims(["iss": .string(provider.issuer)]), key: key, keyID: id, algorithm: .es256)
    }

    @Test(arguments: [true, false])
    func rotationIsFollowed(byDiscovery: Bool) async throws {
        let upstream: RawUpstream = try .echoing()
        let (first, second): (PrivateKey, PrivateKey) = (try .generate(.p256), try .generate(.p256))
        let provider: SampleProvider = try SampleProvider(try Self.set([("1", first)]))
        let source: KeySource = byDiscovery ? .discovery : .url(provider.issuer + "/keys")
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [Self.policy(provider, source)], live: Self.live())
        let old: String = try Self.token(provider, first, "1")
        #expect(try await gateway.fetch(token: old).status == 200)
        // A key the gateway has not seen yet: it asks, and the request waits for the answer.
        provider.publish(try Self.set([("1", first), ("2", second)]))
        #expect(try await gateway.fetch(token: try Self.token(provider, second, "2")).status == 200)
        // The first key is withdrawn; the next token with an unknown key tells.
        provider.publish(try Self.set([("2", second)]))
        #expect(try await gateway.fetch(token: try Self.token(provider, second, "3")).status == 401)
        #expect(try await gateway.fetch(token: old).status == 401)
        #expect(try await gateway.fetch(token: try Self.token(provider, second, "2")).status == 200)
        await gateway.stop()
    }

    @Test func keysAreKeptWhenTheIssuerIsAway() async throws {
        let upstream: RawUpstream = try .echoing()
        let key: PrivateKey = try .generate(.p256)
        let provider: SampleProvider = try SampleProvider(try Self.set([("1", key)]))
        // Always due: every request asks again, and none waits for it.
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [Self.policy(provider, .url(provider.issuer + "/keys"))],
            live: Self.live(freshFor: 1))
        #expect(try await gateway.fetch(token: try Self.token(provider, key, "1")).status == 200)
        for broken in [nil, "{}", "{\"keys\":[]}", "x"] {
            provider.publish(broken)
            let calls: Int = provider.keyCalls
            let token: String = try Self.token(provider, key, "1")
            let isAskedAgain: Bool = await eventually {
                _ = try? await gateway.fetch(token: token)
                return provider.keyCalls > calls + 1
            }
            #expect(isAskedAgain)
            #expect(try await gateway.fetch(token: try Self.token(provider, key, "1")).status == 200)
        }
        await gateway.stop()
    }

    @Test func withoutAnyKeysTheAnswerIs503() async throws {
        let upstream: RawUpstream = try .echoing()
        let key: PrivateKey = try .generate(.p256)
        let provider: SampleProvider = try SampleProvider(nil)
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [Self.policy(provider, .discovery)], live: Self.live())
        let answer: RawMessage = try await gateway.fetch(token: try Self.token(provider, key, "1"))
        #expect(answer.status == 503)
        #expect(answer.text.contains("policy-unavailable"))
        // Requests that need no keys are not held up.
        #expect(try await gateway.fetch().status == 401)
        provider.publish(try Self.set([("1", key)]))
        #expect(try await gateway.fetch(token: try Self.token(provider, key, "1")).status == 200)
        await gateway.stop()
    }

    @Test func inventedKeyNamesDoNotFloodTheIssuer() async throws {
        let upstream: RawUpstream = try .echoing()
        let key: PrivateKey = try .generate(.p256)
        let provider: SampleProvider = try SampleProvider(try Self.set([("1", key)]))
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [Self.policy(provider, .url(provider.issuer + "/keys"))],
            live: Self.live(askedEvery: 3_600_000_000_000))
        #expect(try await gateway.fetch(token: try Self.token(provider, key, "1")).status == 200)
        for number in 0..<20 {
            #expect(try await gateway.fetch(token: try Self.token(provider, key, "invented-\(number)")).status == 401)
        }
        #expect(provider.keyCalls == 1)
        await gateway.stop()
    }

    /// Metadata that names another issuer lends nobody its keys.
    @Test func discoveryMustNameTheIssuerItWasAskedOf() async throws {
        let upstream: RawUpstream = try .echoing()
        let key: PrivateKey = try .generate(.p256)
        let provider: SampleProvider = try SampleProvider(try Self.set([("1", key)]))
        let issuer: String = provider.issuer + "/"
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port],
            policies: [.jwt(JWTPolicy(issuers: [JWTIssuer(issuer: issuer, audiences: ["api"])]))], live: Self.live())
        let token: String = try JWT.sign(
            claims: SampleIssuer.claims(["iss": .string(issuer)]), key: key, keyID: "1", algorithm: .es256)
        #expect(try await gateway.fetch(token: token).status == 503)
        #expect(provider.keyCalls == 0)
        await gateway.stop()
    }
}
