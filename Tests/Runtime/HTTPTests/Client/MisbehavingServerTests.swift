import EventLoops
import Testing

@testable import HTTP

/// The client against servers that do what they should not.
@Suite struct MisbehavingServerTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let response: String
        let error: HTTPClientError

        var testDescription: String { String(self.response.prefix(60)).debugDescription }
    }

    static let broken: [Case] = [
        Case(response: "", error: .closedBeforeResponse(wasReused: false, wasSent: true)),
        Case(response: "HTTP/1.1 200 OK\r\nContent-Le", error: .truncated),
        Case(response: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", error: .truncated),
        Case(response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", error: .truncated),
        Case(response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", error: .truncated),
        Case(
            response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            error: .malformedResponse(HTTPRefusal.chunkSize.detail.description)),
        Case(response: "SSH-2.0-OpenSSH\r\n", error: .malformedResponse(HTTPRefusal.statusLine.detail.description)),
        Case(
            response: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            error: .malformedResponse(HTTPRefusal.contentLengthRepeated.detail.description)),
        Case(
            response: "HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 40_000) + "\r\n\r\n",
            error: .malformedResponse(HTTPRefusal.headTooLarge.detail.description)),
        Case(
            response: "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            error: .malformedResponse("a response 101 that nobody asked for, or too many of 1xx")),
        Case(
            response: String(repeating: "HTTP/1.1 103 Early Hints\r\n\r\n", count: 20) + "HTTP/1.1 200 OK\r\n\r\n",
            error: .malformedResponse("a response 101 that nobody asked for, or too many of 1xx")),
    ]

    @Test(arguments: broken)
    func brokenResponsesFail(item: Case) async throws {
        let server: RawServer = try RawServer()
        let answers: Task<Void, any Error> = server.answer([item.response])
        try await TestClient.with { client in
            await #expect(throws: item.error) { try await client.text(server.url) }
            #expect(await eventually { client.client.connectionsOpen == 0 })
        }
        try await answers.value
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\n\r\nhello", "HTTP/1.0 200\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n4\r\nello\r\n0\r\nT: x\r\n\r\n",
    ])
    func unusualResponsesAreRead(response: String) async throws {
        for isBytewise in [false, true] {
            let server: RawServer = try RawServer()
            let answers: Task<Void, any Error> = Task {
                let connection: RawConnection = try await server.accept()
                _ = try await connection.receive(through: "\r\n\r\n")
                if isBytewise {
                    for byte in response.utf8 { try await connection.send([byte]) }
                } else {
                    try await connection.send(response)
                }
                connection.close()
            }
            try await TestClient.with { client in
                let text1: String = try await client.text(server.url)
                #expect(text1 == "hello")
            }
            try await answers.value
        }
    }

    @Test func bytesNobodyAskedForCloseTheConnection() async throws {
        let server: RawServer = try RawServer()
        let answers: Task<Void, any Error> = Task {
            for _ in 0..<2 {
                let connection: RawConnection = try await server.accept()
                _ = try await connection.receive(through: "\r\n\r\n")
                // A second response, meant to be taken for the answer to the next request.
                try await connection.send(
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
                _ = try await connection.receiveAll()
            }
        }
        try await TestClient.with { client in
            let text2: String = try await client.text(server.url)
            #expect(text2 == "ok")
            let text3: String = try await client.text(server.url)
            #expect(text3 == "ok")
        }
        try await answers.value
    }

    /// The server closes the kept connection when the second request comes. The method decides whether it is repeated.
    @Test(arguments: [(HTTPMethod.get, true), (.put, true), (.delete, true), (.post, false), (.patch, false)])
    func onlyIdempotentRequestsAreRepeatedOnAFreshConnection(method: HTTPMethod, repeats: Bool) async throws {
        let server: RawServer = try RawServer()
        let answers: Task<Void, any Error> = Task {
            let first: RawConnection = try await server.accept()
            _ = try await first.receive(through: "\r\n\r\n")
            try await first.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
            _ = try await first.receive(through: "\r\n\r\n")
            first.close()
            if !repeats { return }
            let second: RawConnection = try await server.accept()
            _ = try await second.receive(through: "\r\n\r\n")
            try await second.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2")
        }
        try await TestClient.with { client in
            let text4: String = try await client.text(server.url)
            #expect(text4 == "1")
            if repeats {
                let text5: String = try await client.text(server.url, method: method)
                #expect(text5 == "2")
            } else {
                await #expect(throws: HTTPClientError.closedBeforeResponse(wasReused: true, wasSent: true)) {
                    try await client.text(server.url, method: method)
                }
            }
        }
        try await answers.value
    }

    @Test func aRequestIsRepeatedOnceOnly() async throws {
        let server: RawServer = try RawServer()
        let answers: Task<Void, any Error> = Task {
            let first: RawConnection = try await server.accept()
            _ = try await first.receive(through: "\r\n\r\n")
            try await first.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
            _ = try await first.receive(through: "\r\n\r\n")
            first.close()
            let second: RawConnection = try await server.accept()
            _ = try await second.receive(through: "\r\n\r\n")
            second.close()
        }
        try await TestClient.with { client in
            let text6: String = try await client.text(server.url)
            #expect(text6 == "1")
            await #expect(throws: HTTPClientError.closedBeforeResponse(wasReused: false, wasSent: true)) {
                try await client.text(server.url)
            }
        }
        try await answers.value
    }

    @Test func anIdleConnectionThatTheServerClosedIsNotUsed() async throws {
        let server: RawServer = try RawServer()
        try await TestClient.with { client in
            let answers: Task<RawConnection, any Error> = Task {
                let connection: RawConnection = try await server.accept()
                _ = try await connection.receive(through: "\r\n\r\n")
                try await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
                return connection
            }
            let text7: String = try await client.text(server.url)
            #expect(text7 == "1")
            try await answers.value.close()
            #expect(await eventually { client.client.connectionsOpen == 0 })
            let more: Task<Void, any Error> = server.answer(["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"])
            let text8: String = try await client.text(server.url, method: .post)
            #expect(text8 == "2")
            try await more.value
        }
    }

    @Test func anAnswerBeforeTheEndOfTheRequestCounts() async throws {
        let server: RawServer = try RawServer()
        let answers: Task<Void, any Error> = Task {
            let connection: RawConnection = try await server.accept()
            _ = try await connection.receive(through: "\r\n\r\n")
            try await connection.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            _ = try await connection.receiveAll()
        }
        try await TestClient.with { client in
            let response: HTTPClientResponse = try await client.send(
                server.url, method: .post, body: [UInt8](repeating: 0, count: 50_000_000))
            #expect(response.status == 413)
            #expect(await eventually { client.client.connectionsOpen == 0 })
        }
        try await answers.value
    }

    @Test func redirectsAreForTheCaller() async throws {
        let server: RawServer = try RawServer()
        let answers: Task<Void, any Error> = server.answer(
            ["HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"])
        try await TestClient.with { client in
            let response: HTTPClientResponse = try await client.send(server.url)
            #expect(response.status == 302)
            #expect(response.fields["location"] == "http://127.0.0.1:1/")
        }
        try await answers.value
    }

    @Test(arguments: [
        ("", HTTPClientError.Phase.response), ("HTTP/1.1 200 OK\r\nContent-Le", .response),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", .body),
    ])
    func slowServersRunOutOfTime(response: String, phase: HTTPClientError.Phase) async throws {
        let server: RawServer = try RawServer()
        let answers: Task<Void, any Error> = server.answer([response], closes: false)
        var timeouts: HTTPClientTimeouts = HTTPClientTimeouts()
        if phase == .response { timeouts.response = .milliseconds(60) }
        if phase == .body { timeouts.body = .milliseconds(60) }
        try await TestClient.with(timeouts: timeouts) { client in
            await #expect(throws: HTTPClientError.timedOut(phase)) { try await client.text(server.url) }
            #expect(await eventually { client.client.connectionsOpen == 0 })
        }
        answers.cancel()
    }

    @Test func theTotalTimeCountsHoweverBusyTheServerIs() async throws {
        let server: RawServer = try RawServer()
        let answers: Task<Void, any Error> = Task {
            let connection: RawConnection = try await server.accept()
            _ = try await connection.receive(through: "\r\n\r\n")
            try await connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while !connection.hasEnded {
                _ = connection.sendWhatFits(Array("1\r\nx\r\n".utf8))
                connection.receiveNow()
                try await Task.sleep(for: .milliseconds(5))
            }
        }
        var timeouts: HTTPClientTimeouts = HTTPClientTimeouts()
        timeouts.total = .milliseconds(400)
        try await TestClient.with(timeouts: timeouts) { client in
            await #expect(throws: HTTPClientError.timedOut(.total)) { try await client.text(server.url) }
        }
        try await answers.value
    }
}
