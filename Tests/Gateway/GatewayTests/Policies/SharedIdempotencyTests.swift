import GatewayConfiguration
import Glibc
import Synchronization
import Telemetry
import Testing

@testable import Gateway

/// Two gateways that share what they know of idempotency keys.
struct SharedIdempotencyTests {
    private static let post: String =
        "POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\nContent-Length: 2\r\n\r\n"

    private struct Pair {
        let first: GatewayUnderTest
        let second: GatewayUnderTest
        let claims: MemoryClaims
        let metrics: MetricRegistry

        func stop() async {
            await self.first.stop()
            await self.second.stop()
        }

        /// How often a look-up ended so.
        func count(_ result: String) -> Int {
            let name: String = #"passerelle_gateway_shared_claims_total{kind="idempotency",result="\#(result)"} "#
            let text: String = String(decoding: self.metrics.prometheusText(), as: UTF8.self)
            let line: Substring? = text.split(separator: "\n").first { $0.hasPrefix(name) }
            return line.flatMap { Int($0.dropFirst(name.count)) } ?? -1
        }
    }

    private static func start(
        _ upstream: RawUpstream, away: CounterSettings.Away = .divided, policy: IdempotencyPolicy = IdempotencyPolicy(),
        secrets: [[UInt8]] = [[], []]
    ) async throws -> Pair {
        let claims: MemoryClaims = MemoryClaims()
        let metrics: MetricRegistry = MetricRegistry()
        var gateways: [GatewayUnderTest] = []
        for secret in secrets {
            let live: LiveState = LiveState()
            live.claims.attach(claims, secrets: secret.isEmpty ? [] : [secret], away: away, metrics: metrics)
            gateways.append(try await .start([upstream.port], policies: [.idempotency(policy)], live: live))
        }
        return Pair(first: gateways[0], second: gateways[1], claims: claims, metrics: metrics)
    }

    /// Numbers its answers.
    private static func counting(_ status: Int = 201) throws -> RawUpstream {
        let count: Counter = Counter()
        return try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                count.add(1)
                session.send(
                    "HTTP/1.1 \(status) X\r\nX-Id: 7\r\nContent-Length: 1\r\nKeep-Alive: timeout=5\r\n\r\n\(count.value)"
                )
            }
        }
    }

    @Test func aKeySeenAtOneGatewayIsHonouredAtTheOther() async throws {
        let upstream: RawUpstream = try Self.counting()
        let pair: Pair = try await Self.start(upstream)
        #expect(try await pair.first.answer(Self.post + "ab").text == "1")
        #expect(await eventually { pair.claims.settledCount == 1 && pair.first.live.claims.leaseCount == 0 })
        for _ in 0..<2 {
            let again: RawMessage = try await pair.second.answer(Self.post + "ab")
            #expect(again.status == 201)
            #expect(again.text == "1")
            #expect(again.field("x-id") == "7")
            #expect(again.field("idempotent-replayed") == "true")
            #expect(again.field("keep-alive") == nil)
        }
        #expect(try await pair.second.answer(Self.post + "xy").status == 422)
        #expect(upstream.requests.count == 1)
        #expect(pair.claims.keys.allSatisfy { $0.hasPrefix("idempotency:default:") && !$0.contains("k1") })
        #expect(pair.count("first") == 1)
        #expect(pair.count("known") == 3)
        await pair.stop()
        #expect(pair.first.engine.blockCount == 0)
        #expect(pair.second.engine.blockCount == 0)
    }

    @Test func whatIsWorkedOnAtOneGatewayIs409AtTheOther() async throws {
        let goOn: Mutexed<Bool> = Mutexed(false)
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                while !goOn.value { usleep(1000) }
                session.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
            }
        }
        let pair: Pair = try await Self.start(upstream)
        let client: RawSocket = try pair.first.connect()
        client.send(Self.post + "ab")
        #expect(await eventually { upstream.requests.count == 1 })
        #expect(pair.first.live.claims.leaseCount == 1)
        await pair.first.live.claims.renew()
        let second: RawMessage = try await pair.second.answer(Self.post + "ab")
        #expect(second.status == 409)
        #expect(second.field("retry-after") == "1")
        #expect(try await pair.second.answer(Self.post + "xy").status == 422)
        goOn.change { $0 = true }
        #expect(client.receiveMessage().text == "done")
        #expect(await eventually { pair.claims.settledCount == 1 })
        #expect(try await pair.second.answer(Self.post + "ab").text == "done")
        #expect(upstream.requests.count == 1)
        await pair.stop()
    }

    @Test func whatWasNotDoneIsFreeForTheOther() async throws {
        let upstream: RawUpstream = try Self.counting(503)
        let pair: Pair = try await Self.start(upstream)
        #expect(try await pair.first.answer(Self.post + "ab").status == 503)
        #expect(await eventually { pair.claims.keys.isEmpty })
        #expect(try await pair.second.answer(Self.post + "ab").text == "2")
        #expect(await eventually { pair.claims.keys.isEmpty })
        await pair.stop()
    }

    @Test func anAnswerTooLargeToBeKeptIsNotRepeatedAnywhere() async throws {
        let upstream: RawUpstream = try Self.counting()
        let pair: Pair = try await Self.start(upstream, policy: IdempotencyPolicy(answerBytesMax: 0))
        #expect(try await pair.first.answer(Self.post + "ab").status == 201)
        #expect(await eventually { pair.claims.settledCount == 1 })
        let again: RawMessage = try await pair.second.answer(Self.post + "ab")
        #expect(again.status == 409)
        #expect(again.text.contains("idempotency-unrepeatable"))
        await pair.stop()
    }

    @Test(arguments: [(CounterSettings.Away.divided, 201), (.open, 201), (.closed, 503)])
    func whileThePlaceIsAwayRequestsPassOrAreRefused(_ away: CounterSettings.Away, status: Int) async throws {
        let upstream: RawUpstream = try Self.counting()
        let pair: Pair = try await Self.start(upstream, away: away)
        pair.claims.isAway.withLock { $0 = true }
        let refusal: RawMessage = try await pair.first.answer(Self.post + "ab")
        #expect(refusal.status == status)
        #expect(refusal.text.contains("policy-unavailable") == (status == 503))
        // What a gateway knows itself holds all the same; a key that was refused is free.
        #expect(try await pair.first.answer(Self.post + "ab").status == status)
        #expect(try await pair.second.answer(Self.post + "ab").status == status)
        #expect(upstream.requests.count == (status == 503 ? 0 : 2))
        #expect(pair.count("away") == (status == 503 ? 3 : 2))
        await pair.stop()
    }

    /// Who keeps the records reads nothing of them, and who has another secret neither does it nor does the request again.
    @Test(arguments: [true, false]) func whatIsKeptIsSealed(withOneSecret: Bool) async throws {
        let answer: String = "HTTP/1.1 201 X\r\nX-Hidden: planted\r\nContent-Length: 7\r\n\r\nplanted"
        let upstream: RawUpstream = try .answering(answer)
        let secret: [UInt8] = Array("a secret of the gateways".utf8)
        let pair: Pair = try await Self.start(upstream, secrets: [secret, withOneSecret ? secret : []])
        #expect(try await pair.first.answer(Self.post + "ab").status == 201)
        #expect(await eventually { pair.claims.settledCount == 1 })
        let stored: [UInt8] = try #require(pair.claims.stored.first)
        #expect(stored.firstRange(of: Array("planted".utf8)) == nil)
        #expect(IdempotencyRecord(Array(stored.dropFirst())) == nil)
        let again: RawMessage = try await pair.second.answer(Self.post + "ab")
        #expect(again.status == (withOneSecret ? 201 : 409))
        #expect(again.text.contains("planted") == withOneSecret)
        #expect(upstream.requests.count == 1)
        await pair.stop()
    }

    /// Another secret, in three steps: it opens everywhere, it seals everywhere, the one before goes.
    @Test func theSecretOfTheGatewaysChangesWhileTheyServe() async throws {
        let upstream: RawUpstream = try Self.counting()
        let (old, new): ([UInt8], [UInt8]) = (Array("the secret of before".utf8), Array("the one that follows".utf8))
        let pair: Pair = try await Self.start(upstream, secrets: [old, old])
        let gateways: [GatewayUnderTest] = [pair.first, pair.second]
        var step: Int = 0
        for (first, second) in [([old], [old, new]), ([old, new], [new, old]), ([new, old], [new]), ([new], [new])] {
            for (gateway, secrets) in zip(gateways, [first, second]) {
                _ = gateway.live.claims.use(secrets: secrets)
                #expect(!gateway.live.claims.use(secrets: secrets), "nothing changed")
            }
            for (here, there) in [(0, 1), (1, 0)] {
                step += 1
                let head: String = Self.post.replacing("k1", with: "k\(step)")
                let text: String = try await gateways[here].answer(head + "ab").text
                #expect(text == "\(step)")
                let number: Int = step
                #expect(await eventually { pair.claims.settledCount == number })
                #expect(try await gateways[there].answer(head + "ab").text == text)
            }
        }
        await pair.stop()
    }

    @Test func aSealOpensForItsKeyNameAndSecretOnly() throws {
        let record: IdempotencyRecord = IdempotencyRecord(
            fingerprint: [UInt8](repeating: 7, count: 32), state: .unrepeatable)
        let secret: [UInt8] = [UInt8](repeating: 1, count: 16)
        let seal: IdempotencySeal = IdempotencySeal(name: "a", request: [1], secrets: [secret])
        let sealed: [UInt8] = try #require(seal.seal(record))
        #expect(seal.open(sealed)?.bytes == record.bytes)
        #expect(seal.seal(record) != sealed, "no two are the same")
        for other in [
            IdempotencySeal(name: "b", request: [1], secrets: [secret]),
            IdempotencySeal(name: "a", request: [2], secrets: [secret]),
            IdempotencySeal(name: "a", request: [1], secrets: [[UInt8](repeating: 2, count: 16)]),
            IdempotencySeal(name: "a", request: [1], secrets: []),
        ] {
            #expect(other.open(sealed) == nil)
        }
        for place in sealed.indices {
            var changed: [UInt8] = sealed
            changed[place] ^= 1
            #expect(seal.open(changed) == nil)
            #expect(seal.open(Array(sealed[..<place])) == nil)
        }
        #expect(seal.open(record.bytes) == nil, "in the clear it is nobody's")
    }

    @Test func aRecordIsReadAsItWasWritten() throws {
        let fingerprint: [UInt8] = [UInt8](repeating: 7, count: 32)
        var answer: LocalAnswer = LocalAnswer(status: 201, body: [[1, 2], [3]])
        answer.fields.add("X-A", "b")
        answer.fields.add("X-Empty", "")
        answer.fields.add("Content-Length", "9")
        let done: IdempotencyRecord = try #require(
            IdempotencyRecord(IdempotencyRecord(fingerprint: fingerprint, state: .done(answer)).bytes))
        #expect(done.fingerprint == fingerprint)
        guard case .done(let read) = done.state else {
            Issue.record("expected an answer")
            return
        }
        #expect(read.status == 201)
        #expect(String(decoding: read.fields.bytes, as: UTF8.self) == "X-A: b\r\nX-Empty: \r\n")
        #expect(read.body == [[1, 2, 3]])
        let token: [UInt8] = Array(1...16)
        let claimed: IdempotencyRecord = IdempotencyRecord(fingerprint: fingerprint, state: .inProgress(token: token))
        guard case .inProgress(token)? = IdempotencyRecord(claimed.bytes)?.state else {
            Issue.record("expected a claim")
            return
        }
        // Every cut of it is none, and so is everything behind it.
        for count in 0..<claimed.bytes.count { #expect(IdempotencyRecord(Array(claimed.bytes[..<count])) == nil) }
        #expect(IdempotencyRecord(claimed.bytes + [0]) == nil)
    }

    @Test(arguments: [
        "X-A: b", "X-A: b\n", "X-A b\r\n", ": b\r\n", "X A: b\r\n", "X-A:b\r\n", "X-A: a\u{0}b\r\n", "X-A: a\nX: b\r\n",
    ])
    func anAnswerWithFieldsThatAreNoneIsNotTaken(_ lines: String) {
        var bytes: [UInt8] = [1, UInt8(ascii: "d")] + [UInt8](repeating: 0, count: 32) + [0, 200, 0, 0, 0]
        bytes += [UInt8(lines.utf8.count)] + Array(lines.utf8)
        #expect(IdempotencyRecord(bytes) == nil)
    }
}
