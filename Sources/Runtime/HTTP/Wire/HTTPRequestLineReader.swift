/// Reads `METHOD SP TARGET SP HTTP/1.x CRLF`, after at most one empty line (RFC 9112, 2.2 and 3).
struct HTTPRequestLineReader {
    /// Characters of the longest method taken.
    static let methodMax: Int = 24

    let base: UnsafePointer<UInt8>
    let end: Int
    let targetMax: Int

    private var index: Int = 0

    @inline(__always)
    init(base: UnsafePointer<UInt8>, end: Int, targetMax: Int) {
        self.base = base
        self.end = end
        self.targetMax = targetMax
    }

    mutating func read(into head: inout HTTPRequestHead) -> HTTPHeadOutcome {
        var outcome: HTTPHeadOutcome = self.skipEmptyLine()
        if outcome != .complete { return outcome }
        head.start = self.index
        head.flags = []
        head.query = 0..<0
        head.host = 0..<0
        outcome = self.readMethod(&head)
        if outcome != .complete { return outcome }
        outcome = self.readTarget(&head)
        if outcome != .complete { return outcome }
        outcome = self.readVersion(&head)
        head.fieldsStart = self.index
        return outcome
    }

    private mutating func skipEmptyLine() -> HTTPHeadOutcome {
        if self.base[0] != 0x0D { return .complete }
        guard self.end > 1 else { return .incomplete }
        guard self.base[1] == 0x0A else { return .refused(.bareCarriageReturn) }
        self.index = 2
        return self.end > 2 ? .complete : .incomplete
    }

    private mutating func readMethod(_ head: inout HTTPRequestHead) -> HTTPHeadOutcome {
        let start: Int = self.index
        let stop: Int = min(self.end, start + HTTPRequestLineReader.methodMax + 1)
        while self.index < stop, WireText.isToken(self.base[self.index]) { self.index += 1 }
        let count: Int = self.index - start
        if self.index == self.end, count <= HTTPRequestLineReader.methodMax { return .incomplete }
        guard count > 0, count <= HTTPRequestLineReader.methodMax, self.base[self.index] == 0x20 else {
            return .refused(.method)
        }
        head.methodCount = count
        head.method = MethodCode(UnsafeRawBufferPointer(start: self.base + start, count: count))
        self.index += 1
        return .complete
    }

    private mutating func readTarget(_ head: inout HTTPRequestHead) -> HTTPHeadOutcome {
        guard self.index < self.end else { return .incomplete }
        let start: Int = self.index
        var outcome: HTTPHeadOutcome = .complete
        let first: UInt8 = self.base[start]
        if first == 0x2F {
            outcome = head.method == .connect ? .refused(.target) : self.readPath(&head)
        } else if head.method == .connect {
            outcome = self.readAuthority(&head, endsAtSlash: false)
            head.path = self.index..<self.index
        } else if first == 0x2A, head.method == .options {
            self.index += 1
            head.path = start..<self.index
        } else {
            outcome = self.readAbsolute(&head)
        }
        if outcome != .complete { return outcome }
        guard self.index < self.end else { return .incomplete }
        guard self.base[self.index] == 0x20 else { return .refused(.target) }
        head.target = start..<self.index
        if self.index - start > self.targetMax { return .refused(.targetTooLong) }
        self.index += 1
        return .complete
    }

    /// Path and query, up to the space.
    private mutating func readPath(_ head: inout HTTPRequestHead) -> HTTPHeadOutcome {
        let start: Int = self.index
        // One byte more than allowed is enough to know.
        let stop: Int = min(self.end, start + self.targetMax + 1)
        var previous: UInt8 = 0
        while self.index < stop {
            let byte: UInt8 = self.base[self.index]
            guard WireText.isPath(byte) else { break }
            if byte == 0x25 {
                head.flags.insert(.unusualPath)
                let outcome: HTTPHeadOutcome = self.checkEscape()
                if outcome != .complete { return outcome }
            } else if byte == 0x2E, previous == 0x2F {
                head.flags.insert(.unusualPath)
            }
            previous = byte
            self.index += 1
        }
        head.path = start..<self.index
        if self.index < stop, self.base[self.index] == 0x3F {
            self.index += 1
            let queryStart: Int = self.index
            while self.index < stop, WireText.isQuery(self.base[self.index]) {
                if self.base[self.index] == 0x25 {
                    let outcome: HTTPHeadOutcome = self.checkEscape()
                    if outcome != .complete { return outcome }
                }
                self.index += 1
            }
            head.query = queryStart..<self.index
        }
        if self.index - start > self.targetMax { return .refused(.targetTooLong) }
        return self.index < self.end ? .complete : .incomplete
    }

    /// Two hexadecimal digits follow the percent sign at `index`.
    private func checkEscape() -> HTTPHeadOutcome {
        for place in self.index + 1...self.index + 2 {
            guard place < self.end else { return .incomplete }
            if WireText.hexDigit(self.base[place]) == nil { return .refused(.percentEncoding) }
        }
        return .complete
    }

    /// `http://authority/path?query` or https; user information is refused (RFC 9110, 4.2.4).
    private mutating func readAbsolute(_ head: inout HTTPRequestHead) -> HTTPHeadOutcome {
        let start: UnsafeRawPointer = UnsafeRawPointer(self.base + self.index)
        let left: Int = self.end - self.index
        if left >= 7, WireText.equalsIgnoringCase(start, "http"), self.base[self.index + 4] == 0x3A {
            self.index += 5
        } else if left >= 8, WireText.equalsIgnoringCase(start, "https"), self.base[self.index + 5] == 0x3A {
            self.index += 6
        } else {
            return left >= 8 || !WireText.isToken(self.base[self.index]) ? .refused(.target) : .incomplete
        }
        guard self.base[self.index] == 0x2F, self.base[self.index + 1] == 0x2F else { return .refused(.target) }
        self.index += 2
        head.flags.insert(.absoluteTarget)
        let outcome: HTTPHeadOutcome = self.readAuthority(&head, endsAtSlash: true)
        if outcome != .complete { return outcome }
        if self.base[self.index] == 0x2F { return self.readPath(&head) }
        // "http://host" means the path "/": an empty range here, and whoever needs the byte writes it.
        head.path = self.index..<self.index
        return self.base[self.index] == 0x20 ? .complete : .refused(.target)
    }

    private mutating func readAuthority(_ head: inout HTTPRequestHead, endsAtSlash: Bool) -> HTTPHeadOutcome {
        let start: Int = self.index
        let stop: Int = min(self.end, start + HTTPAuthority.countMax + 1)
        while self.index < stop, self.base[self.index] != 0x20, !(endsAtSlash && self.base[self.index] == 0x2F) {
            self.index += 1
        }
        if self.index == self.end, self.index - start <= HTTPAuthority.countMax { return .incomplete }
        guard HTTPAuthority.isWellFormed(self.base + start, count: self.index - start) else { return .refused(.target) }
        head.host = start..<self.index
        return .complete
    }

    private mutating func readVersion(_ head: inout HTTPRequestHead) -> HTTPHeadOutcome {
        if self.end - self.index >= 10 {
            // What nearly all of them say.
            let start: UnsafeRawPointer = UnsafeRawPointer(self.base + self.index)
            if WireText.equals(start, "HTTP/1.1"), WireText.equals(start + 8, "\r\n") {
                head.minorVersion = 1
                self.index += 10
                return .complete
            }
        }
        // "HTTP/1.1" and CRLF; nonsense is refused with the first wrong byte.
        let wanted: StaticString = "HTTP/"
        let present: Int = min(self.end - self.index, 5)
        for offset in 0..<present where self.base[self.index + offset] != wanted.utf8Start[offset] {
            return .refused(.startLine)
        }
        guard self.end - self.index >= 10 else {
            return self.hasEarlyLineEnd() ? .refused(.startLine) : .incomplete
        }
        let major: UInt8 = self.base[self.index + 5]
        let minor: UInt8 = self.base[self.index + 7]
        guard WireText.isDigit(major), self.base[self.index + 6] == 0x2E, WireText.isDigit(minor) else {
            return .refused(.startLine)
        }
        guard self.base[self.index + 8] == 0x0D else {
            return .refused(self.base[self.index + 8] == 0x0A ? .bareLineFeed : .startLine)
        }
        guard self.base[self.index + 9] == 0x0A else { return .refused(.bareCarriageReturn) }
        guard major == 0x31, minor <= 0x31 else { return .refused(.version) }
        head.minorVersion = minor &- 0x30
        self.index += 10
        return .complete
    }

    private func hasEarlyLineEnd() -> Bool {
        for place in self.index..<self.end where self.base[place] == 0x0A { return true }
        return false
    }
}
