import HTTP

/// What libFuzzer calls with every input: reads it as a URL, as escaped text, as a query, as a form and as server-sent events, and
/// checks what must hold for any text.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzURLs(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: [UInt8] = Array(UnsafeBufferPointer(start: data, count: count))
    let text: String = String(decoding: bytes, as: UTF8.self)
    checkURL(text)
    checkEscapes(text)
    checkQuery(text)
    checkForm(bytes)
    checkEvents(bytes)
    return 0
}

private func checkURL(_ text: String) {
    do throws(URLError) {
        let parts: URLParts = try URLParts.parse(text)
        precondition(parts.path.utf8.first == UInt8(ascii: "/"), "a path begins with a slash")
        precondition(!parts.host.isEmpty && parts.port > 0, "there is somebody to connect to")
        for byte in parts.text.utf8 { precondition(byte > 0x20 && byte < 0x7F, "nothing in it breaks a request line") }
        // The normal form may be longer by the slash of an empty path.
        if parts.text.utf8.count <= URLParts.bytesMax {
            precondition(URLParts(parts.text) == parts, "the normal form reads back")
        }
    } catch {
        precondition(error.offset >= 0 && error.offset <= text.utf8.count, "an error has a place in the text")
    }
}

private func checkEscapes(_ text: String) {
    for plusIsSpace in [false, true] {
        guard let plain: String = PercentCoding.decode(text, plusIsSpace: plusIsSpace) else { continue }
        precondition(!plain.utf8.contains(0), "no zero bytes come out")
        precondition(plain.utf8.count <= text.utf8.count, "decoding does not grow")
        let again: String = PercentCoding.encode(plain)
        precondition(PercentCoding.decode(again, plusIsSpace: plusIsSpace) == plain, "what is encoded reads back")
        let segment: String = PercentCoding.encode(plain, keeping: .pathSegment)
        precondition(PercentCoding.decode(segment) == plain, "what is encoded for a path reads back")
        precondition(!segment.utf8.contains(UInt8(ascii: "/")), "an encoded segment stays one")
    }
}

private func checkQuery(_ text: String) {
    do throws(QueryError) {
        let parameters: QueryParameters = try QueryParameters.parse(text)
        precondition((try? QueryParameters.parse(parameters.encoded)) == parameters, "what is written reads back")
    } catch {
        precondition(error.offset >= 0 && error.offset <= text.utf8.count, "an error has a place in the text")
    }
}

private func checkForm(_ bytes: [UInt8]) {
    do throws(QueryError) {
        let parameters: QueryParameters = try QueryParameters.parseForm(bytes)
        let written: [UInt8] = Array(parameters.encoded.utf8)
        precondition((try? QueryParameters.parseForm(written)) == parameters, "what is written reads back")
    } catch {
        precondition(error.offset >= 0 && error.offset <= bytes.count, "an error has a place in the bytes")
    }
}

/// Events do not depend on how the bytes were cut, and what is written reads back.
private func checkEvents(_ bytes: [UInt8]) {
    var whole: ServerSentEventDecoder = ServerSentEventDecoder()
    let events: [ServerSentEvent]? = try? whole.decode(bytes)
    var cut: ServerSentEventDecoder = ServerSentEventDecoder()
    var pieces: [ServerSentEvent]? = []
    do {
        for byte in bytes { pieces?.append(contentsOf: try cut.decode([byte])) }
    } catch {
        pieces = nil
    }
    precondition(events == pieces, "events do not depend on how the bytes were cut")
    for event in events ?? [] {
        var again: ServerSentEventDecoder = ServerSentEventDecoder()
        precondition((try? again.decode(event.encoded)) == [event], "what is written reads back")
    }
}
