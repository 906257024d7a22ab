import Testing

@testable import HTTP

@Suite struct LifeCycleTests {
    @Test func drainingFinishesWhatIsInFlightAndClosesTheRest() async throws {
        let go: Latch = Latch()
        try await TestServer.with(handler: { request in
            if request.path == "/slow" { await go.wait() }
            return .text(Task.isCancelled ? "cancelled" : "whole")
        }) { server in
            let idle: RawConnection = try await server.connect()
            try await idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            _ = try await idle.receiveResponse()
            let busy: RawConnection = try await server.connect()
            try await busy.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(await eventually { server.statistics.requests.current == 2 })

            let drained: Shared<Bool> = Shared(false)
            let drain: Task<Void, Never> = Task {
                await server.server.drain(deadline: .seconds(60))
                drained.update { $0 = true }
            }
            #expect(try await idle.receiveAll() == "")
            await #expect(throws: (any Error).self) {
                let late: RawConnection = try await server.connect()
                _ = try await late.receive(through: "x")
            }
            #expect(!drained.current)
            go.open()
            let response: RawResponse = try await busy.receiveResponse()
            #expect(response.body == "whole")
            #expect(response.field("connection") == "close")
            await drain.value
            #expect(server.statistics.connectionsOpen.current == 0)
        }
    }

    /// With a successor on the listening socket: who has connected already is served once more, and told to connect anew.
    @Test(arguments: [false, true]) func drainingWithAGraceServesWhoHasConnectedOnceMore(isSecure: Bool) async throws {
        let certificates: TestCertificates = try TestCertificates.shared.get()
        try await TestServer.with(tls: isSecure ? certificates.serverContext() : nil, handler: { _ in .text("whole") })
        {
            server in
            let served: RawConnection = try await server.connect()
            if isSecure { try await served.startTLS(certificates.clientContext(), host: "localhost") }
            try await served.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await served.receiveResponse().field("connection") != "close")
            // Accepted, and nothing has come from it yet.
            let fresh: RawConnection = try await server.connect()
            #expect(await eventually { server.statistics.connectionsOpen.current == 2 })
            let drain: Task<Void, Never> = Task {
                await server.server.drain(deadline: .seconds(600), idleGrace: .seconds(300))
            }
            #expect(await eventually { server.server.isDraining })
            if isSecure { try await fresh.startTLS(certificates.clientContext(), host: "localhost") }
            for connection in [fresh, served] {
                try await connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                let response: RawResponse = try await connection.receiveResponse()
                #expect(response.body == "whole")
                #expect(response.field("connection") == "close")
                #expect(try await connection.receiveAll() == "")
            }
            await drain.value
        }
    }

    @Test func theGraceOfIdleConnectionsEnds() async throws {
        try await TestServer.with(handler: { _ in .text("x") }) { server in
            let silent: RawConnection = try await server.connect()
            #expect(await eventually { server.statistics.connectionsOpen.current == 1 })
            await server.server.drain(deadline: .seconds(600), idleGrace: .milliseconds(50))
            #expect(try await silent.receiveAll() == "")
        }
    }

    @Test func drainingEndsEventStreamsAndWillingLongPolls() async throws {
        try await TestServer.with(handler: { request in
            if request.path == "/poll" {
                request.endWhenDraining()
                try? await Task.sleep(for: .seconds(600))
                return HTTPResponse(status: 204)
            }
            return .events { writer in
                try await writer.send(ServerSentEvent(data: "x"))
                while !Task.isCancelled { try? await Task.sleep(for: .seconds(600)) }
            }
        }) { server in
            let events: RawConnection = try await server.connect()
            try await events.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            _ = try await events.receive(through: "data: x\n\n")
            let poll: RawConnection = try await server.connect()
            try await poll.send("GET /poll HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(await eventually { server.statistics.requests.current == 2 })
            await server.server.drain(deadline: .seconds(600))
            #expect(try await events.receiveAll().hasSuffix("0\r\n\r\n"))
            let response: RawResponse = try await poll.receiveResponse()
            #expect(response.status == 204)
            #expect(response.field("connection") == "close")
        }
    }

    @Test func afterTheDeadlineTheRestIsCutOff() async throws {
        let cancelled: Shared<Bool> = Shared(false)
        try await TestServer.with(handler: { _ in
            try? await Task.sleep(for: .seconds(600))
            cancelled.update { $0 = Task.isCancelled }
            return .text("x")
        }) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(await eventually { server.statistics.requests.current == 1 })
            await server.server.drain(deadline: .milliseconds(20))
            #expect(try await connection.receiveAll() == "")
            #expect(await eventually { cancelled.current })
        }
    }

    /// Only what the test is about is short: the rest must not fire on a busy machine.
    private static func short(_ changes: (inout HTTPServerTimeouts) -> Void) -> HTTPServerTimeouts {
        var timeouts: HTTPServerTimeouts = HTTPServerTimeouts()
        changes(&timeouts)
        return timeouts
    }

    @Test func slowHeadsGet408AndSilentConnectionsAreClosed() async throws {
        let timeouts: HTTPServerTimeouts = LifeCycleTests.short { $0.head = .seconds(1) }
        try await TestServer.with(timeouts: timeouts, handler: { _ in .text("x") }) { server in
            let silent: RawConnection = try await server.connect()
            let slow: RawConnection = try await server.connect()
            try await slow.send("GET / HTTP/1.1\r\nHo")
            let response: RawResponse = try await slow.receiveResponse()
            #expect(response.status == 408)
            #expect(try await silent.receiveAll() == "")
        }
    }

    @Test func idleConnectionsAreClosed() async throws {
        let timeouts: HTTPServerTimeouts = LifeCycleTests.short { $0.idle = .milliseconds(100) }
        try await TestServer.with(timeouts: timeouts, handler: { _ in .text("x") }) { server in
            let idle: RawConnection = try await server.connect()
            try await idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await idle.receiveResponse().status == 200)
            #expect(try await idle.receiveAll() == "")
            #expect(server.statistics.timeouts.current == 0)
        }
    }

    @Test(arguments: [20, 1_000_000])
    func slowBodiesGet408(length: Int) async throws {
        try await TestServer.with(
            timeouts: LifeCycleTests.short { $0.body = .milliseconds(100) },
            handler: { request in
                do throws(HTTPError) {
                    return .text(String(try await request.body.collect(max: 1 << 20).count))
                } catch {
                    return .text(error.description, status: error.status)
                }
            }
        ) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \(length)\r\n\r\nabc")
            let response: RawResponse = try await connection.receiveResponse()
            #expect(response.status == 408)
            #expect(response.field("connection") == "close")
            #expect(server.statistics.timeouts.current == 1)
        }
    }

    @Test func aClientThatTakesNothingIsDropped() async throws {
        let failed: Shared<Bool> = Shared(false)
        try await TestServer.with(
            timeouts: LifeCycleTests.short { $0.write = .milliseconds(100) },
            handler: { _ in
                HTTPResponse(status: 200) { writer in
                    do {
                        while true { try await writer.write([UInt8](repeating: 0, count: 65_536)) }
                    } catch {
                        failed.update { $0 = true }
                        throw error
                    }
                }
            }
        ) { server in
            let connection: RawConnection = try await server.connect(receiveBuffer: 4096)
            try await connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(await eventually { failed.current })
            #expect(server.statistics.connectionsOpen.current == 0)
            #expect(server.statistics.timeouts.current == 1)
        }
    }

    @Test func aWaitingHandlerIsNotTimedOut() async throws {
        try await TestServer.with(
            timeouts: LifeCycleTests.short {
                $0.idle = .milliseconds(50)
                $0.body = .milliseconds(50)
                $0.write = .milliseconds(50)
            },
            handler: { _ in
                try? await Task.sleep(for: .milliseconds(400))
                return .text(Task.isCancelled ? "cancelled" : "whole")
            }
        ) { server in
            let connection: RawConnection = try await server.connect()
            try await connection.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(try await connection.receiveResponse().body == "whole")
        }
    }
}
