/// Reads field lines in place, and gathers what they say about the message. The rules of RFC 9112, 5, without its leniency.
///
/// Bounds: every load is of `base[index]` with `index < end` checked on the path to it.
struct HTTPFieldReader {
    let base: UnsafePointer<UInt8>
    let end: Int
    let table: UnsafeMutablePointer<HTTPField>
    let tableCapacity: Int

    private(set) var index: Int
    private(set) var count: Int = 0
    private(set) var flags: HTTPHeadFlags = []
    private(set) var length: UInt64 = 0
    private(set) var isChunked: Bool = false
    /// The value of the only Host field.
    private(set) var host: Range<Int>?

    @inline(__always)
    init(base: UnsafePointer<UInt8>, from start: Int, end: Int, table: HTTPFieldTable) {
        self.base = base
        self.end = end
        self.index = start
        self.table = table.fields
        self.tableCapacity = table.capacity
    }

    /// Reads up to and with the empty line.
    mutating func read() -> HTTPHeadOutcome {
        while true {
            guard self.index < self.end else { return .incomplete }
            let first: UInt8 = self.base[self.index]
            if first == 0x0D { return self.readEmptyLine() }
            if !WireText.isToken(first) { return .refused(HTTPFieldReader.fault(atLineStart: first)) }
            let outcome: HTTPHeadOutcome = self.readLine()
            if outcome != .complete { return outcome }
        }
    }

    private mutating func readEmptyLine() -> HTTPHeadOutcome {
        guard self.index + 1 < self.end else { return .incomplete }
        guard self.base[self.index + 1] == 0x0A else { return .refused(.bareCarriageReturn) }
        self.index += 2
        return .complete
    }

    private static func fault(atLineStart byte: UInt8) -> HTTPRefusal {
        switch byte {
        case 0x20, 0x09: .foldedLine
        case 0x0A: .bareLineFeed
        default: .fieldName
        }
    }

    /// One line `name:value CRLF`, the first byte of which is a token character.
    @inline(__always)
    private mutating func readLine() -> HTTPHeadOutcome {
        // In registers while the line is read.
        let base: UnsafePointer<UInt8> = self.base
        let end: Int = self.end
        let nameStart: Int = self.index
        var index: Int = HTTPFieldReader.endOfName(base, from: nameStart, end: end)
        guard index < end else { return .incomplete }
        guard base[index] == 0x3A else { return .refused(.fieldName) }
        let nameCount: Int = index &- nameStart
        index &+= 1
        while index < end, base[index] == 0x20 || base[index] == 0x09 { index &+= 1 }
        let valueStart: Int = index
        index = HTTPFieldReader.endOfValue(base, from: index, end: end)
        guard index < end else { return .incomplete }
        guard base[index] == 0x0D else { return .refused(base[index] == 0x0A ? .bareLineFeed : .fieldValue) }
        guard index &+ 1 < end else { return .incomplete }
        guard base[index &+ 1] == 0x0A else { return .refused(.bareCarriageReturn) }
        var valueEnd: Int = index
        while valueEnd > valueStart, base[valueEnd &- 1] == 0x20 || base[valueEnd &- 1] == 0x09 { valueEnd &-= 1 }
        self.index = index &+ 2
        guard self.count < self.tableCapacity else { return .refused(.tooManyFields) }
        let known: KnownField = KnownField(base + nameStart, count: nameCount)
        // Places fit 16 bits: no reader is given more than HTTPLimits.headBytesCeiling bytes.
        let field: UnsafeMutablePointer<HTTPField> = self.table + self.count
        field.pointee.nameStart = UInt16(truncatingIfNeeded: nameStart)
        field.pointee.nameCount = UInt16(truncatingIfNeeded: nameCount)
        field.pointee.valueStart = UInt16(truncatingIfNeeded: valueStart)
        field.pointee.valueCount = UInt16(truncatingIfNeeded: valueEnd - valueStart)
        field.pointee.known = known
        self.count += 1
        if known == .other { return .complete }
        return self.note(known, valueStart..<valueEnd)
    }

    /// The first place from `start` on that holds no token character, or the end.
    @inline(__always)
    private static func endOfName(_ base: UnsafePointer<UInt8>, from start: Int, end: Int) -> Int {
        var index: Int = start
        while index &+ 8 <= end {
            let stops: UInt64 = WireText.notLettersOrDashes(
                UnsafeRawPointer(base + index).loadUnaligned(as: UInt64.self).littleEndian)
            if stops == 0 {
                index &+= 8
                continue
            }
            index &+= stops.trailingZeroBitCount >> 3
            break
        }
        // The colon, as a rule; else a character that names hold less often, and the rest one by one.
        while index < end, WireText.isToken(base[index]) { index &+= 1 }
        return index
    }

    /// The first place from `start` on that holds no value byte, or the end.
    @inline(__always)
    private static func endOfValue(_ base: UnsafePointer<UInt8>, from start: Int, end: Int) -> Int {
        var index: Int = start
        while index &+ 8 <= end {
            let stops: UInt64 = WireText.controls(
                UnsafeRawPointer(base + index).loadUnaligned(as: UInt64.self).littleEndian)
            if stops == 0 {
                index &+= 8
                continue
            }
            index &+= stops.trailingZeroBitCount >> 3
            // A tab is a control character that values may hold.
            if base[index] != 0x09 { return index }
            index &+= 1
        }
        while index < end, WireText.isValue(base[index]) { index &+= 1 }
        return index
    }

    /// Takes notice of a field that matters to the connection.
    private mutating func note(_ known: KnownField, _ value: Range<Int>) -> HTTPHeadOutcome {
        switch known {
        case .host:
            if self.host != nil { return .refused(.hostRepeated) }
            self.host = value
        case .contentLength:
            if self.flags.contains(.hasContentLength) { return .refused(.contentLengthRepeated) }
            self.flags.insert(.hasContentLength)
            guard let length: UInt64 = self.decimal(value) else { return .refused(.contentLength) }
            self.length = length
        case .transferEncoding:
            if self.isChunked || value.count != 7 { return .refused(.transferCoding) }
            guard WireText.equalsIgnoringCase(self.base + value.lowerBound, "chunked") else {
                return .refused(.transferCoding)
            }
            self.isChunked = true
            self.flags.insert(.hasHopByHop)
        case .connection:
            self.flags.insert(.hasHopByHop)
            return self.noteConnection(value)
        case .expect:
            guard value.count == 12, WireText.equalsIgnoringCase(self.base + value.lowerBound, "100-continue") else {
                return .refused(.expectation)
            }
            self.flags.insert(.expectsContinue)
        case .upgrade: self.flags.formUnion([.hasUpgradeField, .hasHopByHop])
        case .keepAlive, .te, .trailer, .proxyConnection, .proxyAuthenticate, .proxyAuthorization:
            self.flags.insert(.hasHopByHop)
        case .authorization: self.flags.insert(.hasAuthorization)
        case .traceparent: self.flags.insert(.hasTraceparent)
        case .accept: self.flags.insert(.hasAccept)
        case .date: self.flags.insert(.hasDate)
        case .other, .tracestate, .retryAfter, .server: break
        }
        return .complete
    }

    /// A list of tokens: `close`, `keep-alive`, `upgrade`, or names of fields.
    private mutating func noteConnection(_ value: Range<Int>) -> HTTPHeadOutcome {
        // What nearly all of them say.
        if value.count == 10, WireText.equalsIgnoringCase(self.base + value.lowerBound, "keep-alive") {
            self.flags.insert(.keepAlive)
            return .complete
        }
        var index: Int = value.lowerBound
        while index < value.upperBound {
            let byte: UInt8 = self.base[index]
            if byte == 0x2C || byte == 0x20 || byte == 0x09 {
                index += 1
                continue
            }
            let start: Int = index
            while index < value.upperBound, WireText.isToken(self.base[index]) { index += 1 }
            if index == start { return .refused(.connectionOption) }
            let count: Int = index - start
            let option: UnsafeRawPointer = UnsafeRawPointer(self.base + start)
            if count == 5, WireText.equalsIgnoringCase(option, "close") {
                self.flags.insert(.close)
            } else if count == 10, WireText.equalsIgnoringCase(option, "keep-alive") {
                self.flags.insert(.keepAlive)
            } else if count == 7, WireText.equalsIgnoringCase(option, "upgrade") {
                self.flags.insert(.upgrade)
            } else {
                let named: KnownField = KnownField(option, count: count)
                // "TE" is the one framing-like field that Connection lists by rule (RFC 9110, 10.1.4).
                if named.framesMessage && named != .te && named != .trailer { return .refused(.connectionOption) }
                self.flags.insert(.namesOthers)
            }
        }
        return .complete
    }

    /// 1 to 18 decimal digits: below 10^18, so that sums of lengths never overflow.
    private func decimal(_ range: Range<Int>) -> UInt64? {
        guard range.count >= 1, range.count <= 18 else { return nil }
        var value: UInt64 = 0
        for index in range {
            guard WireText.isDigit(self.base[index]) else { return nil }
            value = value &* 10 &+ UInt64(self.base[index] &- 0x30)
        }
        return value
    }
}
