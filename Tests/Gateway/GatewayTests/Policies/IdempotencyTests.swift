import GatewayConfiguration
import Glibc
import JSON
import Synchronization
import Testing
import Tokens

@testable import Gateway

struct IdempotencyTests {
    private static let post: String =
        "POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\nContent-Length: 2\r\n\r\n"

    /// Numbers its answers: a repeated one is told from a new one.
    private static func counting() throws -> RawUpstream {
        let count: Counter = Counter()
        return try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                count.add(1)
                let text: String = "answer \(count.value)"
                session.send("HTTP/1.1 201 Created\r\nX-Id: 7\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
            }
        }
    }

    private func start(
        _ upstream: RawUpstream, _ policy: IdempotencyPolicy = IdempotencyPolicy(), more: [PolicyDefinition] = []
    ) async throws -> GatewayUnderTest {
        try await .start([upstream.port], policies: [.idempotency(policy)] + more)
    }

    @Test func repeatsTheAnswerAndNotTheRequest() async throws {
        let upstream: RawUpstream = try Self.counting()
        let gateway: GatewayUnderTest = try await self.start(upstream)
        let first: RawMessage = try gateway.exchange(Self.post + "ab")
        #expect(first.text == "answer 1")
        #expect(first.field("idempotent-replayed") == nil)
        for _ in 0..<3 {
            let again: RawMessage = try gateway.exchange(Self.post + "ab")
            #expect(again.status == 201)
            #expect(again.text == "answer 1")
            #expect(again.field("x-id") == "7")
            #expect(again.field("idempotent-replayed") == "true")
        }
        #expect(upstream.requests.count == 1)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    @Test(arguments: [
        ("POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\nContent-Length: 2\r\n\r\nxy", 422),
        ("POST /other HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\nContent-Length: 2\r\n\r\nab", 422),
        ("POST /pay?a=b HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\nContent-Length: 2\r\n\r\nab", 422),
        ("PATCH /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\nContent-Length: 2\r\n\r\nab", 422),
        ("PUT /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\nContent-Length: 2\r\n\r\nab", 201),
        ("GET /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\n\r\n", 201),
        ("POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k2\r\nContent-Length: 2\r\n\r\nab", 201),
        ("POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", 201),
        ("POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: a b\r\nContent-Length: 2\r\n\r\nab", 400),
        ("POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key:\r\nContent-Length: 2\r\n\r\nab", 400),
        (
            "POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\nIdempotency-Key: k1\r\nContent-Length: 2\r\n\r\nab",
            400
        ),
        (
            "POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: \(String(repeating: "x", count: 256))\r\nContent-Length: 0\r\n\r\n",
            400
        ),
    ])
    func tellsRequestsApart(request: String, status: Int) async throws {
        let upstream: RawUpstream = try Self.counting()
        let gateway: GatewayUnderTest = try await self.start(upstream)
        #expect(try gateway.exchange(Self.post + "ab").status == 201)
        let response: RawMessage = try gateway.exchange(request)
        #expect(response.status == status)
        #expect(response.field("idempotent-replayed") == nil)
        #expect(upstream.requests.count == (status == 201 ? 2 : 1))
        await gateway.stop()
    }

    @Test func aRequiredKeyIsAskedFor() async throws {
        let upstream: RawUpstream = try Self.counting()
        let gateway: GatewayUnderTest = try await self.start(upstream, IdempotencyPolicy(isRequired: true))
        let response: RawMessage = try gateway.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        #expect(response.status == 400)
        #expect(response.text.contains("idempotency-key-invalid"))
        #expect(try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 201)
        await gateway.stop()
        upstream.stop()
    }

    @Test func aDuplicateWhileItIsWorkedOnIs409() async throws {
        let goOn: Mutexed<Bool> = Mutexed(false)
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                while !goOn.value { usleep(1000) }
                session.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
            }
        }
        let gateway: GatewayUnderTest = try await self.start(upstream)
        let client: RawSocket = try gateway.connect()
        client.send(Self.post + "ab")
        #expect(await eventually { upstream.requests.count == 1 })
        let second: RawMessage = try gateway.exchange(Self.post + "ab")
        #expect(second.status == 409)
        #expect(second.field("retry-after") == "1")
        goOn.change { $0 = true }
        #expect(client.receiveMessage().text == "done")
        #expect(try gateway.exchange(Self.post + "ab").text == "done")
        #expect(upstream.requests.count == 1)
        await gateway.stop()
    }

    /// The usual reason for a repetition: the first answer did not reach the client.
    @Test func keepsTheAnswerForAClientThatWentAway() async throws {
        let goOn: Mutexed<Bool> = Mutexed(false)
        let body: String = String(repeating: "0123456789", count: 20_000)
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                while !goOn.value { usleep(1000) }
                session.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
            }
        }
        let gateway: GatewayUnderTest = try await self.start(upstream)
        let client: RawSocket = try gateway.connect()
        client.send(Self.post + "ab")
        #expect(await eventually { upstream.requests.count == 1 })
        client.close(abruptly: true)
        #expect(await eventually { gateway.engine.connectionCount == 0 })
        #expect(try gateway.exchange(Self.post + "ab").status == 409)
        goOn.change { $0 = true }
        #expect(await eventually { (try? gateway.exchange(Self.post + "ab").text == body) == true })
        #expect(upstream.requests.count == 1)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    @Test(arguments: [
        "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 429 Slow\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbro", "garbage\r\n\r\n",
    ])
    func aRequestThatWasNotDoneMayBeTriedAgain(answer: String) async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            let isFirst: Bool = session.upstream.requests.count == 1
            session.send(isFirst ? answer : "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone")
            session.socket.close()
        }
        let gateway: GatewayUnderTest = try await self.start(upstream)
        let client: RawSocket = try gateway.connect()
        client.send(Self.post + "ab")
        _ = client.receive(until: "\r\n\r\n")
        client.close()
        #expect(await eventually { gateway.engine.connectionCount == 0 })
        #expect(try gateway.exchange(Self.post + "ab").text == "done")
        #expect(try gateway.exchange(Self.post + "ab").field("idempotent-replayed") == "true")
        await gateway.stop()
        upstream.stop()
    }

    @Test func anAnswerThatIsTooLargeIsNotRepeated() async throws {
        let upstream: RawUpstream = try Self.counting()
        let gateway: GatewayUnderTest = try await self.start(upstream, IdempotencyPolicy(answerBytesMax: 3))
        #expect(try gateway.exchange(Self.post + "ab").text == "answer 1")
        let again: RawMessage = try gateway.exchange(Self.post + "ab")
        #expect(again.status == 409)
        #expect(again.text.contains("idempotency-unrepeatable"))
        #expect(upstream.requests.count == 1)
        await gateway.stop()
    }

    /// Callers whose names look alike when they are written one behind the other.
    @Test func aKeyOfOneCallerIsNoneOfAnother() async throws {
        let upstream: RawUpstream = try Self.counting()
        let other: JWTIssuer = JWTIssuer(
            issuer: "https://other.test", keys: .inline(try SampleIssuer.keysText()), audiences: ["api"],
            algorithms: [.es256])
        var document: GatewayDocument = try GatewayUnderTest.document(
            [upstream.port],
            policies: [
                try SampleIssuer.policy { $0.issuers.append(other) }, .idempotency(IdempotencyPolicy()),
            ])
        document.applications = ["shop", "shops"].map {
            ApplicationDefinition(
                id: $0, credentials: [CredentialDefinition(kind: .client(id: $0))],
                subscriptions: [SubscriptionDefinition(api: "test")])
        }
        let gateway: GatewayUnderTest = try await .start(document)
        let callers: [JSONObject] = [
            ["sub": "1", "client_id": "shops"], ["sub": "s1", "client_id": "shop"], ["sub": "s1"],
            ["sub": "s1", "iss": "https://other.test"],
        ]
        for _ in 0..<2 {
            for (number, claims) in callers.enumerated() {
                let token: String = try SampleIssuer.token(claims)
                let answer: RawMessage = try gateway.exchange(
                    "POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\nAuthorization: Bearer \(token)\r\nContent-Length: 0\r\n\r\n"
                )
                #expect(answer.text == "answer \(number + 1)")
            }
        }
        await gateway.stop()
    }

    // MARK: The store

    @Test func forgetsAfterTheTimeToLive() {
        let store: IdempotencyStore = IdempotencyStore()
        guard case .first(let claim) = store.claim([1], fingerprint: [9], now: 0) else {
            Issue.record("the key was free")
            return
        }
        store.complete([1], claim: claim, answer: LocalAnswer(status: 200), expires: 100, now: 0)
        if case .done = store.claim([1], fingerprint: [9], now: 99) {} else { Issue.record("it is kept until then") }
        if case .first = store.claim([1], fingerprint: [9], now: 100) {
        } else {
            Issue.record("it is free from then on")
        }
    }

    /// A request that took longer than any may, and whose answer needs the room that its own entry takes.
    @Test func keepsCountOfOneThatOutlivedItsTime() {
        let late: UInt64 = IdempotencyStore.inProgressMax + 1
        let store: IdempotencyStore = IdempotencyStore(entriesMax: 16, bytesMax: 16 << 10)
        guard case .first(let claim) = store.claim([1], fingerprint: [9], now: 0) else {
            Issue.record("the key was free")
            return
        }
        store.complete([1], claim: claim, answer: LocalAnswer(status: 200), expires: late + 100, now: late)
        #expect(store.count == 1)
        #expect(store.bytes > 0)
        store.release([1], claim: claim)
        #expect(store.count == 0)
        #expect(store.bytes == 0)
    }

    @Test func staysWithinItsBounds() {
        let store: IdempotencyStore = IdempotencyStore(entriesMax: 160, bytesMax: 1 << 20)
        let answer: LocalAnswer = LocalAnswer(status: 200, body: [[UInt8](repeating: 0, count: 5000)])
        for number in 0..<2000 {
            let key: [UInt8] = Array("key \(number)".utf8)
            guard case .first(let claim) = store.claim(key, fingerprint: [], now: 0) else {
                Issue.record("the oldest answer makes room")
                return
            }
            store.complete(key, claim: claim, answer: answer, expires: 1000, now: 0)
            #expect(store.count <= 160)
            #expect(store.bytes <= 1 << 20)
        }
        #expect(store.count > 80)
    }

    @Test func refusesWhereAllAreUnderWay() {
        let store: IdempotencyStore = IdempotencyStore(entriesMax: 32, bytesMax: 1 << 20)
        var refused: Int = 0
        var taken: [([UInt8], UInt64)] = []
        for number in 0..<500 {
            let key: [UInt8] = Array("key \(number)".utf8)
            switch store.claim(key, fingerprint: [], now: 0) {
            case .first(let claim): taken.append((key, claim))
            case .full: refused += 1
            default: Issue.record("every key is new")
            }
        }
        #expect(taken.count <= 32)
        #expect(taken.count + refused == 500)
        for (key, claim) in taken { store.release(key, claim: claim) }
        #expect(store.count == 0)
        #expect(store.bytes == 0)
    }
}
