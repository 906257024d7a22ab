/// Makes the head of a response and decides how its body is framed (RFC 9112, section 6). Pure.
struct ResponseHead {
    enum Length: Equatable {
        /// The body is there.
        case bytes(Int)
        /// A stream whose head promises a length.
        case counted(Int)
        /// A stream of unknown length.
        case unknown
    }

    /// How the stream's writer frames, from what the handler set and what the client understands.
    static func framing(of response: HTTPResponse, for exchange: Exchange) -> ResponseWriter.Framing {
        if let text: String = response.fields["content-length"], let length: Int = Int(text), length >= 0 {
            return .counted(length)
        }
        return exchange.minorVersion == 0 ? .untilClose : .chunked
    }

    /// The bytes of the head, or nil if the handler's status or fields cannot stand in one.
    static func make(
        _ response: HTTPResponse, length: Length, exchange: Exchange, keepsAlive: Bool, date: UnsafeRawBufferPointer,
        reserve: Int
    ) -> HeadWriter? {
        guard response.status >= 200, response.status <= 599 else { return nil }
        var head: HeadWriter = HeadWriter(capacity: 256 + reserve)
        head.responseLine(response.status)
        for line in response.fields {
            if FramingFields.contains(line.name) || ASCIICase.equal(line.name, "date") { continue }
            guard head.field(line.name, line.value) else { return nil }
        }
        head.date(date)
        self.writeLength(length, response.status, exchange, &head)
        if !keepsAlive {
            head.line("connection: close")
        } else if exchange.minorVersion == 0 {
            head.line("connection: keep-alive")
        }
        head.endHead()
        return head
    }

    private static func writeLength(_ length: Length, _ status: Int, _ exchange: Exchange, _ head: inout HeadWriter) {
        guard HTTPStatus.hasContent(status) else { return }
        switch length {
        case .bytes(let count), .counted(let count): head.contentLength(count)
        case .unknown: if exchange.minorVersion == 1 { head.line("transfer-encoding: chunked") }
        }
    }
}
