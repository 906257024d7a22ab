import HTTP

/// What libFuzzer calls with every input: reads it as a request head, as a response head and as a chunked body, all at once and in
/// pieces, and checks what must hold for any bytes.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzHTTPHeads(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: data, count: count)
    // Small limits, so that short inputs reach them.
    for limits: HTTPLimits in [
        .standard, HTTPLimits(headBytesMax: 96, targetBytesMax: 24, fieldsMax: 4, trailerBytesMax: 24),
    ] {
        let table: HTTPFieldTable = HTTPFieldTable(limits: limits)
        checkRequest(bytes, limits, table)
        checkResponse(bytes, limits, table)
        checkChunks(bytes, limits, table)
    }
    return 0
}

/// The first `count` bytes, copied, so that reading on beyond them is seen.
private func prefix<Value>(
    _ bytes: UnsafeRawBufferPointer, _ count: Int, _ body: (UnsafeRawBufferPointer) -> Value
) -> Value {
    Array(bytes[..<count]).withUnsafeBytes(body)
}

// MARK: Heads

private func checkRequest(_ bytes: UnsafeRawBufferPointer, _ limits: HTTPLimits, _ table: HTTPFieldTable) {
    var head: HTTPRequestHead = HTTPRequestHead()
    var scanned: Int = 0
    let outcome: HTTPHeadOutcome = HTTPHeadReader.readRequest(
        bytes, scanned: &scanned, limits: limits, table: table, into: &head)
    if outcome == .complete {
        precondition(head.count <= min(bytes.count, limits.headBytesMax), "a head lies within its bytes")
        precondition(head.target.count <= limits.targetBytesMax, "a target keeps its limit")
        checkPlaces([head.target, head.query, head.host], fields: head.fieldCount, head.count, table)
    }
    var later: HTTPRequestHead = HTTPRequestHead()
    let inPieces: HTTPHeadOutcome = readInPieces(bytes) { piece, scanned in
        HTTPHeadReader.readRequest(piece, scanned: &scanned, limits: limits, table: table, into: &later)
    }
    checkSame(outcome, inPieces)
    if outcome == .complete {
        precondition(later.count == head.count && later.framing == head.framing, "pieces make no difference")
    }
}

private func checkResponse(_ bytes: UnsafeRawBufferPointer, _ limits: HTTPLimits, _ table: HTTPFieldTable) {
    for isHead: Bool in [false, true] {
        var head: HTTPResponseHead = HTTPResponseHead()
        var scanned: Int = 0
        let outcome: HTTPHeadOutcome = HTTPHeadReader.readResponse(
            bytes, isHead: isHead, scanned: &scanned, limits: limits, table: table, into: &head)
        if outcome == .complete {
            precondition(head.count <= min(bytes.count, limits.headBytesMax), "a head lies within its bytes")
            precondition((100...599).contains(head.status), "a status has three digits")
            checkPlaces([head.reason], fields: head.fieldCount, head.count, table)
        }
        var later: HTTPResponseHead = HTTPResponseHead()
        let inPieces: HTTPHeadOutcome = readInPieces(bytes) { piece, scanned in
            HTTPHeadReader.readResponse(
                piece, isHead: isHead, scanned: &scanned, limits: limits, table: table, into: &later)
        }
        checkSame(outcome, inPieces)
        if outcome == .complete {
            precondition(later.count == head.count && later.framing == head.framing, "pieces make no difference")
        }
    }
}

/// Gives a reader a growing part of the bytes until it decides.
private func readInPieces(
    _ bytes: UnsafeRawBufferPointer, _ read: (UnsafeRawBufferPointer, inout Int) -> HTTPHeadOutcome
) -> HTTPHeadOutcome {
    var scanned: Int = 0
    // Steps of different lengths, chosen by the input itself.
    let step: Int = 1 + Int(bytes.last ?? 0) % 13
    var given: Int = 0
    while given < bytes.count {
        given = min(given + step, bytes.count)
        let outcome: HTTPHeadOutcome = prefix(bytes, given) { read($0, &scanned) }
        if outcome != .incomplete { return outcome }
    }
    return .incomplete
}

/// A head is accepted both ways or neither way. What is refused at once may wait for its line to end when it comes in pieces.
private func checkSame(_ whole: HTTPHeadOutcome, _ pieces: HTTPHeadOutcome) {
    precondition((whole == .complete) == (pieces == .complete), "pieces make no difference")
}

private func checkPlaces(_ ranges: [Range<Int>], fields count: Int, _ end: Int, _ table: HTTPFieldTable) {
    for range: Range<Int> in ranges where !range.isEmpty {
        precondition(range.lowerBound >= 0 && range.upperBound <= end, "places lie within the head")
    }
    precondition(count <= table.capacity, "fields fit their table")
    for index: Int in 0..<count {
        let field: HTTPField = table.fields[index]
        precondition(!field.nameRange.isEmpty, "a field has a name")
        precondition(field.nameRange.upperBound <= field.valueRange.lowerBound, "a value follows its name")
        precondition(field.valueRange.upperBound <= end, "a field lies within the head")
    }
}

// MARK: Chunked bodies

private struct Body: Equatable {
    var bytes: [UInt8] = []
    var hasTrailers: Bool = false
    var hasEnded: Bool = false
    var isRefused: Bool = false
}

private func checkChunks(_ bytes: UnsafeRawBufferPointer, _ limits: HTTPLimits, _ table: HTTPFieldTable) {
    let whole: Body = decode(bytes, step: max(bytes.count, 1), keepsFraming: false, limits, table)
    let pieces: Body = decode(bytes, step: 1 + Int(bytes.last ?? 0) % 13, keepsFraming: false, limits, table)
    precondition(whole.hasEnded == pieces.hasEnded, "pieces make no difference")
    if whole.hasEnded { precondition(whole.bytes == pieces.bytes, "pieces make no difference") }
    var framed: Body = decode(bytes, step: 1 + Int(bytes.first ?? 0) % 7, keepsFraming: true, limits, table)
    precondition(framed.hasEnded == whole.hasEnded, "what is passed on as it came is the same body")
    guard framed.hasEnded else { return }
    // Trailers are written by who passes them on.
    if framed.hasTrailers { framed.bytes += [0x0D, 0x0A] }
    let again: Body = framed.bytes.withUnsafeBytes {
        decode($0, step: max($0.count, 1), keepsFraming: false, limits, table)
    }
    precondition(again.hasEnded && again.bytes == whole.bytes, "what is passed on as it came is the same body")
}

private func decode(
    _ bytes: UnsafeRawBufferPointer, step: Int, keepsFraming: Bool, _ limits: HTTPLimits, _ table: HTTPFieldTable
) -> Body {
    var decoder: HTTPChunkedDecoder = HTTPChunkedDecoder(keepsFraming: keepsFraming)
    var body: Body = Body()
    var consumed: Int = 0
    var given: Int = 0
    while given < bytes.count, !body.hasEnded, !body.isRefused {
        given = min(given + step, bytes.count)
        let waiting: [UInt8] = Array(bytes[consumed..<given])
        var position: Int = 0
        waiting.withUnsafeBytes { take(&decoder, $0, &position, into: &body, limits, table) }
        precondition(position <= waiting.count, "no more is consumed than there is")
        consumed += position
    }
    return body
}

private func take(
    _ decoder: inout HTTPChunkedDecoder, _ raw: UnsafeRawBufferPointer, _ position: inout Int, into body: inout Body,
    _ limits: HTTPLimits, _ table: HTTPFieldTable
) {
    while true {
        switch decoder.next(raw, position: &position, limits: limits, table: table) {
        case .bytes(let start, let count):
            precondition(count > 0 && start >= 0 && start + count <= raw.count, "a run lies within the bytes")
            body.bytes += raw[start..<(start + count)]
        case .incomplete: return
        case .trailers(let start, let count):
            precondition(start <= raw.count && count <= table.capacity, "trailers lie within the bytes")
            body.hasTrailers = true
        case .end:
            body.hasEnded = true
            return
        case .refused:
            body.isRefused = true
            return
        }
    }
}
