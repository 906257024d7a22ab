package import EventLoops

/// What one record of an answer says.
package struct DNSRecord: Sendable, Equatable {
    package enum Content: Sendable, Equatable {
        /// A or AAAA; the port is 0.
        case address(SocketAddress)
        /// CNAME: the name goes on under another one.
        case alias(String)
        /// SRV (RFC 2782).
        case service(DNSService)
        case other(type: UInt16)
    }

    /// Lower case, without the final dot.
    package let name: String
    /// Seconds it may be kept.
    package let seconds: UInt32
    package let content: Content
}

/// Where a service is: lower priorities first, among equals in proportion to the weights.
package struct DNSService: Sendable, Hashable {
    package let priority: UInt16
    package let weight: UInt16
    package let port: UInt16
    package let host: String

    package init(priority: UInt16, weight: UInt16, port: UInt16, host: String) {
        self.priority = priority
        self.weight = weight
        self.port = port
        self.host = host
    }
}

/// Why bytes are no answer of a DNS server.
package struct DNSError: Error, Equatable, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// An answer of a DNS server, read from its bytes (RFC 1035, section 4).
///
/// Every place is checked before it is read, compressed names only point backwards, and what is not understood is passed over by
/// its length.
package struct DNSMessage: Sendable, Equatable {
    /// 0 without error, 2 when the server failed, 3 when the name does not exist.
    package let code: UInt8
    package let answers: [DNSRecord]
    /// How long it may be remembered that there is nothing (RFC 2308 section 5); nil: not said.
    package let negativeSeconds: UInt32?

    /// Records that are read of one answer at most.
    package static let recordsMax: Int = 256

    package init(_ bytes: [UInt8]) throws(DNSError) {
        var reader: DNSReader = DNSReader(bytes: bytes)
        _ = try reader.uint16()
        let flags: UInt16 = try reader.uint16()
        guard flags & 0x8000 != 0 else { throw DNSError("a question, not an answer") }
        self.code = UInt8(flags & 0xF)
        let questions: Int = Int(try reader.uint16())
        let answers: Int = Int(try reader.uint16())
        let authorities: Int = Int(try reader.uint16())
        _ = try reader.uint16()
        guard questions <= 1, answers <= Self.recordsMax, authorities <= Self.recordsMax else {
            throw DNSError("more than \(Self.recordsMax) records")
        }
        for _ in 0..<questions {
            _ = try reader.name()
            _ = try reader.uint16()
            _ = try reader.uint16()
        }
        var found: [DNSRecord] = []
        for _ in 0..<answers { found.append(try reader.record().record) }
        self.answers = found
        var negative: UInt32?
        for _ in 0..<authorities {
            let (record, minimum): (DNSRecord, UInt32?) = try reader.record()
            if let minimum { negative = min(record.seconds, minimum) }
        }
        self.negativeSeconds = negative
    }
}

/// Reads the parts of a message from the first byte on.
struct DNSReader {
    /// Bytes of a name in text at most: 255 (RFC 1035 section 3.1), each of them escaped.
    private static let nameBytesMax: Int = 4 * 255
    private static let jumpsMax: Int = 32

    let bytes: [UInt8]
    private(set) var position: Int = 0

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    mutating func uint16() throws(DNSError) -> UInt16 {
        guard self.bytes.count - self.position >= 2 else { throw DNSError("the answer ends early") }
        defer { self.position += 2 }
        return UInt16(self.bytes[self.position]) << 8 | UInt16(self.bytes[self.position + 1])
    }

    mutating func uint32() throws(DNSError) -> UInt32 {
        let high: UInt32 = UInt32(try self.uint16())
        return high << 16 | UInt32(try self.uint16())
    }

    /// A name in lower case, without the final dot.
    mutating func name() throws(DNSError) -> String {
        var text: [UInt8] = []
        var place: Int = self.position
        var end: Int = -1
        var jumps: Int = 0
        while true {
            guard place < self.bytes.count else { throw DNSError("a name ends early") }
            let length: Int = Int(self.bytes[place])
            if length & 0xC0 == 0xC0 {
                guard place + 1 < self.bytes.count else { throw DNSError("a name ends early") }
                let target: Int = (length & 0x3F) << 8 | Int(self.bytes[place + 1])
                if end < 0 { end = place + 2 }
                jumps += 1
                guard target < place, jumps <= Self.jumpsMax else { throw DNSError("a name that points to itself") }
                place = target
                continue
            }
            guard length < 64, place + 1 + length <= self.bytes.count else { throw DNSError("a label is too long") }
            if length == 0 {
                self.position = end < 0 ? place + 1 : end
                return String(decoding: text, as: UTF8.self)
            }
            if !text.isEmpty { text.append(UInt8(ascii: ".")) }
            for byte in self.bytes[(place + 1)...(place + length)] { DNSReader.write(byte, to: &text) }
            guard text.count <= Self.nameBytesMax else { throw DNSError("a name is too long") }
            place += 1 + length
        }
    }

    /// A byte of a label as text: what would not be one, or would look like the end of the label, as `\ddd` (RFC 1035 section
    /// 5.1), which libresolv reads as it is meant.
    private static func write(_ byte: UInt8, to text: inout [UInt8]) {
        let isPlain: Bool = byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: ".") && byte != UInt8(ascii: "\\")
        if isPlain {
            text.append(byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte)
        } else {
            text += [UInt8(ascii: "\\"), 0x30 + byte / 100, 0x30 + byte / 10 % 10, 0x30 + byte % 10]
        }
    }

    /// A record, and of a SOA how long "nothing" may be remembered.
    mutating func record() throws(DNSError) -> (record: DNSRecord, minimum: UInt32?) {
        let name: String = try self.name()
        let type: UInt16 = try self.uint16()
        let kind: UInt16 = try self.uint16()
        // The first bit of a time is a sign nobody uses (RFC 2181 section 8).
        let seconds: UInt32 = try self.uint32() & 0x7FFF_FFFF
        let length: Int = Int(try self.uint16())
        let end: Int = self.position + length
        guard end <= self.bytes.count else { throw DNSError("a record ends early") }
        var content: DNSRecord.Content = .other(type: type)
        var minimum: UInt32?
        // 1 is the internet; anything else is passed over.
        if kind == 1 {
            switch type {
            case 1 where length == 4, 28 where length == 16: content = .address(self.address(length))
            case 5: content = .alias(try self.name())
            case 33: content = .service(try self.service())
            case 6: minimum = try self.minimum()
            default: break
            }
        }
        guard self.position <= end else { throw DNSError("a record is longer than it says") }
        self.position = end
        return (DNSRecord(name: name, seconds: seconds, content: content), minimum)
    }

    private func address(_ length: Int) -> SocketAddress {
        let start: Int = self.position
        if length == 4 {
            return SocketAddress(
                v4: self.bytes[start], self.bytes[start + 1], self.bytes[start + 2], self.bytes[start + 3], port: 0)
        }
        var raw: [16 of UInt8] = [16 of UInt8](repeating: 0)
        for index in 0..<16 { raw[index] = self.bytes[start + index] }
        return SocketAddress(v6: raw, port: 0)
    }

    private mutating func service() throws(DNSError) -> DNSService {
        let priority: UInt16 = try self.uint16()
        let weight: UInt16 = try self.uint16()
        let port: UInt16 = try self.uint16()
        return DNSService(priority: priority, weight: weight, port: port, host: try self.name())
    }

    private mutating func minimum() throws(DNSError) -> UInt32 {
        _ = try self.name()
        _ = try self.name()
        for _ in 0..<4 { _ = try self.uint32() }
        return try self.uint32()
    }
}
