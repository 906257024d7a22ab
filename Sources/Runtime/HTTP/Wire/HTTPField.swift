/// The fields that this software itself understands or must not pass on; found once, while a head is read.
package enum KnownField: UInt8, Sendable {
    case other
    case host, contentLength, transferEncoding, connection, keepAlive, te, trailer, upgrade, expect
    case proxyConnection, proxyAuthenticate, proxyAuthorization
    case accept, authorization, date, traceparent, tracestate, retryAfter, server

    /// Fields that belong to one connection (RFC 9110, 7.6.1) and end at every proxy.
    @inlinable package var isHopByHop: Bool {
        switch self {
        case .connection, .keepAlive, .te, .trailer, .transferEncoding, .upgrade, .proxyConnection, .proxyAuthenticate,
            .proxyAuthorization:
            true
        default: false
        }
    }

    /// Fields that frame or route a message: no Connection option may name them, no trailer section may hold them.
    package var framesMessage: Bool {
        switch self {
        case .host, .contentLength, .transferEncoding, .trailer, .te, .expect, .authorization, .connection: true
        default: false
        }
    }

    /// Recognises a field name, without case. The bytes are token characters already.
    @inline(__always)
    init(_ name: UnsafeRawPointer, count: Int) {
        self = .other
        let first: UInt8 = name.load(as: UInt8.self) | 0x20
        switch count {
        case 2:
            if first == 0x74, WireText.equalsIgnoringCase(name, "te") { self = .te }
        case 4:
            if first == 0x68, WireText.equalsIgnoringCase(name, "host") { self = .host }
            if first == 0x64, WireText.equalsIgnoringCase(name, "date") { self = .date }
        case 6:
            if first == 0x61, WireText.equalsIgnoringCase(name, "accept") { self = .accept }
            if first == 0x65, WireText.equalsIgnoringCase(name, "expect") { self = .expect }
            if first == 0x73, WireText.equalsIgnoringCase(name, "server") { self = .server }
        case 7:
            if first == 0x75, WireText.equalsIgnoringCase(name, "upgrade") { self = .upgrade }
            if first == 0x74, WireText.equalsIgnoringCase(name, "trailer") { self = .trailer }
        case 10:
            if first == 0x63, WireText.equalsIgnoringCase(name, "connection") { self = .connection }
            if first == 0x6B, WireText.equalsIgnoringCase(name, "keep-alive") { self = .keepAlive }
            if first == 0x74, WireText.equalsIgnoringCase(name, "tracestate") { self = .tracestate }
        case 11:
            if first == 0x74, WireText.equalsIgnoringCase(name, "traceparent") { self = .traceparent }
            if first == 0x72, WireText.equalsIgnoringCase(name, "retry-after") { self = .retryAfter }
        case 13:
            if first == 0x61, WireText.equalsIgnoringCase(name, "authorization") { self = .authorization }
        case 14:
            if first == 0x63, WireText.equalsIgnoringCase(name, "content-length") { self = .contentLength }
        case 16:
            if first == 0x70, WireText.equalsIgnoringCase(name, "proxy-connection") { self = .proxyConnection }
        case 17:
            if first == 0x74, WireText.equalsIgnoringCase(name, "transfer-encoding") { self = .transferEncoding }
        case 18:
            if first == 0x70, WireText.equalsIgnoringCase(name, "proxy-authenticate") { self = .proxyAuthenticate }
        case 19:
            if first == 0x70, WireText.equalsIgnoringCase(name, "proxy-authorization") { self = .proxyAuthorization }
        default: break
        }
    }
}

/// One field of a head: where its parts stand, counted from the first byte of the head. No bytes are copied.
package struct HTTPField: Sendable {
    package var nameStart: UInt16 = 0
    package var nameCount: UInt16 = 0
    /// Without the white space around the value.
    package var valueStart: UInt16 = 0
    package var valueCount: UInt16 = 0
    package var known: KnownField = .other

    package init() {}

    @inlinable package var nameRange: Range<Int> { Int(self.nameStart)..<Int(self.nameStart) + Int(self.nameCount) }
    @inlinable package var valueRange: Range<Int> { Int(self.valueStart)..<Int(self.valueStart) + Int(self.valueCount) }
}

/// Room for the fields of one head, reused for every head that is read with it. Owned by one thread.
package final class HTTPFieldTable {
    package let fields: UnsafeMutablePointer<HTTPField>
    package let capacity: Int

    package init(limits: HTTPLimits = .standard) {
        self.capacity = limits.fieldsMax
        self.fields = .allocate(capacity: self.capacity)
        self.fields.initialize(repeating: HTTPField(), count: self.capacity)
    }

    deinit { self.fields.deallocate() }
}
