import Documents
import JSON
import Time

/// `cache`: responses are stored and used again, as RFC 9111 allows a shared cache.
package struct CachePolicy: Sendable, Equatable {
    /// Seconds a response is fresh that does not say it itself, 0 to 365 days. Default 0: it has to say it.
    package var lifetime: Int64
    /// Bytes of a body at most, up to 8 MiB. Default 1 MiB.
    package var bodyBytesMax: Int
    /// Seconds a stale response may be used while it is renewed in the background, for responses that do not say it. Default 0.
    package var staleWhileRevalidate: Int64
    /// Seconds a stale response may be used when the upstream fails, for responses that do not say it. Default 0.
    package var staleIfError: Int64
    /// Whether `Cache-Control` of requests counts. Default true.
    package var honorsRequests: Bool
    /// The response's field with its tags, lower case. Default `cache-tag`.
    package var tagHeader: String
    /// Whether responses say in `Cache-Status` (RFC 9211) what the cache did. Default true.
    package var tellsStatus: Bool

    package init(
        lifetime: Int64 = 0, bodyBytesMax: Int = 1 << 20, staleWhileRevalidate: Int64 = 0, staleIfError: Int64 = 0,
        honorsRequests: Bool = true, tagHeader: String = "cache-tag", tellsStatus: Bool = true
    ) {
        self.lifetime = lifetime
        self.bodyBytesMax = bodyBytesMax
        self.staleWhileRevalidate = staleWhileRevalidate
        self.staleIfError = staleIfError
        self.honorsRequests = honorsRequests
        self.tagHeader = tagHeader
        self.tellsStatus = tellsStatus
    }

    package static let bodyBytesLimit: Int = 8 << 20
    package static let timeRange: ClosedRange<Duration> = .seconds(0) ... .seconds(365 * 86_400)
}

extension CachePolicy {
    static func read(_ decoder: NodeDecoder) -> CachePolicy? {
        let known: [String] = [
            "ttl", "body_max", "stale_while_revalidate", "stale_if_error", "client_directives", "tag_header", "status",
        ]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let lifetime: Duration? = fields.duration("ttl", default: .zero, in: self.timeRange)
        let body: Int? = fields.byteCount("body_max", default: 1 << 20, in: 1...self.bodyBytesLimit)
        let renewing: Duration? = fields.duration("stale_while_revalidate", default: .zero, in: self.timeRange)
        let failing: Duration? = fields.duration("stale_if_error", default: .zero, in: self.timeRange)
        let honors: Bool? = fields.boolean("client_directives", default: true)
        let tags: String? = fields.value("tag_header", default: "cache-tag") { $0.fieldName() }
        let status: Bool? = fields.boolean("status", default: true)
        guard let lifetime, let body, let renewing, let failing, let honors, let tags, let status else { return nil }
        return CachePolicy(
            lifetime: lifetime.components.seconds, bodyBytesMax: body,
            staleWhileRevalidate: renewing.components.seconds, staleIfError: failing.components.seconds,
            honorsRequests: honors, tagHeader: tags, tellsStatus: status)
    }

    func write(_ body: inout DefinitionWriter) {
        body.set("ttl", .seconds(self.lifetime), unless: .zero)
        body.set("body_max", self.bodyBytesMax, unless: 1 << 20)
        body.set("stale_while_revalidate", .seconds(self.staleWhileRevalidate), unless: .zero)
        body.set("stale_if_error", .seconds(self.staleIfError), unless: .zero)
        if !self.honorsRequests { body.set("client_directives", .bool(false)) }
        if self.tagHeader != "cache-tag" { body.set("tag_header", .string(self.tagHeader)) }
        if !self.tellsStatus { body.set("status", .bool(false)) }
    }
}
