import HTTP

/// What a client of HTTP/2 sends before its first frame (RFC 9113, 3.4).
enum HTTP2Preface {
    private static let text: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    /// Bytes that no request of HTTP/1.1 begins with: "PRI *".
    private static let tellingBytes: Int = 5

    /// Whether the bytes are the preface, or its beginning and long enough to tell.
    static func begins(_ bytes: UnsafeRawPointer, _ count: Int) -> Bool {
        guard count >= self.tellingBytes else { return false }
        for index in 0..<min(count, self.text.utf8CodeUnitCount)
        where bytes.load(fromByteOffset: index, as: UInt8.self) != self.text.utf8Start[index] { return false }
        return true
    }
}
