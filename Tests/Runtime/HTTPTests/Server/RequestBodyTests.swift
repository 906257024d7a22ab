import Testing

@testable import HTTP

@Suite struct RequestBodyTests {
    @Test func asksForABodyOnlyWhenTheHandlerReadsIt() async throws {
        try await TestServer.with(handler: { request in
            if request.path == "/refuse" { return .text("no", status: 403) }
            let body: [UInt8] = (try? await request.body.collect(max: 100)) ?? []
            return .text(String(decoding: body, as: UTF8.self))
        }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            #expect(try await connection.receive(through: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
            try await connection.send("hi")
            #expect(try await connection.receiveResponse().body == "hi")

            try await connection.send(
                "POST /refuse HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            let response: RawResponse = try await connection.receiveResponse()
            #expect(response.status == 403)
            #expect(response.field("connection") == "close")
            #expect(try await connection.receiveAll() == "")
        }
    }

    @Test func aBodyThatCameWithTheHeadNeedsNoContinue() async throws {
        try await TestServer.with(handler: { request in
            .text(String(decoding: (try? await request.body.collect(max: 100)) ?? [], as: UTF8.self))
        }) { server in
            let text: String = try await server.exchange(
                "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"
            )
            #expect(text.hasPrefix("HTTP/1.1 200 OK"))
            #expect(text.hasSuffix("\r\n\r\nhi"))
        }
    }

    @Test func anUnreadBodyIsBoundedHoweverMuchComes() async throws {
        let start: Latch = Latch()
        let total: Int = 8 << 20
        try await TestServer.with(handler: { request in
            await start.wait()
            var count: Int = 0
            do { for try await chunk in request.body { count += chunk.count } } catch {
                return .text("\(error)", status: 500)
            }
            return .text(String(count))
        }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \(total)\r\n\r\n")
            let sender: Task<Void, any Error> = Task {
                try await connection.send([UInt8](repeating: 0x61, count: total))
            }
            #expect(await eventually { server.statistics.requests.current == 1 })
            start.open()
            try await sender.value
            #expect(try await connection.receiveResponse().body == String(total))
            let peak: Int = server.statistics.bodyBytesUnreadPeak.current
            #expect(peak > 0)
            #expect(peak <= HTTPServerLimits().bodyBytesUnreadMax + ServerLoop.scratchBytes)
        }
    }

    @Test func aHandlerThatDoesNotReadStopsTheClient() async throws {
        let start: Latch = Latch()
        let total: Int = 64 << 20
        try await TestServer.with(handler: { request in
            await start.wait()
            let count: Int = ((try? await request.body.collect(max: 64 << 20)) ?? []).count
            return .text(String(count))
        }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \(total)\r\n\r\n")
            // Whatever the kernel holds is far less than the whole: the socket has to become full.
            let block: [UInt8] = [UInt8](repeating: 0x61, count: 1 << 20)
            var sent: Int = 0
            var idleRounds: Int = 0
            while idleRounds < 50 && sent < total {
                let count: Int = connection.sendWhatFits(Array(block.prefix(total - sent)))
                sent += count
                idleRounds = count == 0 ? idleRounds + 1 : 0
                if count == 0 { try await Task.sleep(for: .milliseconds(2)) }
            }
            #expect(sent < total)
            start.open()
            try await connection.send([UInt8](repeating: 0x61, count: total - sent))
            #expect(try await connection.receiveResponse().body == String(total))
        }
    }

    @Test func tooMuchInMidBodyIs413() async throws {
        var limits: HTTPServerLimits = HTTPServerLimits()
        limits.bodyBytesMax = 100_000
        try await TestServer.with(
            limits: limits,
            handler: { request in
                do throws(HTTPError) {
                    return .text(String(try await request.body.collect(max: 1 << 20).count))
                } catch {
                    return .text(error.description, status: error.status)
                }
            }
        ) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            let chunk: String = "2710\r\n" + String(repeating: "a", count: 10_000) + "\r\n"
            for _ in 0..<20 { try await connection.send(chunk) }
            let response: RawResponse = try await connection.receiveResponse()
            #expect(response.status == 413)
            #expect(response.body == "The body has more than 100000 bytes.")
            #expect(response.field("connection") == "close")
        }
    }

    @Test func aHandlersOwnLimitKeepsSmallRestsAndClosesOnLargeOnes() async throws {
        try await TestServer.with(handler: { request in
            do throws(HTTPError) {
                return .text(String(try await request.body.collect(max: 10).count))
            } catch {
                return .text(error.description, status: error.status)
            }
        }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send(
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" + String(repeating: "a", count: 20_000))
            let small: RawResponse = try await connection.receiveResponse()
            #expect(small.status == 413)
            #expect(small.field("connection") == nil)
            try await connection.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n")
            let large: RawResponse = try await connection.receiveResponse()
            #expect(large.status == 413)
            #expect(large.field("connection") == "close")
            // Still read for a while, so that a client in the middle of sending gets to see the answer.
            try await connection.send(String(repeating: "a", count: 1_000_000))
        }
    }

    @Test func brokenFramingReachesTheHandlerInMidStream() async throws {
        let seen: Shared<HTTPError?> = Shared(nil)
        try await TestServer.with(handler: { request in
            do throws(HTTPError) {
                _ = try await request.body.collect(max: 1 << 20)
            } catch {
                seen.update { $0 = error }
            }
            return .text("done", status: 400)
        }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            #expect(await eventually { server.statistics.requests.current == 1 })
            try await connection.send("3\r\nabcd\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
            let response: RawResponse = try await connection.receiveResponse()
            #expect(response.status == 400)
            #expect(response.field("connection") == "close")
            #expect(try await connection.receiveAll() == "")
            #expect(seen.current == .malformedBody(HTTPRefusal.chunkEnd.detail.description))
            #expect(server.statistics.requests.current == 1)
        }
    }

    @Test func aTruncatedBodyIsNotABody() async throws {
        let seen: Shared<HTTPError?> = Shared(nil)
        try await TestServer.with(handler: { request in
            do throws(HTTPError) {
                _ = try await request.body.collect(max: 1 << 20)
            } catch {
                seen.update { $0 = error }
            }
            return .text("x")
        }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc")
            #expect(await eventually { server.statistics.requests.current == 1 })
            connection.close()
            #expect(await eventually { seen.current == .disconnected })
            #expect(await eventually { server.statistics.requestsAbandoned.current == 1 })

            let second: RawConnection = try await server.connect()
            try await second.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
            second.close()
            #expect(await eventually { server.statistics.connectionsOpen.current == 0 })
            #expect(server.statistics.requests.current == 1)
        }
    }

    @Test func aResetIsNoticedWhileNobodyReads() async throws {
        let cancelled: Shared<Bool> = Shared(false)
        try await TestServer.with(handler: { _ in
            try? await Task.sleep(for: .seconds(600))
            cancelled.update { $0 = Task.isCancelled }
            return .text("x")
        }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n")
            try await connection.send([UInt8](repeating: 0, count: 200_000))
            #expect(await eventually { server.statistics.requests.current == 1 })
            connection.reset()
            #expect(await eventually { cancelled.current })
            #expect(await eventually { server.statistics.connectionsOpen.current == 0 })
        }
    }

    @Test func echoesWhileTheBodyIsStillComing() async throws {
        try await TestServer.with(handler: { request in
            HTTPResponse(status: 200) { writer in
                for try await chunk in request.body { try await writer.write(chunk) }
            }
        }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            _ = try await connection.receive(through: "\r\n\r\n")
            for word in ["one", "three", "seven"] {
                try await connection.send(String(word.utf8.count, radix: 16) + "\r\n" + word + "\r\n")
                #expect(try await connection.receive(through: word + "\r\n") == "\(word.utf8.count)\r\n\(word)\r\n")
            }
            try await connection.send("0\r\n\r\n")
            #expect(try await connection.receive(through: "0\r\n\r\n") == "0\r\n\r\n")
            try await connection.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
            #expect(try await connection.receive(through: "0\r\n\r\n").hasSuffix("1\r\nx\r\n0\r\n\r\n"))
        }
    }
}
