/// What a chunked body held next.
package enum HTTPChunkEvent: Sendable, Equatable {
    /// So many bytes from there: of the body, or, with `keepsFraming`, of the body as it is framed.
    case bytes(start: Int, count: Int)
    /// What was not consumed has to stay, and more has to come.
    case incomplete
    /// The fields of the trailer section, in the table; their places count from `start`. `end` follows.
    case trailers(start: Int, fieldCount: Int)
    /// The body is complete; what follows belongs to the next message.
    case end
    case refused(HTTPRefusal)
}

/// Takes a chunked body apart (RFC 9112, 7.1), strictly: `size [;ext] CRLF data CRLF … 0 CRLF [trailers] CRLF`.
///
/// Size lines and trailers are read when they are complete, so what `next` did not consume, at most `lineBytesMax` or a trailer
/// section, stays with the caller. Extensions are checked and dropped: nobody agrees what they mean, which is what smuggling
/// lives from.
package struct HTTPChunkedDecoder: Sendable {
    /// Bytes of a size line with its extension and line end.
    package static let lineBytesMax: Int = 256
    /// Digits of a size: below 2^60, so that sums of sizes never overflow.
    static let sizeDigitsMax: Int = 15

    private enum State: UInt8 {
        /// Before a size line.
        case size
        /// In the data of a chunk; `left` bytes to come.
        case data
        /// Before the CRLF that ends a chunk's data.
        case dataEnd
        /// After the last chunk's line.
        case trailers
        case ended
    }

    private var state: State = .size
    private var left: UInt64 = 0
    /// Bytes of an incomplete trailer section that were looked at: it is read again only when another line end has come.
    private var trailerScanned: Int = 0
    /// After a size whose extension was left out: its CRLF is next.
    private var awaitsLineEnd: Bool = false
    /// Give size lines and line ends along with the data, for passing the body on as it came (without extensions).
    private let keepsFraming: Bool

    package init(keepsFraming: Bool = false) { self.keepsFraming = keepsFraming }

    package var hasEnded: Bool { self.state == .ended }

    /// Finds the next thing at `position` and moves it on. After `.trailers` the table may be used until the next call.
    package mutating func next(
        _ bytes: UnsafeRawBufferPointer, position: inout Int, limits: HTTPLimits, table: HTTPFieldTable
    ) -> HTTPChunkEvent {
        guard let start: UnsafeRawPointer = bytes.baseAddress else { return self.state == .ended ? .end : .incomplete }
        let base: UnsafePointer<UInt8> = start.assumingMemoryBound(to: UInt8.self)
        let runStart: Int = position
        while true {
            switch self.state {
            case .size:
                let (event, hadExtension, lineStop): (HTTPChunkEvent?, Bool, Int) = self.readSize(
                    base, &position, bytes.count)
                if let event: HTTPChunkEvent = event { return self.run(from: runStart, to: position, or: event) }
                if self.keepsFraming, hadExtension {
                    // The size goes out now, and its line end with the next run: the extension between them is left out.
                    return .bytes(start: runStart, count: lineStop - runStart)
                }
            case .data:
                let taken: Int = Int(min(self.left, UInt64(bytes.count - position)))
                if taken == 0 { return self.run(from: runStart, to: position, or: .incomplete) }
                let dataStart: Int = position
                position += taken
                self.left -= UInt64(taken)
                if self.left == 0 { self.state = .dataEnd }
                if !self.keepsFraming { return .bytes(start: dataStart, count: taken) }
            case .dataEnd:
                if let event: HTTPChunkEvent = self.readLineEnd(base, &position, bytes.count) {
                    return self.run(from: runStart, to: position, or: event)
                }
                self.state = .size
            case .trailers:
                return self.readTrailers(base, &position, bytes.count, runStart, limits, table)
            case .ended:
                return self.run(from: runStart, to: position, or: .end)
            }
        }
    }

    /// With framing kept, bytes already walked over go out before anything else is told; a refusal is told at once.
    @inline(__always)
    private func run(from start: Int, to position: Int, or event: HTTPChunkEvent) -> HTTPChunkEvent {
        guard self.keepsFraming, position > start else { return event }
        if case .refused = event { return event }
        return .bytes(start: start, count: position - start)
    }

    /// Reads `HEX [;ext] CRLF`. With an extension it stops before the CRLF when framing is kept.
    private mutating func readSize(
        _ base: UnsafePointer<UInt8>, _ position: inout Int, _ end: Int
    ) -> (HTTPChunkEvent?, hadExtension: Bool, sizeStop: Int) {
        if self.awaitsLineEnd {
            if let event: HTTPChunkEvent = self.readLineEnd(base, &position, end) { return (event, false, position) }
            self.awaitsLineEnd = false
            self.state = self.left == 0 ? .trailers : .data
            return (nil, false, position)
        }
        var index: Int = position
        var size: UInt64 = 0
        while index < end, let digit: UInt8 = WireText.hexDigit(base[index]) {
            if index - position >= HTTPChunkedDecoder.sizeDigitsMax { return (.refused(.chunkSize), false, index) }
            size = size << 4 | UInt64(digit)
            index += 1
        }
        if index == end { return (.incomplete, false, index) }
        if index == position { return (.refused(.chunkSize), false, index) }
        let sizeStop: Int = index
        let stop: Int = min(end, position + HTTPChunkedDecoder.lineBytesMax)
        if base[index] == 0x3B || base[index] == 0x20 || base[index] == 0x09 {
            if !self.skipExtension(base, &index, stop) { return (.refused(.chunkExtension), false, index) }
        }
        if index == stop {
            let isTooLong: Bool = index - position >= HTTPChunkedDecoder.lineBytesMax
            return (isTooLong ? .refused(.chunkExtension) : .incomplete, false, index)
        }
        guard base[index] == 0x0D else {
            return (.refused(base[index] == 0x0A ? .bareLineFeed : .chunkSize), false, index)
        }
        guard index + 1 < end else { return (.incomplete, false, index) }
        guard base[index + 1] == 0x0A else { return (.refused(.bareCarriageReturn), false, index) }
        self.left = size
        if sizeStop < index, self.keepsFraming {
            self.awaitsLineEnd = true
            position = index
            return (nil, true, sizeStop)
        }
        position = index + 2
        self.state = size == 0 ? .trailers : .data
        return (nil, false, sizeStop)
    }

    /// White space, then `;` and anything but control characters. False for what is neither.
    private func skipExtension(_ base: UnsafePointer<UInt8>, _ index: inout Int, _ stop: Int) -> Bool {
        while index < stop, base[index] == 0x20 || base[index] == 0x09 { index += 1 }
        if index == stop { return true }
        guard base[index] == 0x3B else { return false }
        while index < stop, WireText.isValue(base[index]) { index += 1 }
        return true
    }

    private func readLineEnd(_ base: UnsafePointer<UInt8>, _ position: inout Int, _ end: Int) -> HTTPChunkEvent? {
        guard position < end else { return .incomplete }
        guard base[position] == 0x0D else { return .refused(.chunkEnd) }
        guard position + 1 < end else { return .incomplete }
        guard base[position + 1] == 0x0A else { return .refused(.chunkEnd) }
        position += 2
        return nil
    }

    /// The empty line, or fields and the empty line. With fields and framing kept, neither the fields nor the empty line are
    /// in a run: the caller writes those it passes on.
    private mutating func readTrailers(
        _ base: UnsafePointer<UInt8>, _ position: inout Int, _ end: Int, _ runStart: Int, _ limits: HTTPLimits,
        _ table: HTTPFieldTable
    ) -> HTTPChunkEvent {
        if position < end, base[position] == 0x0D {
            if let event: HTTPChunkEvent = self.readLineEnd(base, &position, end) {
                return self.run(from: runStart, to: position, or: event)
            }
            self.state = .ended
            return self.run(from: runStart, to: position, or: .end)
        }
        // What was walked over goes first, so that the trailer section stands at the position it is told for.
        if self.keepsFraming, position > runStart { return .bytes(start: runStart, count: position - runStart) }
        guard position < end else { return .incomplete }
        let stop: Int = min(end, position + limits.trailerBytesMax)
        let isTooLarge: Bool = end - position >= limits.trailerBytesMax
        if !self.hasLineFeed(base, from: position + self.trailerScanned, to: stop) {
            self.trailerScanned = stop - position
            return isTooLarge ? .refused(.trailersTooLarge) : .incomplete
        }
        var reader: HTTPFieldReader = HTTPFieldReader(
            base: base + position, from: 0, end: stop - position, table: table)
        switch reader.read() {
        case .complete: break
        case .incomplete:
            self.trailerScanned = stop - position
            return isTooLarge ? .refused(.trailersTooLarge) : .incomplete
        case .refused(.tooManyFields): return .refused(.trailersTooLarge)
        case .refused: return .refused(.trailers)
        }
        let sectionStart: Int = position
        position += reader.index
        self.state = .ended
        return .trailers(start: sectionStart, fieldCount: reader.count)
    }

    private func hasLineFeed(_ base: UnsafePointer<UInt8>, from start: Int, to end: Int) -> Bool {
        var index: Int = start
        while index < end {
            if base[index] == 0x0A { return true }
            index += 1
        }
        return false
    }
}
