import CNGHTTP2

/// A client of HTTP/2 that sends exactly the frames it is told, also wrong ones, and reads what comes back.
final class HTTP2Peer {
    struct Frame: Sendable {
        var type: UInt8
        var flags: UInt8
        var stream: UInt32
        var payload: [UInt8]
        var endsStream: Bool { self.flags & 1 != 0 }
        /// The 32 bits at a place of the payload.
        func word(_ place: Int) -> UInt32 {
            self.payload[place..<place + 4].reduce(0) { $0 << 8 | UInt32($1) }
        }
    }

    /// What came on one stream until it ended.
    struct Response: Sendable {
        var fields: [(String, String)] = []
        var interim: [[(String, String)]] = []
        var trailers: [(String, String)] = []
        var body: [UInt8] = []
        /// Error code of RST_STREAM.
        var reset: UInt32?
        /// Error code of GOAWAY, or that the connection ended.
        var goAway: UInt32?
        var isComplete: Bool = false
        var status: Int { Int(self[":status"] ?? "") ?? 0 }
        var text: String { String(decoding: self.body, as: UTF8.self) }
        subscript(name: String) -> String? { self.fields.first { $0.0 == name }?.1 }
        func trailer(_ name: String) -> String? { self.trailers.first { $0.0 == name }?.1 }
    }

    enum Kind {
        static let data: UInt8 = 0
        static let headers: UInt8 = 1
        static let priority: UInt8 = 2
        static let reset: UInt8 = 3
        static let settings: UInt8 = 4
        static let ping: UInt8 = 6
        static let goAway: UInt8 = 7
        static let windowUpdate: UInt8 = 8
        static let continuation: UInt8 = 9
    }

    let socket: RawSocket
    private var inflater: OpaquePointer?
    private var responses: [UInt32: Response] = [:]
    /// Windows are opened as bodies are read.
    var opensWindows: Bool = true
    private(set) var goAway: UInt32?

    /// Connects and sends the preface with these settings.
    init(port: UInt16, settings: [(UInt16, UInt32)] = [], receiveBuffer: Int32? = nil) throws {
        self.socket = try RawSocket(port: port, receiveBuffer: receiveBuffer)
        nghttp2_hd_inflate_new(&self.inflater)
        self.socket.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        var payload: [UInt8] = []
        for (id, value) in settings { payload += HTTP2Peer.bytes(UInt32(id), 2) + HTTP2Peer.bytes(value, 4) }
        self.send(Kind.settings, payload)
    }

    deinit { nghttp2_hd_inflate_del(self.inflater) }

    static func bytes(_ value: UInt32, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * (count - 1 - $0))) }
    }

    func send(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8]) {
        self.socket.send(HTTP2Peer.frame(type, flags: flags, stream: stream, payload))
    }

    static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8]) -> [UInt8] {
        self.bytes(UInt32(payload.count), 3) + [type, flags] + self.bytes(stream, 4) + payload
    }

    /// Fields without compression: literals that are not indexed (RFC 7541, 6.2.2).
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { [0] + self.literal([UInt8]($0.0.utf8)) + self.literal([UInt8]($0.1.utf8)) }
    }

    private static func literal(_ text: [UInt8]) -> [UInt8] {
        if text.count < 127 { return [UInt8(text.count)] + text }
        var count: Int = text.count - 127
        var bytes: [UInt8] = [127]
        while count >= 128 {
            bytes.append(UInt8(count % 128 + 128))
            count /= 128
        }
        return bytes + [UInt8(count)] + text
    }

    static func request(_ method: String, _ path: String, _ more: [(String, String)] = []) -> [(String, String)] {
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")] + more
    }

    /// What SETTINGS say of a stream's first window.
    static func initialWindow(_ frame: Frame) -> Int? {
        for place in stride(from: 0, to: frame.payload.count, by: 6)
        where frame.payload[place] == 0 && frame.payload[place + 1] == 4 { return Int(frame.word(place + 2)) }
        return nil
    }

    func headers(_ stream: UInt32, _ fields: [(String, String)], ends: Bool = true) {
        self.send(Kind.headers, flags: ends ? 5 : 4, stream: stream, HTTP2Peer.block(fields))
    }

    func data(_ stream: UInt32, _ bytes: [UInt8], ends: Bool = false) {
        self.send(Kind.data, flags: ends ? 1 : 0, stream: stream, bytes)
    }

    /// The next frame; nil at the end of the connection.
    func next() -> Frame? {
        let head: [UInt8] = self.socket.receive(exactly: 9)
        guard head.count == 9 else { return nil }
        let length: Int = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
        let payload: [UInt8] = length == 0 ? [] : self.socket.receive(exactly: length)
        guard payload.count == length else { return nil }
        let stream: UInt32 = head[5...8].reduce(0) { $0 << 8 | UInt32($1) } & 0x7FFF_FFFF
        let frame: Frame = Frame(type: head[3], flags: head[4], stream: stream, payload: payload)
        self.take(frame)
        return frame
    }

    /// All of one stream, whatever comes on others in between.
    func response(_ stream: UInt32) -> Response {
        while true {
            if let response: Response = self.responses[stream], response.isComplete {
                self.responses[stream] = nil
                return response
            }
            guard self.next() != nil else {
                var response: Response = self.responses[stream] ?? Response()
                response.goAway = self.goAway ?? .max
                return response
            }
        }
    }

    func exchange(_ stream: UInt32, _ fields: [(String, String)]) -> Response {
        self.headers(stream, fields)
        return self.response(stream)
    }

    /// Reads until the connection is told to end, or ends: the code, `.max` for an end without one.
    func untilGoAway() -> UInt32 {
        while self.goAway == nil, self.next() != nil {}
        return self.goAway ?? .max
    }

    private func take(_ frame: Frame) {
        var response: Response = self.responses[frame.stream] ?? Response()
        switch frame.type {
        case Kind.settings where frame.flags & 1 == 0: self.send(Kind.settings, flags: 1, [])
        case Kind.ping where frame.flags & 1 == 0: self.send(Kind.ping, flags: 1, frame.payload)
        case Kind.goAway: self.goAway = frame.word(4)
        case Kind.headers:
            let fields: [(String, String)] = self.inflate(frame.payload)
            let status: String? = fields.first { $0.0 == ":status" }?.1
            if let status: String, status.hasPrefix("1") {
                response.interim.append(fields)
            } else if response.fields.isEmpty {
                response.fields = fields
            } else {
                response.trailers = fields
            }
        case Kind.data:
            response.body += frame.payload
            if self.opensWindows, !frame.payload.isEmpty {
                let count: [UInt8] = HTTP2Peer.bytes(UInt32(frame.payload.count), 4)
                self.send(Kind.windowUpdate, count)
                if !frame.endsStream { self.send(Kind.windowUpdate, stream: frame.stream, count) }
            }
        case Kind.reset: response.reset = frame.word(0)
        default: break
        }
        guard frame.stream > 0 else { return }
        let isMessage: Bool = frame.type == Kind.headers || frame.type == Kind.data
        response.isComplete = response.isComplete || frame.type == Kind.reset || (isMessage && frame.endsStream)
        self.responses[frame.stream] = response
    }

    private func inflate(_ block: [UInt8]) -> [(String, String)] {
        var fields: [(String, String)] = []
        block.withUnsafeBufferPointer { (bytes: UnsafeBufferPointer<UInt8>) in
            var place: Int = 0
            while true {
                var field: nghttp2_nv = nghttp2_nv()
                var flags: Int32 = 0
                let used: Int = nghttp2_hd_inflate_hd2(
                    self.inflater, &field, &flags, bytes.baseAddress.map { $0 + place }, bytes.count - place, 1)
                if used < 0 { break }
                place += used
                if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                    let name: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(start: field.name, count: field.namelen)
                    let value: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(
                        start: field.value, count: field.valuelen)
                    fields.append((String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self)))
                }
                if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { break }
                if used == 0, flags == 0 { break }
            }
        }
        nghttp2_hd_inflate_end_headers(self.inflater)
        return fields
    }
}
