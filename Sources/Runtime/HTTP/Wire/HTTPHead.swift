/// How the end of a message's body is known.
package enum HTTPFraming: Sendable, Equatable {
    /// There is no body.
    case none
    /// So many bytes; never 0 (that is `none`).
    case length(UInt64)
    case chunked
    /// Responses only: the body ends with the connection.
    case untilClose
}

/// What the fields of a head said that matters to the connection. One bit each.
package struct HTTPHeadFlags: OptionSet, Sendable {
    package let rawValue: UInt16

    @inlinable package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// That of `OptionSet` is a call through a witness table in other rooms.
    @inlinable package func contains(_ other: HTTPHeadFlags) -> Bool {
        self.rawValue & other.rawValue == other.rawValue
    }

    /// `Connection: close`.
    @inlinable package static var close: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 0) }
    /// `Connection: keep-alive`.
    @inlinable package static var keepAlive: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 1) }
    /// `Connection: upgrade` together with an Upgrade field.
    @inlinable package static var upgrade: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 2) }
    /// Connection names other fields, which end here too.
    @inlinable package static var namesOthers: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 3) }
    /// `Expect: 100-continue`.
    @inlinable package static var expectsContinue: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 4) }
    /// At least one field is hop-by-hop, so the head cannot be passed on as it stands.
    @inlinable package static var hasHopByHop: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 5) }
    /// A Content-Length stood there, whatever the framing came out as (a response to HEAD, a 304).
    @inlinable package static var hasContentLength: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 6) }
    /// The target holds `%`, or a segment that begins with a dot: a router has to look closer.
    @inlinable package static var unusualPath: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 7) }
    /// The target was `http://…` or `https://…`.
    @inlinable package static var absoluteTarget: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 8) }
    /// An Upgrade field stood there.
    @inlinable package static var hasUpgradeField: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 9) }
    /// An Authorization, traceparent or Accept field stood there.
    @inlinable package static var hasAuthorization: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 10) }
    @inlinable package static var hasTraceparent: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 11) }
    @inlinable package static var hasAccept: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 12) }
    @inlinable package static var hasDate: HTTPHeadFlags { HTTPHeadFlags(rawValue: 1 << 13) }
}

/// A request head that was read and found well formed. Places count from the first byte given to the reader.
package struct HTTPRequestHead: Sendable {
    /// Bytes of the head, with the empty line; the body or the next request begins there.
    package internal(set) var count: Int = 0
    /// First byte after an empty line that some clients send before a request.
    package internal(set) var start: Int = 0
    /// 0 or 1: HTTP/1.0 or HTTP/1.1.
    package internal(set) var minorVersion: UInt8 = 1
    package internal(set) var method: MethodCode = .other
    package internal(set) var methodCount: Int = 0
    /// The whole target as it stands in the request line.
    package internal(set) var target: Range<Int> = 0..<0
    /// The path, still percent-encoded; `*` for `OPTIONS *`; `/` when an absolute target had none, then outside the head.
    package internal(set) var path: Range<Int> = 0..<0
    /// Without the question mark; empty also where there is none.
    package internal(set) var query: Range<Int> = 0..<0
    /// HOST or HOST:PORT, from the Host field or an absolute target; empty in HTTP/1.0 without Host.
    package internal(set) var host: Range<Int> = 0..<0
    /// Where the first field line begins.
    package internal(set) var fieldsStart: Int = 0
    package internal(set) var fieldCount: Int = 0
    package internal(set) var framing: HTTPFraming = .none
    package internal(set) var flags: HTTPHeadFlags = []

    package init() {}

    /// Whether the client lets the connection live after this exchange.
    @inlinable package var keepsAlive: Bool {
        self.minorVersion == 1
            ? !self.flags.contains(.close) : self.flags.contains(.keepAlive) && !self.flags.contains(.close)
    }
}

/// A response head that was read and found well formed. Places count from the first byte given to the reader.
package struct HTTPResponseHead: Sendable {
    /// Bytes of the head, with the empty line; the body begins there.
    package internal(set) var count: Int = 0
    package internal(set) var minorVersion: UInt8 = 1
    package internal(set) var status: Int = 0
    package internal(set) var reason: Range<Int> = 0..<0
    package internal(set) var fieldsStart: Int = 0
    package internal(set) var fieldCount: Int = 0
    package internal(set) var framing: HTTPFraming = .none
    package internal(set) var flags: HTTPHeadFlags = []

    package init() {}

    /// Whether the server lets the connection live after this exchange.
    @inlinable package var keepsAlive: Bool {
        if self.framing == .untilClose { return false }
        return self.minorVersion == 1
            ? !self.flags.contains(.close) : self.flags.contains(.keepAlive) && !self.flags.contains(.close)
    }

    /// 1xx other than 101: another head follows.
    @inlinable package var isInterim: Bool { self.status < 200 && self.status != 101 }
}

/// What came of reading a head.
package enum HTTPHeadOutcome: Sendable, Equatable {
    case complete
    /// Not all of the head is there yet.
    case incomplete
    case refused(HTTPRefusal)
}
