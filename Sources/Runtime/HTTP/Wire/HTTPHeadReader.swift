/// Reads heads of HTTP/1.1 in place, strictly: what two programs could understand differently is refused (RFC 9112, 2–6, 11).
///
/// A reader keeps no bytes and no state but `scanned`, so a head that came in pieces is read again from its first byte, and
/// only when its end has come: the work stays linear however small the pieces are.
package enum HTTPHeadReader {
    /// Reads a request head. Places in `head` and in the table count from the start of `bytes`.
    ///
    /// - Parameters:
    ///   - bytes: all that was received and not consumed.
    ///   - scanned: 0 for a new head; else what an earlier call left there for the same head.
    package static func readRequest(
        _ bytes: UnsafeRawBufferPointer, scanned: inout Int, limits: HTTPLimits, table: HTTPFieldTable,
        into head: inout HTTPRequestHead
    ) -> HTTPHeadOutcome {
        let end: Int = min(bytes.count, limits.headBytesMax)
        guard let start: UnsafeRawPointer = bytes.baseAddress, end > 0 else { return .incomplete }
        let base: UnsafePointer<UInt8> = start.assumingMemoryBound(to: UInt8.self)
        // Past this many bytes the request line is known to be too long, which has its own status: read it again once.
        let lineMax: Int = limits.targetBytesMax + HTTPRequestLineReader.methodMax + 2
        let crossesLineMax: Bool = scanned <= lineMax && lineMax < end
        if scanned > 0, !self.mayBeComplete(base, scanned: &scanned, end: end), !crossesLineMax {
            return bytes.count < limits.headBytesMax ? .incomplete : .refused(.headTooLarge)
        }
        var line: HTTPRequestLineReader = HTTPRequestLineReader(base: base, end: end, targetMax: limits.targetBytesMax)
        var outcome: HTTPHeadOutcome = line.read(into: &head)
        if outcome == .complete {
            var fields: HTTPFieldReader = HTTPFieldReader(base: base, from: head.fieldsStart, end: end, table: table)
            outcome = fields.read()
            if outcome == .complete { return self.finish(&head, fields, base) }
        }
        guard outcome == .incomplete else { return outcome }
        scanned = end
        return bytes.count < limits.headBytesMax ? .incomplete : .refused(.headTooLarge)
    }

    /// Reads a response head, `isHead` when it answers a HEAD request. As `readRequest` otherwise.
    package static func readResponse(
        _ bytes: UnsafeRawBufferPointer, isHead: Bool, scanned: inout Int, limits: HTTPLimits, table: HTTPFieldTable,
        into head: inout HTTPResponseHead
    ) -> HTTPHeadOutcome {
        let end: Int = min(bytes.count, limits.headBytesMax)
        guard let start: UnsafeRawPointer = bytes.baseAddress, end > 0 else { return .incomplete }
        let base: UnsafePointer<UInt8> = start.assumingMemoryBound(to: UInt8.self)
        if scanned > 0, !self.mayBeComplete(base, scanned: &scanned, end: end) {
            return bytes.count < limits.headBytesMax ? .incomplete : .refused(.headTooLarge)
        }
        var outcome: HTTPHeadOutcome = self.readStatusLine(base, end: end, into: &head)
        if outcome == .complete {
            var fields: HTTPFieldReader = HTTPFieldReader(base: base, from: head.fieldsStart, end: end, table: table)
            outcome = fields.read()
            if outcome == .complete { return self.finish(&head, fields, isHead: isHead) }
        }
        guard outcome == .incomplete else { return outcome }
        scanned = end
        return bytes.count < limits.headBytesMax ? .incomplete : .refused(.headTooLarge)
    }

    /// Whether bytes that came after `scanned` end the head or break it: an empty line, or LF without CR.
    private static func mayBeComplete(_ base: UnsafePointer<UInt8>, scanned: inout Int, end: Int) -> Bool {
        // Two bytes back, because the line end before the empty line may have come earlier; 0 is never looked before.
        var index: Int = max(scanned - 2, 0)
        while index < end {
            if base[index] == 0x0A {
                if index == 0 || base[index - 1] != 0x0D { return true }
                if index + 2 < end, base[index + 1] == 0x0D, base[index + 2] == 0x0A { return true }
                if index + 1 < end, base[index + 1] == 0x0A { return true }
            }
            index += 1
        }
        scanned = max(end, 1)
        return false
    }

    /// What the fields mean for a request (RFC 9112, 6.3).
    private static func finish(
        _ head: inout HTTPRequestHead, _ fields: HTTPFieldReader, _ base: UnsafePointer<UInt8>
    ) -> HTTPHeadOutcome {
        head.count = fields.index
        head.fieldCount = fields.count
        head.flags.formUnion(fields.flags)
        if fields.isChunked {
            if fields.flags.contains(.hasContentLength) { return .refused(.lengthAndCoding) }
            if head.minorVersion == 0 { return .refused(.codingInOldVersion) }
            head.framing = .chunked
        } else {
            head.framing = fields.length > 0 ? .length(fields.length) : .none
        }
        if head.flags.contains(.upgrade), !head.flags.contains(.hasUpgradeField) { head.flags.remove(.upgrade) }
        // A 1.0 client cannot be answered with an interim response.
        if head.minorVersion == 0 { head.flags.remove(.expectsContinue) }
        return self.settleHost(&head, fields.host, base)
    }

    private static func settleHost(
        _ head: inout HTTPRequestHead, _ field: Range<Int>?, _ base: UnsafePointer<UInt8>
    ) -> HTTPHeadOutcome {
        guard let host: Range<Int> = field else {
            return head.minorVersion == 0 ? .complete : .refused(.hostMissing)
        }
        guard HTTPAuthority.isWellFormed(base + host.lowerBound, count: host.count) else { return .refused(.host) }
        if head.flags.contains(.absoluteTarget) {
            let isSame: Bool = HTTPAuthority.isSame(base, head.host, host)
            if !isSame { return .refused(.hostDiffers) }
        }
        head.host = host
        return .complete
    }

    /// What the fields mean for a response (RFC 9112, 6.3).
    private static func finish(
        _ head: inout HTTPResponseHead, _ fields: HTTPFieldReader, isHead: Bool
    ) -> HTTPHeadOutcome {
        head.count = fields.index
        head.fieldCount = fields.count
        head.flags = fields.flags
        if fields.isChunked {
            if fields.flags.contains(.hasContentLength) { return .refused(.lengthAndCoding) }
            if head.minorVersion == 0 { return .refused(.codingInOldVersion) }
        }
        if isHead || head.status < 200 || head.status == 204 || head.status == 304 {
            // A length in a 1xx or 204 would be read as a body by someone less strict (RFC 9112, 6.3: none there).
            let isBodyless: Bool = head.status < 200 || head.status == 204
            if isBodyless, fields.isChunked || fields.length > 0 { return .refused(.lengthAndCoding) }
            head.framing = .none
        } else if fields.isChunked {
            head.framing = .chunked
        } else if fields.flags.contains(.hasContentLength) {
            head.framing = fields.length > 0 ? .length(fields.length) : .none
        } else {
            head.framing = .untilClose
        }
        return .complete
    }

    /// `HTTP/1.x SP NNN SP reason CRLF`; a missing reason may take its space with it.
    private static func readStatusLine(
        _ base: UnsafePointer<UInt8>, end: Int, into head: inout HTTPResponseHead
    ) -> HTTPHeadOutcome {
        // "HTTP/1.1 200" and CRLF.
        guard end >= 14 else { return self.prefixIsPossible(base, end) ? .incomplete : .refused(.statusLine) }
        guard WireText.equals(base, "HTTP/1."), base[8] == 0x20 else { return .refused(.statusLine) }
        guard base[7] == 0x30 || base[7] == 0x31 else { return .refused(.statusLine) }
        guard WireText.isDigit(base[9]), WireText.isDigit(base[10]), WireText.isDigit(base[11]) else {
            return .refused(.statusLine)
        }
        head.minorVersion = base[7] &- 0x30
        head.status = Int(base[9] &- 0x30) * 100 + Int(base[10] &- 0x30) * 10 + Int(base[11] &- 0x30)
        guard head.status >= 100, head.status <= 599 else { return .refused(.statusLine) }
        var index: Int = 12
        if base[index] == 0x20 {
            index += 1
            while index < end, WireText.isValue(base[index]) { index += 1 }
        }
        guard index + 1 < end else {
            return index < end && base[index] != 0x0D ? .refused(.statusLine) : .incomplete
        }
        guard base[index] == 0x0D else { return .refused(base[index] == 0x0A ? .bareLineFeed : .statusLine) }
        guard base[index + 1] == 0x0A else { return .refused(.bareCarriageReturn) }
        head.reason = min(13, index)..<index
        head.fieldsStart = index + 2
        return .complete
    }

    /// Whether fewer bytes than a status line has can still become one: nonsense is refused without waiting for more.
    private static func prefixIsPossible(_ base: UnsafePointer<UInt8>, _ end: Int) -> Bool {
        let begin: StaticString = "HTTP/1."
        for index in 0..<min(end, begin.utf8CodeUnitCount) where base[index] != begin.utf8Start[index] { return false }
        return true
    }
}
