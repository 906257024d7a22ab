import Testing

@testable import HTTP

@Suite struct StreamingResponseTests {
    @Test func streamsInChunks() async throws {
        try await TestServer.with(handler: { _ in
            HTTPResponse(status: 200) { writer in
                try await writer.write("hello ")
                try await writer.write("world")
            }
        }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await connection.receive(through: "\r\n\r\n").contains("transfer-encoding: chunked\r\n"))
            #expect(try await connection.receive(through: "0\r\n\r\n") == "6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n")
            try await connection.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            let old: String = try await connection.receiveAll()
            #expect(old.contains("connection: close\r\n"))
            #expect(old.hasSuffix("\r\n\r\nhello world"))
        }
    }

    @Test func keepsAPromisedLength() async throws {
        try await TestServer.with(handler: { request in
            HTTPResponse(status: 200, fields: ["content-length": "5"]) { writer in
                try await writer.write(request.path == "/short" ? "abc" : "abcde")
            }
        }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            let response: RawResponse = try await connection.receiveResponse()
            #expect(response.body == "abcde")
            #expect(response.field("transfer-encoding") == nil)
            try await connection.send("GET /short HTTP/1.1\r\nHost: h\r\n\r\n")
            await #expect(throws: RawConnection.Failure.self) { try await connection.receiveResponse() }
        }
    }

    @Test func aProducerThatThrowsBreaksTheBody() async throws {
        struct Oops: Error {}
        try await TestServer.with(handler: { _ in
            HTTPResponse(status: 200) { writer in
                try await writer.write("partial")
                throw Oops()
            }
        }) { server in
            let text: String = try await server.exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(!text.hasSuffix("0\r\n\r\n"))
        }
    }

    @Test func aSlowReaderHoldsTheProducer() async throws {
        let written: Shared<Int> = Shared(0)
        let block: [UInt8] = [UInt8](repeating: 0x62, count: 32 * 1024)
        let blocks: Int = 1024
        try await TestServer.with(handler: { _ in
            HTTPResponse(status: 200, fields: ["content-length": String(block.count * blocks)]) { writer in
                for _ in 0..<blocks {
                    try await writer.write(block)
                    written.update { $0 += block.count }
                }
            }
        }) { server in
            let connection: RawConnection = try await server.connect(receiveBuffer: 16 * 1024)
            try await connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            // The producer stops once kernel buffers and the queue are full: its count stays where it is.
            var last: Int = -1
            var still: Int = 0
            while still < 50 {
                let now: Int = written.current
                still = now == last && now > 0 ? still + 1 : 0
                last = now
                try await Task.sleep(for: .milliseconds(2))
            }
            #expect(last < block.count * blocks)
            let head: String = try await connection.receive(through: "\r\n\r\n")
            #expect(head.hasPrefix("HTTP/1.1 200"))
            let body: [UInt8] = try await connection.receive(count: block.count * blocks)
            #expect(body.count == block.count * blocks)
            #expect(written.current == block.count * blocks)
            #expect(await eventually { server.statistics.responseBytesUnsentPeak.current > 0 })
            #expect(server.statistics.responseBytesUnsentPeak.current <= ResponseWriter.unsentBytesMax + block.count)
        }
    }

    @Test func aGoneClientCancelsTheProducer() async throws {
        let ended: Shared<Int> = Shared(0)
        let handler: @Sendable (HTTPRequest) async -> HTTPResponse = { request in
            if request.path == "/wait" {
                while !Task.isCancelled { try? await Task.sleep(for: .seconds(60)) }
                ended.update { $0 += 1 }
                return .text("too late")
            }
            return .events { writer in
                defer { ended.update { $0 += 1 } }
                try await writer.send(ServerSentEvent(data: "first"))
                try await Task.sleep(for: .seconds(600))
            }
        }
        try await TestServer.with(handler: handler) { server in
            for isReset in [false, true] {
                let connection: RawConnection = try await server.connect()
                try await connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                _ = try await connection.receive(through: "data: first\n\n")
                if isReset { connection.reset() } else { connection.close() }
            }
            #expect(await eventually { ended.current == 2 })
            let connection: RawConnection = try await server.connect()
            try await connection.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(await eventually { server.statistics.requests.current == 3 })
            connection.close()
            #expect(await eventually { ended.current == 3 })
            #expect(await eventually { server.statistics.connectionsOpen.current == 0 })
        }
    }

    @Test func aQuietStreamOfEventsBeats() async throws {
        try await TestServer.with(handler: { _ in
            .events(heartbeat: .milliseconds(20)) { writer in
                try await writer.send(ServerSentEvent(data: "x"))
                try await Task.sleep(for: .seconds(600))
            }
        }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            _ = try await connection.receive(through: "data: x\n\n\r\n")
            for _ in 0..<3 {
                let beat: String = try await connection.receive(through: "\n\n\r\n")
                #expect(beat == "3\r\n:\n\n\r\n")
            }
        }
    }

    @Test func aHalfClosedClientStillGetsItsAnswers() async throws {
        try await TestServer.with(handler: { request in .text(request.path) }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
            connection.finishWriting()
            let text: String = try await connection.receiveAll()
            #expect(text.contains("\r\n\r\n/1HTTP/1.1 200 OK"))
            #expect(text.hasSuffix("\r\n\r\n/2"))
        }
    }

    @Test func manyWritersOfOneStreamAreNeverTorn() async throws {
        try await TestServer.with(handler: { _ in
            HTTPResponse(status: 200, fields: ["content-length": "240000"]) { writer in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for letter in ["a", "b", "c"] {
                        group.addTask {
                            for _ in 0..<1_000 { try await writer.write(String(repeating: letter, count: 79) + "\n") }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }) { server in
            let connection: RawConnection = try await server.connect(receiveBuffer: 4096)
            try await connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            let body: String = try await connection.receiveResponse().body
            let lines: [Substring] = body.split(separator: "\n")
            #expect(lines.count == 3_000)
            #expect(lines.allSatisfy { $0.utf8.count == 79 && Set($0.utf8).count == 1 })
        }
    }
}
