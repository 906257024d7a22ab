import Testing

@testable import Redis

struct RedisReplyTests {
    private static func read(_ text: String) throws(RedisError) -> RedisReply? {
        var reader: RedisReplyReader = RedisReplyReader()
        reader.append(Array(text.utf8))
        return try reader.next()
    }

    @Test(arguments: [
        ("+OK\r\n", RedisReply.text("OK")), ("-ERR no\r\n", .error("ERR no")), (":-42\r\n", .integer(-42)),
        ("$5\r\nhe\r\nl\r\n", .bytes(Array("he\r\nl".utf8))), ("$0\r\n\r\n", .bytes([])), ("$-1\r\n", .null),
        ("*-1\r\n", .null), ("*0\r\n", .array([])),
        ("*2\r\n:1\r\n*1\r\n$1\r\na\r\n", .array([.integer(1), .array([.bytes([97])])])),
    ])
    func readsEveryKind(_ text: String, _ reply: RedisReply) throws {
        #expect(try Self.read(text) == reply)
        // And when it comes byte by byte.
        var reader: RedisReplyReader = RedisReplyReader()
        let bytes: [UInt8] = Array(text.utf8)
        for byte in bytes.dropLast() {
            reader.append([byte])
            #expect(try reader.next() == nil)
        }
        reader.append([bytes[bytes.count - 1]])
        #expect(try reader.next() == reply)
        #expect(try reader.next() == nil)
    }

    @Test func readsOneAfterTheOther() throws {
        var reader: RedisReplyReader = RedisReplyReader()
        for round in 0..<1000 {
            reader.append(Array(":\(round)\r\n+next\r\n".utf8))
            #expect(try reader.next() == .integer(Int64(round)))
            #expect(try reader.next() == .text("next"))
        }
    }

    @Test(arguments: [
        "HTTP/1.1 400 Bad Request\r\n", ":\r\n", ":1x\r\n", "$-2\r\n", "$99999999999\r\n", "*100001\r\n", "+a\rb\r\n",
        "$1\r\nabc\r\n", String(repeating: "*1\r\n", count: 20), "+" + String(repeating: "a", count: 70_000),
    ])
    func refusesWhatIsNoReply(_ text: String) {
        #expect(throws: RedisError.self) { try Self.read(text) }
    }

    @Test(arguments: [
        ("redis://127.0.0.1", "127.0.0.1", UInt16(6379), 0), ("redis://cache:7000/3", "cache", 7000, 3),
        ("rediss://worker@[::1]/", "::1", 6379, 0), ("redis://[::1]:7001/15", "::1", 7001, 15),
    ])
    func readsLocations(_ text: String, _ host: String, _ port: UInt16, _ database: Int) throws {
        let location: RedisLocation = try RedisLocation(parsing: text)
        #expect(location.host == host)
        #expect(location.port == port)
        #expect(location.database == database)
    }

    @Test(arguments: [
        "http://127.0.0.1", "redis://", "redis://user:password@host", "redis://host/x", "redis://host:0x",
        "redis://a b",
    ])
    func refusesLocations(_ text: String) {
        #expect(throws: RedisError.self) { try RedisLocation(parsing: text) }
    }
}
