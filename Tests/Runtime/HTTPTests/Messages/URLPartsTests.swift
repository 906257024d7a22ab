import Testing

@testable import HTTP

@Suite struct URLPartsTests {
    struct Good: Sendable {
        let text: String
        let scheme: URLParts.Scheme
        let host: String
        let port: UInt16
        let path: String
        let query: String?
        let normal: String
    }

    @Test(arguments: [
        Good(text: "http://h", scheme: .http, host: "h", port: 80, path: "/", query: nil, normal: "http://h/"),
        Good(
            text: "HTTPS://Ex.COM:443/A?b=%20", scheme: .https, host: "ex.com", port: 443, path: "/A", query: "b=%20",
            normal: "https://ex.com/A?b=%20"),
        Good(
            text: "http://127.0.0.1:8080?", scheme: .http, host: "127.0.0.1", port: 8080, path: "/", query: "",
            normal: "http://127.0.0.1:8080/?"),
        Good(
            text: "http://[::1]:9/a//b", scheme: .http, host: "::1", port: 9, path: "/a//b", query: nil,
            normal: "http://[::1]:9/a//b"),
        Good(
            text: "http://my_db.local/?a/b?c", scheme: .http, host: "my_db.local", port: 80, path: "/", query: "a/b?c",
            normal: "http://my_db.local/?a/b?c"),
    ])
    func reads(good: Good) throws {
        let parts: URLParts = try URLParts.parse(good.text)
        #expect(parts.scheme == good.scheme)
        #expect(parts.host == good.host)
        #expect(parts.port == good.port)
        #expect(parts.path == good.path)
        #expect(parts.query == good.query)
        #expect(parts.text == good.normal)
        #expect(try URLParts.parse(parts.text) == parts)
    }

    @Test(arguments: [
        ("", 0), ("h", 0), ("/a", 0), ("ftp://h", 0), ("http:h", 5), ("http:/h", 6), ("http://", 7), ("http:///a", 7),
        ("http://user:pw@h/", 7), ("http://h:0/", 9), ("http://h:65536/", 9), ("http://h:/", 9), ("http://h:8a/", 10),
        ("http://h/a b", 10), ("http://h/%2", 9), ("http://h/%zz", 9), ("http://h/#f", 9), ("http://h\\x", 8),
        ("http://[::1", 8), ("http://[127.0.0.1]/", 8), ("http://[g::]/", 8), ("http://é/", 7), ("http://h/é", 9),
        ("http://h/\r\nX: y", 9), (" http://h", 0),
    ])
    func refusesNamingThePlace(text: String, offset: Int) {
        let error: URLError? = #expect(throws: URLError.self) { try URLParts.parse(text) }
        #expect(error?.offset == offset)
        #expect(URLParts(text) == nil)
    }

    @Test func refusesTooLong() {
        let base: String = "http://h/"
        let longest: String = base + String(repeating: "a", count: URLParts.bytesMax - base.utf8.count)
        #expect(URLParts(longest) != nil)
        #expect(URLParts(longest + "a") == nil)
        #expect(URLParts("http://" + String(repeating: "a", count: 254) + "/") == nil)
    }
}
