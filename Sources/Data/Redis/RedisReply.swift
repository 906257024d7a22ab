/// What a server answers (RESP2).
package indirect enum RedisReply: Sendable, Equatable {
    case text(String)
    case integer(Int64)
    case bytes([UInt8])
    case null
    case array([RedisReply])
    /// The command was refused, in the server's words.
    case error(String)
}

/// Reads replies from bytes as they come.
///
/// Bounded: a text of 64 KiB, a value of 16 MiB, 100,000 elements, 8 levels.
package struct RedisReplyReader: Sendable {
    package static let textBytesMax: Int = 64 * 1024
    package static let valueBytesMax: Int = 16 << 20
    package static let elementsMax: Int = 100_000
    package static let depthMax: Int = 8

    private var bytes: [UInt8] = []
    private var start: Int = 0

    package init() {}

    package mutating func append(_ more: some Collection<UInt8>) {
        if self.start > 0, self.start == self.bytes.count || self.start > Self.textBytesMax {
            self.bytes.removeFirst(self.start)
            self.start = 0
        }
        self.bytes.append(contentsOf: more)
    }

    /// The next whole reply; nil as long as it is not complete. Throws `.protocolBroken`: nothing more can be understood.
    package mutating func next() throws(RedisError) -> RedisReply? {
        var position: Int = self.start
        guard let reply: RedisReply = try self.read(&position, depth: 0) else { return nil }
        self.start = position
        return reply
    }

    private func read(_ position: inout Int, depth: Int) throws(RedisError) -> RedisReply? {
        guard depth < Self.depthMax else { throw .protocolBroken("arrays in arrays in arrays") }
        guard position < self.bytes.count else { return nil }
        let kind: UInt8 = self.bytes[position]
        var at: Int = position + 1
        guard let line: ArraySlice<UInt8> = try self.line(&at) else { return nil }
        switch kind {
        case UInt8(ascii: "+"):
            position = at
            return .text(String(decoding: line, as: UTF8.self))
        case UInt8(ascii: "-"):
            position = at
            return .error(String(decoding: line, as: UTF8.self))
        case UInt8(ascii: ":"):
            position = at
            return .integer(try Self.number(line))
        case UInt8(ascii: "$"): return try self.value(line, at, &position)
        case UInt8(ascii: "*"): return try self.array(line, at, &position, depth)
        default: throw .protocolBroken("an unknown kind of reply")
        }
    }

    private func value(
        _ line: ArraySlice<UInt8>, _ at: Int, _ position: inout Int
    ) throws(RedisError) -> RedisReply? {
        let count: Int64 = try Self.number(line)
        if count == -1 {
            position = at
            return .null
        }
        guard count >= 0, count <= Int64(Self.valueBytesMax) else { throw .protocolBroken("a value of \(count) bytes") }
        let end: Int = at + Int(count)
        guard self.bytes.count >= end + 2 else { return nil }
        guard self.bytes[end] == 13, self.bytes[end + 1] == 10 else { throw .protocolBroken("a value without its end") }
        position = end + 2
        return .bytes(Array(self.bytes[at..<end]))
    }

    private func array(
        _ line: ArraySlice<UInt8>, _ start: Int, _ position: inout Int, _ depth: Int
    ) throws(RedisError) -> RedisReply? {
        let count: Int64 = try Self.number(line)
        var at: Int = start
        if count == -1 {
            position = at
            return .null
        }
        guard count >= 0, count <= Int64(Self.elementsMax) else {
            throw .protocolBroken("an array of \(count) elements")
        }
        var elements: [RedisReply] = []
        for _ in 0..<count {
            guard let element: RedisReply = try self.read(&at, depth: depth + 1) else { return nil }
            elements.append(element)
        }
        position = at
        return .array(elements)
    }

    /// The bytes up to CR LF; nil as long as they are not complete.
    private func line(_ at: inout Int) throws(RedisError) -> ArraySlice<UInt8>? {
        var end: Int = at
        while end < self.bytes.count, self.bytes[end] != 13 {
            end += 1
            guard end - at <= Self.textBytesMax else { throw .protocolBroken("a line without end") }
        }
        guard end + 1 < self.bytes.count else { return nil }
        guard self.bytes[end + 1] == 10 else { throw .protocolBroken("a CR within a line") }
        defer { at = end + 2 }
        return self.bytes[at..<end]
    }

    private static func number(_ line: ArraySlice<UInt8>) throws(RedisError) -> Int64 {
        guard let number: Int64 = Int64(String(decoding: line, as: UTF8.self)) else {
            throw .protocolBroken("a number that is none")
        }
        return number
    }
}
