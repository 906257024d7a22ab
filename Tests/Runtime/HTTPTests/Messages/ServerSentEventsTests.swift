import Testing

@testable import HTTP

@Suite struct ServerSentEventsTests {
    private func text(_ event: ServerSentEvent) -> String { String(decoding: event.encoded, as: UTF8.self) }

    @Test func writesFrames() {
        #expect(self.text(ServerSentEvent(data: "x")) == "data: x\n\n")
        #expect(
            self.text(ServerSentEvent(type: "t", id: "7", data: "a\nb", retryMilliseconds: 500))
                == "event: t\nid: 7\nretry: 500\ndata: a\ndata: b\n\n")
        #expect(self.text(ServerSentEvent(data: "")) == "data: \n\n")
        #expect(self.text(ServerSentEvent(data: "a\r\nb\rc\n")) == "data: a\ndata: b\ndata: c\ndata: \n\n")
    }

    @Test func typeAndIdCannotBreakAFrame() {
        #expect(
            self.text(ServerSentEvent(type: "a\ndata: evil", id: "1\n2", data: "x"))
                == "event: adata: evil\ndata: x\n\n")
        #expect(self.text(ServerSentEvent(id: "1\0", data: "x")) == "data: x\n\n")
    }

    struct Case: Sendable {
        let input: String
        let events: [ServerSentEvent]
    }

    static let cases: [Case] = [
        Case(input: "data: x\n\n", events: [ServerSentEvent(data: "x")]),
        Case(input: "data:x\r\n\r\ndata:y\r\r", events: [ServerSentEvent(data: "x"), ServerSentEvent(data: "y")]),
        Case(input: "\u{FEFF}data: x\n\n", events: [ServerSentEvent(data: "x")]),
        Case(input: ": hello\n\n:\n\ndata: x\n\n", events: [ServerSentEvent(data: "x")]),
        Case(input: "data: a\ndata: b\n\n", events: [ServerSentEvent(data: "a\nb")]),
        Case(input: "data\n\n", events: [ServerSentEvent(data: "")]),
        Case(input: "data:  two\n\n", events: [ServerSentEvent(data: " two")]),
        Case(input: "event: t\n\ndata: x\n\n", events: [ServerSentEvent(data: "x")]),
        Case(
            input: "id: 1\nevent: t\ndata: x\n\ndata: y\n\n",
            events: [ServerSentEvent(type: "t", id: "1", data: "x"), ServerSentEvent(id: "1", data: "y")]),
        Case(input: "id: 1\0\ndata: x\n\n", events: [ServerSentEvent(data: "x")]),
        Case(input: "unknown: z\ndata: x\n\n", events: [ServerSentEvent(data: "x")]),
        Case(input: "data: incomplete\n", events: []),
    ]

    @Test(arguments: cases)
    func readsWhatTheStandardSays(item: Case) throws {
        var whole: ServerSentEventDecoder = ServerSentEventDecoder()
        #expect(try whole.decode(Array(item.input.utf8)) == item.events)
        var bytewise: ServerSentEventDecoder = ServerSentEventDecoder()
        var events: [ServerSentEvent] = []
        for byte in item.input.utf8 { events += try bytewise.decode([byte]) }
        #expect(events == item.events)
    }

    @Test func keepsLastIdAndRetry() throws {
        var decoder: ServerSentEventDecoder = ServerSentEventDecoder()
        _ = try decoder.decode(Array("id: 7\nretry: 250\n\nretry: 1x\nretry: 99999999999\n\n".utf8))
        #expect(decoder.lastEventID == "7")
        #expect(decoder.retryMilliseconds == 250)
    }

    @Test func readsWhatItWrites() throws {
        let events: [ServerSentEvent] = [
            ServerSentEvent(type: "deploy", id: "12", data: "{\"a\":1}"), ServerSentEvent(id: "13", data: "é\n\nz"),
        ]
        var decoder: ServerSentEventDecoder = ServerSentEventDecoder()
        var read: [ServerSentEvent] = []
        for event in events {
            read += try decoder.decode(event.encoded)
            read += try decoder.decode(ServerSentEvent.heartbeat)
        }
        #expect(read == events)
    }

    @Test func refusesEndlessLinesEndlessEventsAndBrokenText() {
        var decoder: ServerSentEventDecoder = ServerSentEventDecoder()
        let line: [UInt8] = Array(repeating: 0x61, count: ServerSentEventDecoder.lineBytesMax)
        #expect(throws: Never.self) { try decoder.decode(line) }
        #expect(throws: ServerSentEventError.lineTooLong(limit: ServerSentEventDecoder.lineBytesMax)) {
            try decoder.decode([0x61])
        }

        var second: ServerSentEventDecoder = ServerSentEventDecoder()
        let data: [UInt8] = Array("data: ".utf8) + Array(repeating: 0x61, count: 1 << 19) + [0x0A]
        #expect(throws: ServerSentEventError.eventTooLarge(limit: ServerSentEventDecoder.dataBytesMax)) {
            for _ in 0..<9 { _ = try second.decode(data) }
        }
        var third: ServerSentEventDecoder = ServerSentEventDecoder()
        #expect(throws: ServerSentEventError.notUTF8) { try third.decode(Array("data: ".utf8) + [0xFF, 0x0A, 0x0A]) }
    }
}
