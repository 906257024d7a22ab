/// The request methods that routes and caches tell apart; everything else is `other` and travels as its bytes.
package enum MethodCode: UInt8, Sendable, CaseIterable {
    case get, head, post, put, delete, connect, options, trace, patch, other

    /// The method's name; empty for `other`.
    package var name: StaticString {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .connect: "CONNECT"
        case .options: "OPTIONS"
        case .trace: "TRACE"
        case .patch: "PATCH"
        case .other: ""
        }
    }

    /// Repeating the request has the effect of making it once (RFC 9110, 9.2.2).
    package var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options, .trace: true
        case .post, .patch, .connect, .other: false
        }
    }

    /// Reads a name exactly as on the wire: methods are case-sensitive.
    package init(_ bytes: UnsafeRawBufferPointer) {
        self = .other
        guard let start: UnsafeRawPointer = bytes.baseAddress else { return }
        switch bytes.count {
        case 3:
            if WireText.equals(start, "GET") { self = .get } else if WireText.equals(start, "PUT") { self = .put }
        case 4:
            if WireText.equals(start, "POST") { self = .post } else if WireText.equals(start, "HEAD") { self = .head }
        case 5:
            if WireText.equals(start, "PATCH") {
                self = .patch
            } else if WireText.equals(start, "TRACE") {
                self = .trace
            }
        case 6:
            if WireText.equals(start, "DELETE") { self = .delete }
        case 7:
            if WireText.equals(start, "OPTIONS") {
                self = .options
            } else if WireText.equals(start, "CONNECT") {
                self = .connect
            }
        default: break
        }
    }

    package init(_ text: some StringProtocol) {
        self = .other
        for code in MethodCode.allCases where code != .other && text == code.name.description { self = code }
    }
}
