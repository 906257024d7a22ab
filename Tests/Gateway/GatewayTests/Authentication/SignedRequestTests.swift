import Bytes
import Crypto
import GatewayConfiguration
import JSON
import Synchronization
import Telemetry
import Testing

@testable import Gateway

/// HTTP Message Signatures with hmac-sha256.
struct SignedRequestTests {
    private static let secret: [UInt8] = Array("0123456789abcdef0123456789abcdef".utf8)

    /// A request with a signature over what is usual; the parts can be changed after signing.
    struct Request {
        var method: String = "POST"
        var path: String = "/orders"
        var query: String = "a=1"
        var body: String = "{\"n\":1}"
        var digestOf: String?
        var created: Int64 = SampleIssuer.now
        var nonce: String? = "n-1"
        var keyID: String = "key-1"
        var components: [String] = ["@method", "@authority", "@path", "@query", "content-digest"]
        var secret: [UInt8] = SignedRequestTests.secret

        var digest: String {
            "sha-256=:" + Base64.encode(SHA256.hash(self.digestOf ?? self.body)) + ":"
        }

        var parameters: String {
            let list: String = self.components.map { "\"\($0)\"" }.joined(separator: " ")
            let nonce: String = self.nonce.map { ";nonce=\"\($0)\"" } ?? ""
            return "(\(list));created=\(self.created);keyid=\"\(self.keyID)\"\(nonce);alg=\"hmac-sha256\""
        }

        var signature: String {
            var base: String = ""
            for component in self.components {
                let value: String
                switch component {
                case "@method": value = self.method
                case "@authority": value = "api.test"
                case "@path": value = self.path
                case "@query": value = "?" + self.query
                default: value = self.digest
                }
                base += "\"\(component)\": \(value)\n"
            }
            base += "\"@signature-params\": \(self.parameters)"
            return Base64.encode(HMACSHA256.authenticate(Array(base.utf8), key: self.secret))
        }

        var text: String {
            "\(self.method) \(self.path)?\(self.query) HTTP/1.1\r\nHost: API.test:80\r\nContent-Digest: \(self.digest)\r\n"
                + "Signature-Input: sig1=\(self.parameters)\r\nSignature: sig1=:\(self.signature):\r\n"
                + "Content-Length: \(self.body.utf8.count)\r\n\r\n\(self.body)"
        }
    }

    private func start(
        _ upstream: RawUpstream, _ policy: SignaturePolicy = SignaturePolicy(), live: LiveState = LiveState()
    ) async throws -> GatewayUnderTest {
        var document: GatewayDocument = try GatewayUnderTest.document([upstream.port], policies: [.signature(policy)])
        document.applications = [
            ApplicationDefinition(
                id: "shop", credentials: [CredentialDefinition(kind: .hmac(keyID: "key-1", secret: Self.secret))],
                subscriptions: [SubscriptionDefinition(api: "test")])
        ]
        return try await .start(document, live: live)
    }

    @Test(arguments: [CounterSettings.Away.open, .closed])
    func aNonceThatAnotherGatewaySawIsRefused(_ away: CounterSettings.Away) async throws {
        let upstream: RawUpstream = try .echoing()
        let claims: MemoryClaims = MemoryClaims()
        var gateways: [GatewayUnderTest] = []
        for _ in 0..<2 {
            let live: LiveState = LiveState()
            live.claims.attach(claims, away: away, metrics: MetricRegistry())
            gateways.append(try await self.start(upstream, live: live))
        }
        let request: Request = Request()
        #expect(try gateways[0].exchange(request.text).status == 200)
        for gateway in gateways {
            let again: RawMessage = try gateway.exchange(request.text)
            #expect(again.status == 401)
            #expect(again.text.contains("signature-replayed"))
        }
        #expect(try gateways[1].exchange(Request(nonce: "n-2").text).status == 200)
        #expect(claims.keys.allSatisfy { $0.hasPrefix("nonce:default:") })
        // A signature that is not right does not use its nonce up.
        #expect(try gateways[1].exchange(Request(nonce: "n-3", secret: Array("wrong".utf8)).text).status == 401)
        #expect(claims.keys.count == 2)
        claims.isAway.withLock { $0 = true }
        let answer: RawMessage = try gateways[1].exchange(Request(nonce: "n-4").text)
        #expect(answer.status == (away == .closed ? 503 : 200))
        #expect(answer.text.contains("policy-unavailable") == (away == .closed))
        for gateway in gateways { await gateway.stop() }
    }

    @Test func aSignedRequestIsTakenOnce() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await self.start(upstream)
        let request: Request = Request()
        let answer: RawMessage = try gateway.exchange(request.text)
        #expect(answer.status == 200)
        #expect(answer.text.hasSuffix(request.body))
        #expect(!answer.text.lowercased().contains("signature"))
        let again: RawMessage = try gateway.exchange(request.text)
        #expect(again.status == 401)
        #expect(again.text.contains("signature-replayed"))
        var next: Request = request
        next.nonce = "n-2"
        #expect(try gateway.exchange(next.text).status == 200)
        await gateway.stop()
    }

    @Test func whatIsChangedOrMissingIsRefused() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await self.start(upstream)
        let good: Request = Request()
        var bad: [(String, String)] = [
            ("another path", good.text.replacing("/orders", with: "/admin")),
            ("another query", good.text.replacing("a=1", with: "a=2")),
            ("another method", good.text.replacing("POST", with: "DELETE")),
            ("another host", good.text.replacing("API.test", with: "evil.test")),
            ("another body", good.text.replacing("{\"n\":1}", with: "{\"n\":2}")),
            ("another nonce", good.text.replacing("n-1", with: "n-9")),
            ("another time", good.text.replacing("created=", with: "created=1")),
            ("not signed", good.text.replacing("Signature: ", with: "X-Signature: ")),
            ("nonsense", good.text.replacing("sig1=(", with: "sig1=((")),
            ("two labels alike", good.text.replacing("Signature: ", with: "Signature: sig1=:AAAA:, ")),
            ("a component with a parameter", good.text.replacing("\"@path\"", with: "\"@path\";req")),
        ]
        var request: Request = good
        request.created -= 400
        bad.append(("too old", request.text))
        request = good
        request.created += 400
        bad.append(("from the future", request.text))
        request = good
        request.nonce = nil
        bad.append(("no nonce", request.text))
        request = good
        request.keyID = "key-2"
        bad.append(("unknown key", request.text))
        request = good
        request.secret = Array("another secret, just as long.....".utf8)
        bad.append(("wrong secret", request.text))
        request = good
        request.digestOf = "{}"
        bad.append(("digest of another body", request.text))
        for left in good.components {
            request = good
            request.components.removeAll { $0 == left }
            bad.append(("without \(left)", request.text))
        }
        for (name, text) in bad { #expect(try gateway.exchange(text).status == 401, "\(name)") }
        #expect(upstream.requests.isEmpty)
        // None of these used up the nonce.
        #expect(try gateway.exchange(good.text).status == 200)
        await gateway.stop()
    }

    // RFC 9421 appendix B.2.5.
    @Test func theExampleOfTheSpecification() throws {
        let secret: [UInt8] = try #require(
            Base64.decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="))
        let input: String =
            "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\""
        let signature: MessageSignature = try #require(
            MessageSignature(
                input: Array(input.utf8),
                signature: Array("sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:".utf8)))
        #expect(signature.components == ["date", "@authority", "content-type"])
        #expect(signature.created == 1_618_884_473)
        let base: String =
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n\"content-type\": application/json\n"
            + "\"@signature-params\": " + String(decoding: signature.parameters, as: UTF8.self)
        #expect(HMACSHA256.isValid(signature.signature, for: Array(base.utf8), key: secret))
    }

    @Test func fullTablesRefuseRatherThanForget() {
        let table: NonceTable = NonceTable(capacity: 16)
        var full: Int = 0
        for number in 0..<1000 {
            let digest: KeyDigest = KeyDigest(bytes: SHA256.hash("\(number)"))!
            switch table.note(digest, until: 100, now: 50) {
            case .fresh: #expect(table.note(digest, until: 100, now: 50) == .seen)
            case .full: full += 1
            case .seen: Issue.record("a nonce was seen before it came")
            }
        }
        #expect(full >= 900)
        // Later there is room again.
        let digest: KeyDigest = KeyDigest(bytes: SHA256.hash("later"))!
        #expect(table.note(digest, until: 300, now: 200) == .fresh)
    }
}
