import HTTP

/// Collects one header block: pseudo-header fields until the first line can be written, then lines of HTTP/1.1.
///
/// The session has checked names, the order and the number of pseudo-header fields, and refused fields of a connection (RFC 9113,
/// 8.2 and 8.3). What is written here is read again by the reader of HTTP/1.1, as strictly as anything from a socket.
struct HTTP2HeadComposer {
    /// Values of pseudo-header fields one behind the other, until the first line is written.
    private var pseudo: ByteBlock?
    private var method: Range<Int> = 0..<0
    private var path: Range<Int> = 0..<0
    private var authority: Range<Int> = 0..<0
    private var hasProtocol: Bool = false
    /// `websocket` was the protocol.
    private var isWebSocket: Bool = false
    private(set) var isHead: Bool = false
    private(set) var isConnect: Bool = false
    private(set) var status: Int = 0
    /// The content type is one of gRPC.
    private(set) var isGRPC: Bool = false
    /// Nanoseconds the caller gives (`grpc-timeout`); 0: any.
    private(set) var callTimeout: UInt64 = 0

    var lines: ByteBlock?
    private var cookies: [UInt8] = []
    private var firstLineDone: Bool = false
    var isTrailers: Bool = false
    var hasLength: Bool = false
    /// Size of the list so far, as RFC 9113, 10.5.1 counts it.
    private(set) var listBytes: Int = 0
    /// Something that no head of HTTP/1.1 can hold, or two things that differ.
    private(set) var isBad: Bool = false

    mutating func begin(isTrailers: Bool) {
        self.method = 0..<0
        self.path = 0..<0
        self.authority = 0..<0
        self.hasProtocol = false
        self.isWebSocket = false
        self.isHead = false
        self.isConnect = false
        self.status = 0
        self.isGRPC = false
        self.callTimeout = 0
        self.firstLineDone = isTrailers
        self.isTrailers = isTrailers
        self.hasLength = false
        self.listBytes = 0
        self.isBad = false
        self.cookies.removeAll(keepingCapacity: true)
    }

    mutating func discard(_ blocks: BlockPool) {
        if let block: ByteBlock = self.pseudo { blocks.give(block) }
        if let block: ByteBlock = self.lines { blocks.give(block) }
        self.pseudo = nil
        self.lines = nil
    }

    mutating func markBad() { self.isBad = true }

    /// Only counts a field of a list that is too large to be kept.
    mutating func countOnly(_ size: Int) { self.listBytes += size }

    /// One field of the block.
    mutating func add(
        _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int,
        _ blocks: BlockPool
    ) {
        self.listBytes += nameCount + valueCount + 32
        if self.isBad || nameCount == 0 { return }
        guard !HTTP2HeadComposer.breaksLine(value, valueCount) else {
            self.isBad = true
            return
        }
        if name[0] == 0x3A {
            self.addPseudo(name, nameCount, value, valueCount, blocks)
            return
        }
        if !self.firstLineDone { self.writeFirstLine(blocks) }
        switch nameCount {
        case 2 where WireText.equals(name, "te"): return
        case 4 where WireText.equals(name, "host"):
            if !self.isSameAuthority(value, valueCount) { self.isBad = true }
            if self.authority.count > 0 { return }
        case 6 where WireText.equals(name, "cookie"):
            // One field again (RFC 9113, 8.2.3).
            if !self.cookies.isEmpty { self.cookies += [0x3B, 0x20] }
            self.cookies += UnsafeBufferPointer(start: value, count: valueCount)
            return
        case 12 where WireText.equals(name, "content-type"):
            self.isGRPC = HTTP2HeadComposer.namesGRPC(value, valueCount)
        case 12 where WireText.equals(name, "grpc-timeout"):
            self.callTimeout = HTTP2HeadComposer.timeout(value, valueCount)
        case 14 where WireText.equals(name, "content-length"): self.hasLength = true
        default: break
        }
        self.line(name, nameCount, value, valueCount, blocks)
    }

    /// `application/grpc`, alone or with `+proto` and its like behind it; not grpc-web, which is plain HTTP.
    private static func namesGRPC(_ value: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        guard count >= 16, WireText.equalsIgnoringCase(value, "application/grpc") else { return false }
        return count == 16 || value[16] == 0x2B || value[16] == 0x3B
    }

    /// At most eight digits and a unit; 0 when it is neither.
    private static func timeout(_ value: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
        guard count >= 2, count <= 9 else { return 0 }
        var amount: UInt64 = 0
        for index in 0..<count - 1 {
            let digit: UInt8 = value[index] &- 0x30
            guard digit < 10 else { return 0 }
            amount = amount * 10 + UInt64(digit)
        }
        // Below 10^8 hours, 3.6 * 10^20 nanoseconds: cut to a year before it is multiplied.
        switch value[count - 1] {
        case UInt8(ascii: "n"): return max(amount, 1)
        case UInt8(ascii: "u"): return max(amount * 1_000, 1)
        case UInt8(ascii: "m"): return max(amount * 1_000_000, 1)
        case UInt8(ascii: "S"): return max(min(amount, 31_536_000) * 1_000_000_000, 1)
        case UInt8(ascii: "M"): return max(min(amount, 525_600) * 60_000_000_000, 1)
        case UInt8(ascii: "H"): return max(min(amount, 8_760) * 3_600_000_000_000, 1)
        default: return 0
        }
    }

    private mutating func line(
        _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int,
        _ blocks: BlockPool
    ) {
        var block: ByteBlock = self.lines ?? blocks.take(nameCount + valueCount + 4)
        blocks.reserve(nameCount + valueCount + 4, in: &block)
        block.append(name, nameCount)
        block.append(": ")
        block.append(value, valueCount)
        block.append("\r\n")
        self.lines = block
    }

    private mutating func addPseudo(
        _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int,
        _ blocks: BlockPool
    ) {
        if nameCount == 7, WireText.equals(name, ":status") {
            guard valueCount == 3 else { return }
            for index in 0..<3 { self.status = self.status * 10 + Int(value[index] &- 0x30) }
            return
        }
        var block: ByteBlock = self.pseudo ?? blocks.take(valueCount)
        let start: Int = block.end
        blocks.append(value, valueCount, to: &block)
        self.pseudo = block
        let range: Range<Int> = start..<block.end
        switch nameCount {
        case 7 where WireText.equals(name, ":method"):
            self.method = range
            self.isHead = valueCount == 4 && WireText.equals(value, "HEAD")
            self.isConnect = valueCount == 7 && WireText.equals(value, "CONNECT")
        case 5 where WireText.equals(name, ":path"): self.path = range
        case 10 where WireText.equals(name, ":authority"): self.authority = range
        case 9 where WireText.equals(name, ":protocol"):
            self.hasProtocol = true
            self.isWebSocket = valueCount == 9 && WireText.equals(value, "websocket")
        default: break
        }
    }

    /// Whether a Host field repeats what `:authority` said (RFC 9113, 8.3.1: an intermediary may not see two different ones).
    private func isSameAuthority(_ value: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        guard self.authority.count > 0, let kept: UnsafeRawPointer = self.keptAuthority else { return true }
        return count == self.authority.count && WireText.equalsIgnoringCase(kept, value, count: count)
    }

    /// Where the Host line that was written stands.
    private var keptAuthority: UnsafeRawPointer? {
        guard let lines: ByteBlock = self.lines else { return nil }
        return UnsafeRawPointer(lines.base + self.authority.lowerBound)
    }

    /// Request line and Host, or status line.
    private mutating func writeFirstLine(_ blocks: BlockPool) {
        self.firstLineDone = true
        guard let pseudo: ByteBlock = self.pseudo else {
            if self.status > 0 { self.writeStatusLine(blocks) } else { self.isBad = true }
            return
        }
        let base: UnsafeRawPointer = UnsafeRawPointer(pseudo.base)
        let target: Range<Int> = self.path.isEmpty ? self.authority : self.path
        // Without a path the authority is written twice.
        var block: ByteBlock = blocks.take(pseudo.count + target.count + 256)
        if self.hasProtocol {
            block.append("GET")
        } else {
            block.append(base + self.method.lowerBound, self.method.count)
        }
        block.append(" ")
        block.append(base + target.lowerBound, target.count)
        block.append(" HTTP/1.1\r\n")
        if self.authority.count > 0 {
            block.append("host: ")
            let start: Int = block.end
            block.append(base + self.authority.lowerBound, self.authority.count)
            block.append("\r\n")
            self.authority = start..<start + self.authority.count
        }
        if self.hasProtocol {
            if self.isWebSocket {
                block.append("connection: Upgrade\r\nupgrade: websocket\r\n")
            } else {
                self.isBad = true
            }
        }
        // A request line within a request line would hide behind a space.
        for index in 0..<self.method.count
        where base.load(fromByteOffset: self.method.lowerBound + index, as: UInt8.self) <= 0x20 {
            self.isBad = true
        }
        self.lines = block
        blocks.give(pseudo)
        self.pseudo = nil
    }

    private mutating func writeStatusLine(_ blocks: BlockPool) {
        var block: ByteBlock = blocks.take(64)
        block.append("HTTP/1.1 ")
        for place in [100, 10, 1] {
            var digit: UInt8 = 0x30 + UInt8(truncatingIfNeeded: self.status / place % 10)
            block.append(&digit, 1)
        }
        block.append(" \r\n")
        self.lines = block
    }

    /// Whether the block opened a WebSocket by extended CONNECT (RFC 8441).
    var opensWebSocket: Bool { self.isWebSocket }

    /// Writes what is missing once the last field has come, but for the empty line.
    mutating func finish(_ blocks: BlockPool) {
        if !self.firstLineDone { self.writeFirstLine(blocks) }
        guard !self.cookies.isEmpty, !self.isBad else { return }
        let name: StaticString = "cookie"
        self.cookies.withUnsafeBufferPointer { (value: UnsafeBufferPointer<UInt8>) in
            guard let start: UnsafePointer<UInt8> = value.baseAddress else { return }
            self.line(name.utf8Start, 6, start, value.count, blocks)
        }
    }

    mutating func append(_ text: StaticString, _ blocks: BlockPool) {
        var block: ByteBlock = self.lines ?? blocks.take(text.utf8CodeUnitCount)
        blocks.reserve(text.utf8CodeUnitCount, in: &block)
        block.append(text)
        self.lines = block
    }

    mutating func append(bytes: [UInt8], _ blocks: BlockPool) {
        var block: ByteBlock = self.lines ?? blocks.take(bytes.count)
        bytes.withUnsafeBytes { (raw: UnsafeRawBufferPointer) in
            guard let start: UnsafeRawPointer = raw.baseAddress else { return }
            blocks.append(start, raw.count, to: &block)
        }
        self.lines = block
    }

    mutating func takeLines() -> ByteBlock? {
        let block: ByteBlock? = self.lines
        self.lines = nil
        return block
    }

    /// Whether the value holds CR, LF or NUL, which would end its line. Eight bytes at a time: other control characters are rare.
    private static func breaksLine(_ value: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        let raw: UnsafeRawPointer = UnsafeRawPointer(value)
        var index: Int = 0
        while index + 8 <= count {
            let bytes: UInt64 = raw.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            let low: UInt64 = (bytes &- 0x2020_2020_2020_2020) & ~bytes & 0x8080_8080_8080_8080
            if low != 0 {
                for place in index..<index + 8 where self.endsLine(value[place]) { return true }
            }
            index += 8
        }
        while index < count {
            if self.endsLine(value[index]) { return true }
            index += 1
        }
        return false
    }

    private static func endsLine(_ byte: UInt8) -> Bool { byte == 0x0D || byte == 0x0A || byte == 0x00 }
}

extension ByteBlock {
    mutating func append(_ text: StaticString) {
        self.append(UnsafeRawPointer(text.utf8Start), text.utf8CodeUnitCount)
    }
}

extension BlockPool {
    /// Makes room for `count` more bytes, moving to a larger block where they do not fit.
    func reserve(_ count: Int, in block: inout ByteBlock) {
        if count <= block.space { return }
        var larger: ByteBlock = self.take(block.count + count)
        larger.append(UnsafeRawPointer(block.base + block.start), block.count)
        self.give(block)
        block = larger
    }
}
