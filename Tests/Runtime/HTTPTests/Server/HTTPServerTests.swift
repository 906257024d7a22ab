import EventLoops
import Testing

@testable import HTTP

/// Answers with what it understood, so that tests see both sides.
@Sendable private func describe(_ request: HTTPRequest) async -> HTTPResponse {
    do {
        let body: [UInt8] = try await request.body.collect(max: 1 << 20)
        let text: String =
            "\(request.method.name) \(request.path) \(request.query ?? "-") \(String(decoding: body, as: UTF8.self))"
        return .text(text)
    } catch {
        return .text(error.description, status: error.status)
    }
}

@Suite struct HTTPServerTests {
    @Test func answersARequest() async throws {
        try await TestServer.with(handler: describe) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\n\r\n")
            let response: RawResponse = try await connection.receiveResponse()
            #expect(response.statusLine == "HTTP/1.1 200 OK")
            #expect(response.body == "GET /a%20b x=1 ")
            #expect(response.field("date")?.hasSuffix(" GMT") == true)
            #expect(response.field("server") == nil)
            #expect(response.field("connection") == nil)
        }
    }

    struct Exchange: Sendable {
        let request: String
        let status: Int
        let body: String
        var closes: Bool = false
    }

    static let exchanges: [Exchange] = [
        Exchange(
            request: "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", status: 200,
            body: "POST /p - hello"),
        Exchange(
            request:
                "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n",
            status: 200, body: "PUT / - abcde"),
        Exchange(request: "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", status: 200, body: "OPTIONS * - "),
        Exchange(request: "GET http://h/x?y HTTP/1.1\r\nHost: h\r\n\r\n", status: 200, body: "GET /x y "),
        Exchange(request: "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", status: 200, body: "GET / - "),
        Exchange(request: "BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n", status: 200, body: "BREW /pot - "),
        Exchange(request: "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", status: 200, body: "GET / - "),
        Exchange(request: "GET / HTTP/1.0\r\n\r\n", status: 200, body: "GET / - ", closes: true),
        Exchange(request: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", status: 200, body: "GET / - "),
        Exchange(
            request: "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", status: 200, body: "GET / - ",
            closes: true),
    ]

    @Test(arguments: exchanges)
    func understands(exchange: Exchange) async throws {
        try await TestServer.with(handler: describe) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send(exchange.request)
            let response: RawResponse = try await connection.receiveResponse()
            #expect(response.status == exchange.status)
            #expect(response.body == exchange.body)
            if exchange.closes {
                #expect(response.field("connection") == "close")
                #expect(try await connection.receiveAll() == "")
            } else {
                try await connection.send("GET /again HTTP/1.1\r\nHost: h\r\n\r\n")
                #expect(try await connection.receiveResponse().body == "GET /again - ")
            }
        }
    }

    @Test(arguments: exchanges)
    func understandsByteByByte(exchange: Exchange) async throws {
        try await TestServer.with(handler: describe) { server in
            let connection: RawConnection = try await server.connect()
            for byte in exchange.request.utf8 {
                try await connection.send([byte])
                await Task.yield()
            }
            #expect(try await connection.receiveResponse().body == exchange.body)
        }
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: h\n\n", 400), ("GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        ("POST / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\nContent-Length: 1\r\n\r\n", 417),
        ("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 501), ("\u{16}\u{3}\u{1}\u{2}", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999999\r\n\r\n", 413),
    ])
    func refusesAndCloses(request: String, status: Int) async throws {
        try await TestServer.with(handler: describe) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send(request)
            let response: RawResponse = try await connection.receiveResponse()
            #expect(response.status == status)
            #expect(response.field("content-type") == "application/problem+json")
            #expect(response.field("connection") == "close")
            #expect(response.body.hasPrefix("{\"type\":\"about:blank\",\"title\":\""))
            #expect(response.body.contains("\"status\":\(status),\"detail\":\""))
            #expect(try await connection.receiveAll() == "")
            #expect(server.statistics.requestsRefused.current == 1)
            #expect(server.statistics.requests.current == 0)
        }
    }

    @Test func refusesLongTargetsAndHeads() async throws {
        try await TestServer.with(handler: describe) { server in
            let target: String = String(repeating: "a", count: 9_000)
            let field: String = "X: " + String(repeating: "b", count: 33_000) + "\r\n"
            let many: String = String(repeating: "X: y\r\n", count: 200)
            let cases: [(String, String)] = [
                ("GET /\(target) HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 414 "),
                ("GET / HTTP/1.1\r\nHost: h\r\n\(field)\r\n", "HTTP/1.1 431 "),
                ("GET / HTTP/1.1\r\nHost: h\r\n\(many)\r\n", "HTTP/1.1 431 "),
            ]
            for (request, start) in cases {
                let text: String = try await server.exchange(request)
                #expect(text.hasPrefix(start))
            }
        }
    }

    @Test func answersAThousandPipelinedRequestsInOrder() async throws {
        try await TestServer.with(handler: describe) { server in
            let connection: RawConnection = try await server.connect()
            var requests: String = ""
            for number in 0..<1_000 {
                if number % 3 == 0 {
                    requests += "POST /\(number) HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
                } else {
                    requests += "GET /\(number) HTTP/1.1\r\nHost: h\r\n\r\n"
                }
            }
            let sender: Task<Void, any Error> = Task { [requests] in try await connection.send(requests) }
            try await sender.value
            for number in 0..<1_000 {
                let body: String = try await connection.receiveResponse().body
                #expect(body == (number % 3 == 0 ? "POST /\(number) - body" : "GET /\(number) - "))
            }
            #expect(server.statistics.connectionsAccepted.current == 1)
        }
    }

    @Test func headHasTheFieldsButNoBody() async throws {
        try await TestServer.with(handler: { request in
            if request.path == "/stream" { return HTTPResponse(status: 200) { try await $0.write("never") } }
            return .text("hello")
        }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\nHEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n")
            try await connection.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            let first: RawResponse = try await connection.receiveResponse(hasBody: false)
            #expect(first.field("content-length") == "5")
            let second: RawResponse = try await connection.receiveResponse(hasBody: false)
            #expect(second.field("transfer-encoding") == "chunked")
            #expect(try await connection.receiveAll().hasSuffix("\r\n\r\nhello"))
        }
    }

    @Test(arguments: [204, 304])
    func someStatusesHaveNoBody(status: Int) async throws {
        try await TestServer.with(handler: { _ in HTTPResponse(status: status, body: .bytes([1, 2, 3])) }) { server in
            let text: String = try await server.exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 \(status) "))
            #expect(text.hasSuffix("\r\n\r\n"))
            #expect(!text.contains("content-length"))
        }
    }

    @Test func aPortInUseIsFound() async throws {
        try await TestServer.with(handler: describe) { server in
            let second: HTTPServer = HTTPServer(
                configuration: HTTPServerConfiguration(address: server.address), group: server.group, handler: describe)
            let error: SystemError? = #expect(throws: SystemError.self) { try second.start() }
            #expect(error?.isAddressInUse == true)
        }
    }

    @Test func overItsConnectionLimitItAnswers503() async throws {
        var limits: HTTPServerLimits = HTTPServerLimits()
        limits.connectionsMax = 2
        limits.refusalsMax = 1
        try await TestServer.with(limits: limits, handler: describe) { server in
            var kept: [RawConnection] = []
            for _ in 0..<2 {
                let connection: RawConnection = try await server.connect()
                try await connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                #expect(try await connection.receiveResponse().status == 200)
                kept.append(connection)
            }
            let third: RawConnection = try await server.connect()
            try await third.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            let refusal: RawResponse = try await third.receiveResponse()
            #expect(refusal.status == 503)
            #expect(refusal.field("retry-after") == "1")
            let fourth: RawConnection = try await server.connect()
            #expect(try await fourth.receiveAll() == "")
            #expect(server.statistics.connectionsRefused.current == 2)

            third.close()
            kept[0].close()
            #expect(await eventually { server.statistics.connectionsOpen.current == 1 })
            let fifth: RawConnection = try await server.connect()
            try await fifth.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await fifth.receiveResponse().status == 200)
        }
    }

    @Test func onceHalfOfItsConnectionsAreTakenNoAddressHasThemAll() async throws {
        var limits: HTTPServerLimits = HTTPServerLimits()
        limits.connectionsMax = 6
        limits.connectionsPerAddressMax = 2
        try await TestServer.with(limits: limits, handler: describe) { server in
            var kept: [RawConnection] = []
            for _ in 0..<3 {
                let connection: RawConnection = try await server.connect()
                try await connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                #expect(try await connection.receiveResponse().status == 200, "half of all are anybody's")
                kept.append(connection)
            }
            let refused: RawConnection = try await server.connect()
            try await refused.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await refused.receiveResponse().status == 503)
            kept[0].close()
            #expect(await eventually { server.statistics.connectionsOpen.current == 2 })
            let next: RawConnection = try await server.connect()
            try await next.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await next.receiveResponse().status == 200)
        }
    }

    @Test func whatAHandlerCannotSayBecomes500() async throws {
        try await TestServer.with(handler: { request in
            switch request.path {
            case "/value": return HTTPResponse(status: 200, fields: ["x": "a\r\nset-cookie: evil"])
            case "/name": return HTTPResponse(status: 200, fields: ["a b": "c"])
            case "/status": return HTTPResponse(status: 99)
            case "/stream": return HTTPResponse(status: 200, fields: ["x": "\n"]) { try await $0.write("x") }
            default:
                return HTTPResponse(status: 200, fields: ["content-length": "7", "connection": "x", "date": "never"])
            }
        }) { server in
            for path in ["/value", "/name", "/status", "/stream"] {
                let connection: RawConnection = try await server.connect()
                try await connection.send("GET \(path) HTTP/1.1\r\nHost: h\r\n\r\n")
                let response: RawResponse = try await connection.receiveResponse()
                #expect(response.status == 500)
                #expect(!response.head.contains("evil"))
            }
            #expect(server.statistics.responsesInvalid.current == 4)
            let connection: RawConnection = try await server.connect()
            try await connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            let response: RawResponse = try await connection.receiveResponse()
            #expect(response.field("content-length") == "0")
            #expect(response.field("date") != "never")
            #expect(response.field("connection") == nil)
        }
    }
}
