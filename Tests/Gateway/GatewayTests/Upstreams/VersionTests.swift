import EventLoops
import GatewayConfiguration
import Testing

@testable import Gateway

/// Requests shared among versions of an upstream's targets.
struct VersionTests {
    private static let get: String = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    private static func server(_ name: String) throws -> RawUpstream {
        try .answering("HTTP/1.1 200 OK\r\nContent-Length: \(name.utf8.count)\r\n\r\n\(name)")
    }

    private static func canary(_ blue: Int, _ green: Int, sticky: HashSource? = nil) -> CanaryDefinition {
        CanaryDefinition(
            versions: [.init(name: "blue", weight: blue), .init(name: "green", weight: green)], sticky: sticky)
    }

    private static func gateway(
        _ blue: RawUpstream, _ green: RawUpstream, _ canary: CanaryDefinition,
        change: (inout APIDefinition) -> Void = { _ in }
    ) async throws -> GatewayUnderTest {
        try await .start([blue.port, green.port]) { (api: inout APIDefinition) in
            api.upstream.targets[0].version = "blue"
            api.upstream.targets[1].version = "green"
            api.upstream.canary = canary
            change(&api)
        }
    }

    /// The answers to these requests, one behind the other on one connection.
    private static func answers(_ gateway: GatewayUnderTest, _ requests: [String]) throws -> [String] {
        let client: RawSocket = try gateway.connect()
        defer { client.close() }
        var answers: [String] = []
        for request in requests {
            client.send(request)
            let message: RawMessage = client.receiveMessage()
            answers.append(message.status == 200 ? message.text : "\(message.status)")
        }
        return answers
    }

    // MARK: The choice

    @Test(arguments: [(95, 5), (1, 1), (0, 10), (1000, 1), (3, 0)]) func sharesFollowTheWeights(
        _ blue: Int, _ green: Int
    ) {
        let choice: VersionChoice = VersionChoice(Self.canary(blue, green))
        let total: Int = 100_000
        var greens: Int = 0
        for key in 1...UInt64(total) where choice.version(of: StableHash.mix(key)) == 1 { greens += 1 }
        let expected: Double = Double(total) * Double(green) / Double(blue + green)
        // Five standard deviations of a binomial; the keys are fixed.
        let share: Double = Double(green) / Double(blue + green)
        #expect(abs(Double(greens) - expected) <= 5 * (Double(total) * share * (1 - share)).squareRoot())
    }

    /// Whoever is at the last version stays there when its share grows, whatever the numbers it is written in.
    @Test func aGrowingShareKeepsWhomItHas() {
        let shares: [VersionChoice] = [(95, 5), (9, 1), (75, 25), (1, 1), (0, 7)].map {
            VersionChoice(Self.canary($0.0, $0.1))
        }
        for key in 1...UInt64(5000) {
            var isGreen: Bool = false
            for choice in shares {
                let version: UInt8 = choice.version(of: key &* 0x9e37_79b9_7f4a_7c15)
                #expect(!isGreen || version == 1)
                isGreen = version == 1
            }
            #expect(isGreen)
        }
    }

    // MARK: Over sockets

    @Test func blueAndGreenChangeAtOnce() async throws {
        let blue: RawUpstream = try Self.server("blue")
        let green: RawUpstream = try Self.server("green")
        let requests: [String] = [String](repeating: Self.get, count: 30)
        for (weights, name) in [((1, 0), "blue"), ((0, 1), "green")] {
            let gateway: GatewayUnderTest = try await Self.gateway(blue, green, Self.canary(weights.0, weights.1))
            #expect(Set(try Self.answers(gateway, requests)) == [name])
            await gateway.stop()
        }
    }

    @Test(arguments: [HashSource.header("x-user"), .cookie("user"), .query("user")])
    func aKeyAlwaysLeadsToTheSameVersion(_ source: HashSource) async throws {
        let blue: RawUpstream = try Self.server("blue")
        let green: RawUpstream = try Self.server("green")
        let gateway: GatewayUnderTest = try await Self.gateway(blue, green, Self.canary(1, 1, sticky: source))
        var found: Set<String> = []
        for user in 0..<40 {
            let request: String =
                "GET /?user=\(user) HTTP/1.1\r\nHost: a\r\nX-User: \(user)\r\nCookie: a=b; user=\(user)\r\n\r\n"
            let answers: Set<String> = Set(try Self.answers(gateway, [request, request, request]))
            #expect(answers.count == 1)
            found.formUnion(answers)
        }
        #expect(found == ["blue", "green"])
        await gateway.stop()
    }

    @Test(arguments: [false, true]) func aClientWithoutACookieGetsOneThatLeadsBack(_ isFiltered: Bool) async throws {
        let blue: RawUpstream = try Self.server("blue")
        let green: RawUpstream = try Self.server("green")
        var canary: CanaryDefinition = Self.canary(1, 1, sticky: .cookie("version"))
        canary.setCookie = true
        let gateway: GatewayUnderTest = try await Self.gateway(blue, green, canary) { (api: inout APIDefinition) in
            // Answers of such a route go through filters.
            if isFiltered { api.policies.append(.idempotency(IdempotencyPolicy())) }
        }
        let key: String = isFiltered ? "POST / HTTP/1.1\r\nIdempotency-Key: k" : "GET / HTTP/1.1\r\nX: "
        for turn in 0..<20 {
            let first: RawMessage = try gateway.exchange("\(key)\(turn)\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            let cookie: String = try #require(first.field("set-cookie"))
            #expect(cookie.hasSuffix("; Path=/; HttpOnly; SameSite=Lax"))
            let pair: String = String(cookie.prefix { $0 != ";" })
            #expect(pair.hasPrefix("version=") && pair.count == 24)
            let again: RawMessage = try gateway.exchange(
                "GET / HTTP/1.1\r\nHost: a\r\nCookie: \(pair)\r\n\r\n")
            #expect(again.text == first.text)
            #expect(again.field("set-cookie") == nil)
        }
        await gateway.stop()
    }

    /// Who asks for a version by its name gets it before it goes live; a name nobody has changes nothing.
    @Test func aVersionCanBeAskedFor() async throws {
        let blue: RawUpstream = try Self.server("blue")
        let green: RawUpstream = try Self.server("green")
        var canary: CanaryDefinition = Self.canary(1, 0, sticky: .address)
        canary.force = .header("x-version")
        let gateway: GatewayUnderTest = try await Self.gateway(blue, green, canary)
        let requests: [String] = ["green", "blue", "red", "", "Green", "greens"].map {
            "GET / HTTP/1.1\r\nHost: a\r\nX-Version: \($0)\r\n\r\n"
        }
        #expect(try Self.answers(gateway, requests) == ["green", "blue", "blue", "blue", "blue", "blue"])
        await gateway.stop()
    }

    /// A version that nobody can reach is answered for by the other one.
    @Test func aVersionThatIsGoneLosesNoRequest() async throws {
        let blue: RawUpstream = try Self.server("blue")
        let green: RawUpstream = try Self.server("green")
        green.stop()
        let gateway: GatewayUnderTest = try await Self.gateway(blue, green, Self.canary(1, 9)) {
            (api: inout APIDefinition) in
            api.upstream.retries = RetryDefinition(attempts: 2)
        }
        let answers: [String] = try Self.answers(gateway, [String](repeating: Self.get, count: 20))
        #expect(Set(answers) == ["blue"])
        await gateway.stop()
    }
}
