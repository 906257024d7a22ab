package import GatewayConfiguration
package import HTTP

/// A request's head as routing and policies see it: pointers into the receive buffer, nothing owned.
///
/// Valid as long as the buffer is not moved: within one call on the loop that owns it.
package struct RequestView {
    package var method: MethodCode
    /// The value of `Host`, or `:authority`, as sent; may hold a port. Empty when there is none.
    package var host: UnsafeRawBufferPointer
    /// The path in normal form (see `PathScreen`), without query.
    package var path: UnsafeRawBufferPointer
    /// Behind the `?`, as sent; empty when there is none.
    package var query: UnsafeRawBufferPointer
    package var fields: FieldTable
    /// The address of the connection's other end.
    package var remote: IPAddress
    /// The declared length of the body in bytes; -1 when it is not declared (chunked).
    package var contentLength: Int64

    package init(
        method: MethodCode, host: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer,
        query: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0), fields: FieldTable = FieldTable(),
        remote: IPAddress = IPAddress(ipv4: 0x7f00_0001), contentLength: Int64 = 0
    ) {
        self.method = method
        self.host = host
        self.path = path
        self.query = query
        self.fields = fields
        self.remote = remote
        self.contentLength = contentLength
    }
}

extension RequestView {
    /// Calls with a view of a request that is given as texts, laid out in one buffer the way a head is; `body` must not keep it. The
    /// path is taken as it is. Fields beyond 64 KiB are left out: no head is so long.
    static func with<Result>(
        method: MethodCode, host: String, path: String, query: String, headers: [(name: String, value: String)],
        _ body: (RequestView) throws -> Result
    ) rethrows -> Result {
        var bytes: [UInt8] = []
        func add(_ text: String) -> Range<Int> {
            let start: Int = bytes.count
            bytes.append(contentsOf: text.utf8)
            // Nothing is next to anything.
            bytes.append(0)
            return start..<(bytes.count - 1)
        }
        let places: [Range<Int>] = [host, path, query].map { add($0) }
        var fields: [HTTPField] = []
        for (name, value) in headers {
            let (name, value): (Range<Int>, Range<Int>) = (add(name), add(value))
            guard bytes.count <= Int(UInt16.max) else { break }
            var field: HTTPField = HTTPField()
            (field.nameStart, field.nameCount) = (UInt16(name.lowerBound), UInt16(name.count))
            (field.valueStart, field.valueCount) = (UInt16(value.lowerBound), UInt16(value.count))
            fields.append(field)
        }
        return try bytes.withUnsafeBytes { raw in
            try fields.withUnsafeBufferPointer { table in
                try body(
                    RequestView(
                        method: method, host: UnsafeRawBufferPointer(rebasing: raw[places[0]]),
                        path: UnsafeRawBufferPointer(rebasing: raw[places[1]]),
                        query: UnsafeRawBufferPointer(rebasing: raw[places[2]]),
                        fields: FieldTable(base: raw.baseAddress, fields: table)))
            }
        }
    }
}

/// The header fields of a request, in the order they were sent.
package struct FieldTable {
    /// The first byte of the head: what the places of fields count from.
    package var base: UnsafeRawPointer?
    package var fields: UnsafeBufferPointer<HTTPField>

    package init() {
        self.base = nil
        self.fields = UnsafeBufferPointer(start: nil, count: 0)
    }

    package init(base: UnsafeRawPointer?, fields: UnsafeBufferPointer<HTTPField>) {
        self.base = base
        self.fields = fields
    }

    package var count: Int { self.fields.count }

    package func value(at index: Int) -> UnsafeRawBufferPointer {
        let field: HTTPField = self.fields[index]
        return UnsafeRawBufferPointer(start: self.base.map { $0 + Int(field.valueStart) }, count: Int(field.valueCount))
    }

    package func name(at index: Int) -> UnsafeRawBufferPointer {
        let field: HTTPField = self.fields[index]
        return UnsafeRawBufferPointer(start: self.base.map { $0 + Int(field.nameStart) }, count: Int(field.nameCount))
    }

    /// The first field of this name from `start` on, or -1. `name` is lower case.
    func index(of name: UnsafeRawBufferPointer, from start: Int = 0) -> Int {
        guard let base: UnsafeRawPointer = self.base else { return -1 }
        var index: Int = start
        while index < self.fields.count {
            let field: HTTPField = self.fields[index]
            if Int(field.nameCount) == name.count,
                ASCIIBytes.equalIgnoringCase(base + Int(field.nameStart), lower: name.baseAddress, count: name.count)
            {
                return index
            }
            index += 1
        }
        return -1
    }
}

/// Comparisons of ASCII bytes in place.
enum ASCIIBytes {
    @inline(__always)
    static func lowered(_ byte: UInt8) -> UInt8 {
        // One subtraction and comparison decide "is upper case".
        byte &- 0x41 < 26 ? byte | 0x20 : byte
    }

    /// Whether `count` bytes are equal to those of `lower`, which hold no upper-case letter.
    @inline(__always)
    static func equalIgnoringCase(_ bytes: UnsafeRawPointer, lower: UnsafeRawPointer?, count: Int) -> Bool {
        guard let lower else { return count == 0 }
        var index: Int = 0
        while index < count {
            let byte: UInt8 = bytes.load(fromByteOffset: index, as: UInt8.self)
            if self.lowered(byte) != lower.load(fromByteOffset: index, as: UInt8.self) { return false }
            index &+= 1
        }
        return true
    }

    @inline(__always)
    static func equal(_ left: UnsafeRawPointer, _ right: UnsafeRawPointer, count: Int) -> Bool {
        var index: Int = 0
        while index &+ 8 <= count {
            let first: UInt64 = left.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            if first != right.loadUnaligned(fromByteOffset: index, as: UInt64.self) { return false }
            index &+= 8
        }
        while index < count {
            if left.load(fromByteOffset: index, as: UInt8.self) != right.load(fromByteOffset: index, as: UInt8.self) {
                return false
            }
            index &+= 1
        }
        return true
    }
}

/// Reads `name=value` pairs of a query string in place. Nothing is decoded: names and values are compared as sent.
enum QueryBytes {
    /// Offset and length of a pair, and of its value, in a query string.
    struct Pair {
        var offset: Int
        var length: Int
        var valueOffset: Int
        var valueLength: Int
    }

    /// The first pair of this name from `start` on.
    static func pair(
        named name: UnsafeRawBufferPointer, in query: UnsafeRawBufferPointer, from start: Int = 0
    ) -> Pair? {
        var offset: Int = start
        while offset < query.count {
            var end: Int = offset
            var equals: Int = -1
            while end < query.count, query[end] != UInt8(ascii: "&") {
                if equals < 0, query[end] == UInt8(ascii: "=") { equals = end }
                end += 1
            }
            let nameEnd: Int = equals < 0 ? end : equals
            if nameEnd - offset == name.count, let base: UnsafeRawPointer = query.baseAddress,
                let wanted: UnsafeRawPointer = name.baseAddress,
                ASCIIBytes.equal(base + offset, wanted, count: name.count)
            {
                let valueOffset: Int = equals < 0 ? end : equals + 1
                return Pair(
                    offset: offset, length: end - offset, valueOffset: valueOffset, valueLength: end - valueOffset)
            }
            offset = end + 1
        }
        return nil
    }
}
