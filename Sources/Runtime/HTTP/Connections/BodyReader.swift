/// Takes the body of one message out of the bytes received, whatever its framing (RFC 9112, section 6.3).
struct BodyReader {
    enum Event: Equatable {
        /// Bytes of the body at this place of the input.
        case bytes(start: Int, count: Int)
        /// What was not consumed has to stay, and more has to come.
        case incomplete
        /// The body is complete; what follows belongs to the next message.
        case end
        case refused(HTTPRefusal)
    }

    private enum Framing {
        case none
        case length(UInt64)
        case chunked(HTTPChunkedDecoder)
        case untilClose
    }

    private var framing: Framing
    /// Bytes of the body seen so far.
    private(set) var total: UInt64 = 0

    init(_ framing: HTTPFraming) {
        switch framing {
        case .none: self.framing = .none
        case .length(let length): self.framing = .length(length)
        case .chunked: self.framing = .chunked(HTTPChunkedDecoder())
        case .untilClose: self.framing = .untilClose
        }
    }

    /// Bytes still to come where the message said so; nil for the other framings.
    var declaredLeft: UInt64? {
        switch self.framing {
        case .none: return 0
        case .length(let left): return left
        case .chunked, .untilClose: return nil
        }
    }

    /// Whether the end of the connection ends this body properly.
    var endsWithConnection: Bool {
        if case .untilClose = self.framing { return true }
        return false
    }

    mutating func next(
        _ input: UnsafeRawBufferPointer, position: inout Int, limits: HTTPLimits, table: HTTPFieldTable
    ) -> Event {
        switch self.framing {
        case .none:
            return .end
        case .length(let left):
            if left == 0 { return .end }
            let count: Int = Int(min(left, UInt64(input.count - position)))
            if count == 0 { return .incomplete }
            self.framing = .length(left - UInt64(count))
            return self.take(count, &position)
        case .untilClose:
            let count: Int = input.count - position
            return count == 0 ? .incomplete : self.take(count, &position)
        case .chunked(var decoder):
            // The enum lets go of the decoder while it is changed; both are plain values of a few bytes.
            let event: Event = self.nextChunked(&decoder, input, &position, limits, table)
            self.framing = .chunked(decoder)
            return event
        }
    }

    private mutating func take(_ count: Int, _ position: inout Int) -> Event {
        let start: Int = position
        position += count
        self.total += UInt64(count)
        return .bytes(start: start, count: count)
    }

    private mutating func nextChunked(
        _ decoder: inout HTTPChunkedDecoder, _ input: UnsafeRawBufferPointer, _ position: inout Int,
        _ limits: HTTPLimits,
        _ table: HTTPFieldTable
    ) -> Event {
        while true {
            switch decoder.next(input, position: &position, limits: limits, table: table) {
            case .bytes(let start, let count):
                self.total += UInt64(count)
                return .bytes(start: start, count: count)
            case .incomplete: return .incomplete
            case .trailers: continue  // Nobody on the control plane asks for trailers.
            case .end: return .end
            case .refused(let refusal): return .refused(refusal)
            }
        }
    }
}
