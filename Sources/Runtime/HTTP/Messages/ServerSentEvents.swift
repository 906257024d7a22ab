/// One event of a `text/event-stream` (WHATWG HTML, section 9.2).
///
/// Wire form, each line ended by one LF, the event by an empty line:
/// ```
/// event: NAME        absent for the type "message"
/// id: ID             absent leaves the client's last id as it was
/// retry: MS          absent leaves the client's delay as it was
/// data: LINE         one a line of the data
/// ```
package struct ServerSentEvent: Sendable, Equatable {
    /// The media type of a stream of events.
    package static let mediaType: String = "text/event-stream"
    /// A comment, which clients skip: keeps proxies from closing a quiet stream, and finds peers that are gone.
    package static let heartbeat: [UInt8] = [UInt8(ascii: ":"), UInt8(ascii: "\n"), UInt8(ascii: "\n")]

    /// nil means "message". Without line breaks: `encoded` leaves them out.
    package var type: String?
    /// What a client that reconnects sends back as `Last-Event-ID`. Without line breaks and zero bytes: ignored otherwise.
    package var id: String?
    package var data: String
    /// Milliseconds a client waits before it reconnects.
    package var retryMilliseconds: Int?

    package init(type: String? = nil, id: String? = nil, data: String, retryMilliseconds: Int? = nil) {
        self.type = type
        self.id = id
        self.data = data
        self.retryMilliseconds = retryMilliseconds
    }

    /// The frame with its closing empty line.
    package var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(self.data.utf8.count + 64)
        if let type: String = self.type { ServerSentEvent.appendLine("event", type, to: &bytes) }
        if let id: String = self.id, !id.utf8.contains(0), !ServerSentEvent.breaks(id) {
            ServerSentEvent.appendLine("id", id, to: &bytes)
        }
        if let retry: Int = self.retryMilliseconds { ServerSentEvent.appendLine("retry", String(retry), to: &bytes) }
        ServerSentEvent.appendData(self.data, to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    private static func appendLine(_ field: StaticString, _ value: String, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: field.utf8Start, count: field.utf8CodeUnitCount))
        bytes.append(UInt8(ascii: ":"))
        bytes.append(UInt8(ascii: " "))
        for byte in value.utf8 where byte != UInt8(ascii: "\n") && byte != UInt8(ascii: "\r") { bytes.append(byte) }
        bytes.append(UInt8(ascii: "\n"))
    }

    /// A line of data for each line of the text; CR, LF and CRLF all end one, and arrive as LF.
    private static func appendData(_ data: String, to bytes: inout [UInt8]) {
        var line: [UInt8] = []
        var previous: UInt8 = 0
        for byte in data.utf8 {
            defer { previous = byte }
            if byte == UInt8(ascii: "\n") && previous == UInt8(ascii: "\r") { continue }
            if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
                self.appendDataLine(line, to: &bytes)
                line.removeAll(keepingCapacity: true)
            } else {
                line.append(byte)
            }
        }
        self.appendDataLine(line, to: &bytes)
    }

    private static func appendDataLine(_ line: [UInt8], to bytes: inout [UInt8]) {
        bytes.append(contentsOf: "data: ".utf8)
        bytes.append(contentsOf: line)
        bytes.append(UInt8(ascii: "\n"))
    }

    private static func breaks(_ text: String) -> Bool {
        for byte in text.utf8 where byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") { return true }
        return false
    }
}

/// Why a stream of events cannot be read further.
package enum ServerSentEventError: Error, Sendable, Equatable, CustomStringConvertible {
    case lineTooLong(limit: Int)
    case eventTooLarge(limit: Int)
    case notUTF8

    package var description: String {
        switch self {
        case .lineTooLong(let limit): return "a line of the event stream has more than \(limit) bytes"
        case .eventTooLarge(let limit): return "an event has more than \(limit) bytes of data"
        case .notUTF8: return "the event stream is not UTF-8"
        }
    }
}

/// Reads a stream of events from pieces of any size (WHATWG HTML, section 9.2.6). Pure: bytes in, events out.
///
/// Stricter than the standard in one thing: bytes that are not UTF-8 end the stream instead of becoming U+FFFD.
package struct ServerSentEventDecoder: Sendable {
    /// Longest line kept before its end has come.
    package static let lineBytesMax: Int = 1 << 20
    /// Most data of one event, its lines together.
    package static let dataBytesMax: Int = 4 << 20

    /// What to send as `Last-Event-ID` when reconnecting.
    package private(set) var lastEventID: String = ""
    /// The delay before reconnecting that the server last asked for.
    package private(set) var retryMilliseconds: Int?

    private var line: [UInt8] = []
    private var type: String = ""
    private var data: [UInt8] = []
    /// An event without any data line is not delivered, one with an empty data line is.
    private var hasData: Bool = false
    private var afterCarriageReturn: Bool = false
    private var isFirstLine: Bool = true

    package init() {}

    /// The events completed by these bytes, in order. What is left incomplete waits for the next call; at the end of the
    /// stream it is dropped, as the standard says.
    package mutating func decode(_ bytes: [UInt8]) throws(ServerSentEventError) -> [ServerSentEvent] {
        var events: [ServerSentEvent] = []
        for byte in bytes {
            let closesPair: Bool = byte == UInt8(ascii: "\n") && self.afterCarriageReturn
            self.afterCarriageReturn = byte == UInt8(ascii: "\r")
            if closesPair { continue }
            if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
                if let event: ServerSentEvent = try self.endLine() { events.append(event) }
            } else {
                guard self.line.count < ServerSentEventDecoder.lineBytesMax else {
                    throw ServerSentEventError.lineTooLong(limit: ServerSentEventDecoder.lineBytesMax)
                }
                self.line.append(byte)
            }
        }
        return events
    }

    private mutating func endLine() throws(ServerSentEventError) -> ServerSentEvent? {
        defer { self.line.removeAll(keepingCapacity: true) }
        if self.isFirstLine {
            self.isFirstLine = false
            if self.line.starts(with: [0xEF, 0xBB, 0xBF]) { self.line.removeFirst(3) }
        }
        if self.line.isEmpty { return try self.dispatch() }
        let colon: Int = self.line.firstIndex(of: UInt8(ascii: ":")) ?? self.line.count
        if colon == 0 { return nil }
        var start: Int = min(colon + 1, self.line.count)
        if start < self.line.count && self.line[start] == UInt8(ascii: " ") { start += 1 }
        try self.take(field: String(decoding: self.line[..<colon], as: UTF8.self), value: self.line[start...])
        return nil
    }

    private mutating func take(field: String, value: ArraySlice<UInt8>) throws(ServerSentEventError) {
        switch field {
        case "data":
            guard self.data.count + value.count < ServerSentEventDecoder.dataBytesMax else {
                throw ServerSentEventError.eventTooLarge(limit: ServerSentEventDecoder.dataBytesMax)
            }
            if self.hasData { self.data.append(UInt8(ascii: "\n")) }
            self.data.append(contentsOf: value)
            self.hasData = true
        case "event": self.type = try self.text(value)
        case "id": if !value.contains(0) { self.lastEventID = try self.text(value) }
        case "retry": if let number: Int = self.digits(value) { self.retryMilliseconds = number }
        default: return
        }
    }

    private mutating func dispatch() throws(ServerSentEventError) -> ServerSentEvent? {
        defer {
            self.type = ""
            self.data = []
            self.hasData = false
        }
        guard self.hasData else { return nil }
        return ServerSentEvent(
            type: self.type.isEmpty ? nil : self.type, id: self.lastEventID.isEmpty ? nil : self.lastEventID,
            data: try self.text(self.data[...]))
    }

    private func text(_ bytes: ArraySlice<UInt8>) throws(ServerSentEventError) -> String {
        guard let text: String = String(validating: bytes, as: UTF8.self) else { throw ServerSentEventError.notUTF8 }
        return text
    }

    /// ASCII digits only, at most nine of them; nil otherwise.
    private func digits(_ bytes: ArraySlice<UInt8>) -> Int? {
        guard !bytes.isEmpty, bytes.count <= 9 else { return nil }
        var number: Int = 0
        for byte in bytes {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            number = number * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return number
    }
}
