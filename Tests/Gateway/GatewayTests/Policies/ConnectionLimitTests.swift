import GatewayConfiguration
import Testing

@testable import Gateway

struct ConnectionLimitTests {
    private static let get: String = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    private static func status(_ client: RawSocket, _ request: String = get) -> Int? {
        client.send(request)
        return client.receiveMessage().status
    }

    private static func held(_ content: ContentGateway, _ limit: String = "default/test", byAddress: Bool = true) -> Int
    {
        let address: IPAddress? = byAddress ? IPAddress(text: "127.0.0.1") : nil
        return content.gateway.live.connections.count(SeatKey(limit: limit, address: address))
    }

    @Test func refusesTheConnectionBeyondTheLimitAndClosesIt() async throws {
        let content: ContentGateway = try await .start("policies: [{connection_limit: 2}]")
        let first: RawSocket = try content.gateway.connect()
        let second: RawSocket = try content.gateway.connect()
        for _ in 0..<3 {
            #expect(Self.status(first) == 200)
            #expect(Self.status(second) == 200)
        }
        let third: RawSocket = try content.gateway.connect()
        third.send(Self.get)
        let refusal: RawMessage = third.receiveMessage()
        #expect(refusal.status == 429)
        #expect(refusal.field("retry-after") == "1")
        #expect(refusal.field("ratelimit-policy") == "\"connections\";q=2;qu=\"connections\"")
        #expect(refusal.field("ratelimit") == "\"connections\";r=0")
        #expect(refusal.field("connection") == "close")
        #expect(refusal.text.contains("urn:passerelle:problem:too-many-connections"))
        #expect(third.receiveAll() == "")
        first.close()
        #expect(await eventually { Self.held(content) == 1 })
        let fourth: RawSocket = try content.gateway.connect()
        #expect(Self.status(fourth) == 200)
        for client in [second, fourth] { client.close() }
        #expect(await eventually { Self.held(content) == 0 })
        await content.stop()
    }

    @Test func streamsOfOneConnectionCountOnce() async throws {
        let content: ContentGateway = try await .start("policies: [{connection_limit: {limit: 1, by: api}}]")
        let peer: HTTP2Peer = try HTTP2Peer(port: content.gateway.port)
        for number in 0..<3 { peer.headers(UInt32(1 + 2 * number), HTTP2Peer.request("GET", "/\(number)")) }
        for number in 0..<3 { #expect(peer.response(UInt32(1 + 2 * number)).status == 200) }
        #expect(Self.held(content, byAddress: false) == 1)
        let refused: HTTP2Peer = try HTTP2Peer(port: content.gateway.port)
        // GOAWAY without an error (RFC 9113, 6.8), and the end once the answer is out.
        refused.headers(1, HTTP2Peer.request("GET", "/"))
        #expect(refused.untilGoAway() == 0)
        #expect(refused.response(1).status == 429)
        while refused.next() != nil {}
        peer.socket.close()
        #expect(await eventually { Self.held(content, byAddress: false) == 0 })
        let other: HTTP2Peer = try HTTP2Peer(port: content.gateway.port)
        #expect(other.exchange(1, HTTP2Peer.request("GET", "/")).status == 200)
        other.socket.close()
        #expect(await eventually { Self.held(content, byAddress: false) == 0 })
        await content.stop()
    }

    @Test(arguments: [
        ("connection_limit: 4", 1, 4), ("connection_limit: 4", 2, 2), ("connection_limit: 3", 2, 1),
        ("connection_limit: 1", 3, 1), ("connection_limit: {limit: 2, scope: gateway}", 2, 2),
    ]) func liveGatewaysDivideTheLimit(_ policy: String, gateways: Int, expected: Int) async throws {
        let content: ContentGateway = try await .start("policies: [{\(policy)}]")
        content.gateway.live.limitShare = gateways
        var clients: [RawSocket] = []
        for _ in 0..<expected {
            let client: RawSocket = try content.gateway.connect()
            #expect(Self.status(client) == 200)
            clients.append(client)
        }
        let beyond: RawSocket = try content.gateway.connect()
        beyond.send(Self.get)
        let refusal: RawMessage = beyond.receiveMessage()
        #expect(refusal.status == 429)
        #expect(refusal.field("ratelimit-policy") == "\"connections\";q=\(expected);qu=\"connections\"")
        // Whoever is in stays in when gateways come.
        content.gateway.live.limitShare = 100
        #expect(Self.status(clients[0]) == 200)
        for client in clients { client.close() }
        #expect(await eventually { Self.held(content) == 0 })
        await content.stop()
    }

    @Test func aRoutesOwnLimitStandsForTheAPIs() async throws {
        let content: ContentGateway = try await .start(
            """
            policies: [{connection_limit: 1}]
            routes: [{id: own, path: /own, policies: [{connection_limit: 2}]}, {path: /*}]
            """)
        let own: String = "GET /own HTTP/1.1\r\nHost: a\r\n\r\n"
        let first: RawSocket = try content.gateway.connect()
        let second: RawSocket = try content.gateway.connect()
        #expect(Self.status(first) == 200)
        #expect(Self.status(first, own) == 200)
        #expect(Self.status(second, own) == 200)
        #expect(Self.held(content) == 1)
        #expect(Self.held(content, "default/test own") == 2)
        #expect(Self.status(second) == 429)
        for client in [first, second] { client.close() }
        #expect(await eventually { Self.held(content, "default/test own") == 0 && Self.held(content) == 0 })
        await content.stop()
    }

    @Test func addressesOfOneNetworkShareASeat() throws {
        let one: IPAddress = try #require(IPAddress(text: "2001:db8::1"))
        let two: IPAddress = try #require(IPAddress(text: "2001:db8::2"))
        let other: IPAddress = try #require(IPAddress(text: "2001:db8:0:1::1"))
        #expect(SeatKey(limit: "a", address: one) == SeatKey(limit: "a", address: two))
        #expect(SeatKey(limit: "a", address: one) != SeatKey(limit: "a", address: other))
        #expect(SeatKey(limit: "a", address: one) != SeatKey(limit: "b", address: two))
        let counts: ConnectionCounts = ConnectionCounts()
        let key: SeatKey = SeatKey(limit: "a", address: one)
        var seats: ConnectionSeats? = ConnectionSeats()
        #expect(seats?.sit(key, limit: 1, counts) == true)
        #expect(seats?.sit(key, limit: 1, counts) == true)
        #expect(!ConnectionSeats().sit(key, limit: 1, counts))
        seats = nil
        #expect(counts.count(key) == 0)
    }
}
