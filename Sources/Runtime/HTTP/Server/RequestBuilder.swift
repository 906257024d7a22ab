import Crypto
import EventLoops

/// Copies a head that was read in place into the strings of a request: once, at the edge between loop and handler.
struct RequestBuilder {
    private let bytes: UnsafeRawBufferPointer
    private let head: HTTPRequestHead
    private let table: HTTPFieldTable

    init(_ bytes: UnsafeRawBufferPointer, _ head: HTTPRequestHead, _ table: HTTPFieldTable) {
        self.bytes = bytes
        self.head = head
        self.table = table
    }

    func request(remote: SocketAddress, isSecure: Bool, clientCertificate: Certificate?) -> HTTPRequest {
        HTTPRequest(
            method: self.method(), target: self.target(),
            fields: HTTPFields(copying: self.table, count: self.head.fieldCount, from: self.bytes), body: .empty,
            remoteAddress: remote,
            isSecure: isSecure, clientCertificate: clientCertificate)
    }

    private func text(_ range: Range<Int>) -> String {
        String(decoding: self.bytes[range], as: UTF8.self)
    }

    private func method() -> HTTPMethod {
        switch self.head.method {
        case .get: return .get
        case .head: return .head
        case .post: return .post
        case .put: return .put
        case .delete: return .delete
        case .connect: return .connect
        case .options: return .options
        case .trace: return .trace
        case .patch: return .patch
        case .other: return .other(self.text(self.head.start..<self.head.start + self.head.methodCount))
        }
    }

    /// The origin form, also of a target that came in absolute form.
    private func target() -> String {
        if !self.head.flags.contains(.absoluteTarget) { return self.text(self.head.target) }
        let path: String = self.head.path.upperBound <= self.head.count ? self.text(self.head.path) : "/"
        let whole: String = path.isEmpty ? "/" : path
        return self.head.query.isEmpty ? whole : whole + "?" + self.text(self.head.query)
    }
}
