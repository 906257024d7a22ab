import GatewayConfiguration
import HTTP

/// Writes records as spans of OTLP: `opentelemetry.proto.trace.v1`, attributes by OpenTelemetry's semantic conventions for HTTP
/// servers and clients, and the gateway's own under `passerelle.`. A request is a span of kind server, and each of its tries at a
/// target one of kind client below it.
struct SpanEncoder {
    /// Numbers of the fields used.
    private enum Field {
        // Span
        static let traceID: UInt64 = 1
        static let spanID: UInt64 = 2
        static let parentSpanID: UInt64 = 4
        static let name: UInt64 = 5
        static let kind: UInt64 = 6
        static let start: UInt64 = 7
        static let end: UInt64 = 8
        static let attributes: UInt64 = 9
        static let status: UInt64 = 15
        static let flags: UInt64 = 16
        // Status
        static let statusCode: UInt64 = 3
        // KeyValue
        static let key: UInt64 = 1
        static let value: UInt64 = 2
        // AnyValue
        static let text: UInt64 = 1
        static let integer: UInt64 = 3
        // ResourceSpans and ScopeSpans
        static let owner: UInt64 = 1
        static let parts: UInt64 = 2
        static let scopeName: UInt64 = 1
    }

    private static let kindServer: UInt64 = 2
    private static let kindClient: UInt64 = 3
    private static let statusError: UInt64 = 2
    /// The parent is known, and it is elsewhere: bits 8 and 9 of the flags.
    private static let hasRemoteParent: UInt32 = 0x300
    private static let hasNoRemoteParent: UInt32 = 0x100

    private let addresses: LoggedAddresses
    private var span: ProtobufWriter = ProtobufWriter()
    private var attribute: ProtobufWriter = ProtobufWriter()

    /// - Parameter addresses: how much of clients' addresses spans say.
    init(addresses: LoggedAddresses) { self.addresses = addresses }

    /// Appends a record as one `spans` field of a `ScopeSpans`. Records without a span must not come here.
    mutating func append(_ index: Int, of batch: RecordBatch, to list: inout ProtobufWriter) {
        let record: RequestRecord = batch.records[index]
        let route: Identity = batch.identity(record.route)
        self.span.clear()
        self.span.bigEndian(Field.traceID, record.traceHigh, record.traceLow)
        self.span.bigEndian(Field.spanID, record.span)
        if record.parentSpan != 0 { self.span.bigEndian(Field.parentSpanID, record.parentSpan) }
        self.span.delimited(Field.name, Self.name(record, route).utf8)
        self.span.number(Field.kind, Self.kindServer)
        let start: UInt64 = UInt64(max(0, record.started))
        self.span.fixed64(Field.start, start)
        self.span.fixed64(Field.end, start &+ UInt64(record.durationMicroseconds) * 1000)
        self.appendRequest(record, path: batch.path(at: index))
        self.appendNames(record, route, batch)
        if record.status >= 500 {
            self.text("error.type", record.reason == .none ? String(record.status) : record.reason.slug)
            self.span.begin(Field.status, count: 2)
            self.span.number(Field.statusCode, Self.statusError)
        }
        let flags: UInt32 = record.parentSpan == 0 ? Self.hasNoRemoteParent : Self.hasRemoteParent
        self.span.fixed32(Field.flags, flags | (record.isSampled ? 1 : 0))
        list.delimited(Field.parts, self.span.bytes)
    }

    /// Appends the last try of a request as another `spans` field. Of records without a try there is none.
    mutating func appendLastAttempt(_ record: RequestRecord, _ batch: RecordBatch, to list: inout ProtobufWriter) {
        var attempt: AttemptRecord = AttemptRecord()
        let delay: UInt32 = min(record.attemptDelayMicroseconds, record.durationMicroseconds)
        attempt.started = record.started &+ Int64(delay) * 1000
        attempt.durationMicroseconds = record.durationMicroseconds - delay
        attempt.target = record.target
        attempt.number = record.attempts
        // What a policy made of the answer, or a client that went away, says nothing about the target.
        if record.reason == .none { attempt.status = record.status }
        if record.reason.isOfUpstream { attempt.reason = record.reason }
        self.append(attempt, of: record, batch, to: &list)
    }

    /// Appends one try of a request.
    mutating func append(
        _ attempt: AttemptRecord, of record: RequestRecord, _ batch: RecordBatch, to list: inout ProtobufWriter
    ) {
        let method: String = record.method == .other ? "HTTP" : "\(record.method.name)"
        self.span.clear()
        self.span.bigEndian(Field.traceID, record.traceHigh, record.traceLow)
        self.span.bigEndian(Field.spanID, AttemptRecord.span(attempt.number, of: record.span))
        self.span.bigEndian(Field.parentSpanID, record.span)
        self.span.delimited(Field.name, method.utf8)
        self.span.number(Field.kind, Self.kindClient)
        let start: UInt64 = UInt64(max(0, attempt.started))
        self.span.fixed64(Field.start, start)
        self.span.fixed64(Field.end, start &+ UInt64(attempt.durationMicroseconds) * 1000)
        self.text("http.request.method", record.method == .other ? "_OTHER" : method)
        let target: String = batch.identity(attempt.target).detail
        if let url: URLParts = URLParts(target) {
            self.text("url.scheme", url.scheme == .https ? "https" : "http")
            self.text("server.address", url.host)
            self.integer("server.port", UInt64(url.port))
        }
        if attempt.number > 1 { self.integer("http.request.resend_count", UInt64(attempt.number - 1)) }
        if attempt.status > 0 { self.integer("http.response.status_code", UInt64(attempt.status)) }
        self.text("passerelle.target", target)
        if attempt.reason != .none || attempt.status >= 400 {
            self.text("error.type", attempt.reason == .none ? String(attempt.status) : attempt.reason.slug)
            self.span.begin(Field.status, count: 2)
            self.span.number(Field.statusCode, Self.statusError)
        }
        self.span.fixed32(Field.flags, Self.hasNoRemoteParent | (record.isSampled ? 1 : 0))
        list.delimited(Field.parts, self.span.bytes)
    }

    private mutating func appendRequest(_ record: RequestRecord, path: ArraySlice<UInt8>?) {
        self.text("http.request.method", record.method == .other ? "_OTHER" : "\(record.method.name)")
        if let path, !path.isEmpty { self.text("url.path", String(decoding: path, as: UTF8.self)) }
        self.integer("http.response.status_code", UInt64(record.status))
        if let shown: IPAddress = self.addresses.shown(record.client) { self.text("client.address", shown.text) }
        self.integer("http.request.body.size", record.bytesIn)
        self.integer("http.response.body.size", record.bytesOut)
        if record.upstreamMicroseconds > 0 {
            self.integer("passerelle.upstream.duration_us", UInt64(record.upstreamMicroseconds))
        }
    }

    private mutating func appendNames(_ record: RequestRecord, _ route: Identity, _ batch: RecordBatch) {
        self.text("passerelle.tenant", route.tenant)
        self.text("passerelle.api", route.api)
        self.text("passerelle.route", route.detail)
        self.text("passerelle.target", batch.identity(record.target).detail)
        self.text("passerelle.application", batch.identity(record.application).detail)
        self.text("passerelle.subscription", batch.identity(record.subscription).detail)
        if record.reason != .none { self.text("passerelle.reason", record.reason.slug) }
    }

    /// The route, because names have to be few; without one the method alone.
    private static func name(_ record: RequestRecord, _ route: Identity) -> String {
        let method: String = record.method == .other ? "HTTP" : "\(record.method.name)"
        if route.detail.isEmpty { return method }
        return route.detail.hasPrefix(method) ? route.detail : "\(method) \(route.detail)"
    }

    /// An attribute; one without a value is left out.
    private mutating func text(_ key: StaticString, _ value: String) {
        if value.isEmpty { return }
        self.attribute.clear()
        self.attribute.delimited(Field.text, value.utf8)
        self.finishAttribute(key)
    }

    private mutating func integer(_ key: StaticString, _ value: UInt64) {
        self.attribute.clear()
        // A signed field: what does not fit is as much as fits.
        self.attribute.number(Field.integer, min(value, UInt64(Int64.max)))
        self.finishAttribute(key)
    }

    private mutating func finishAttribute(_ key: StaticString) {
        let name: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount)
        self.span.begin(
            Field.attributes,
            count: ProtobufWriter.size(ofDelimited: name.count)
                + ProtobufWriter.size(ofDelimited: self.attribute.bytes.count))
        self.span.delimited(Field.key, name)
        self.span.delimited(Field.value, self.attribute.bytes)
    }

    /// An `ExportTraceServiceRequest` of spans that `append` wrote, from one service.
    static func request(_ spans: [UInt8], service: String) -> [UInt8] {
        var value: ProtobufWriter = ProtobufWriter()
        value.delimited(Field.text, service.utf8)
        var pair: ProtobufWriter = ProtobufWriter()
        pair.delimited(Field.key, "service.name".utf8)
        pair.delimited(Field.value, value.bytes)
        var resource: ProtobufWriter = ProtobufWriter()
        resource.delimited(Field.owner, pair.bytes)
        var scope: ProtobufWriter = ProtobufWriter()
        scope.delimited(Field.scopeName, "passerelle.gateway".utf8)
        let scopeSpans: Int = ProtobufWriter.size(ofDelimited: scope.bytes.count) + spans.count
        let resourceSpans: Int =
            ProtobufWriter.size(ofDelimited: resource.bytes.count) + ProtobufWriter.size(ofDelimited: scopeSpans)
        var request: ProtobufWriter = ProtobufWriter()
        request.begin(Field.owner, count: resourceSpans)
        request.delimited(Field.owner, resource.bytes)
        request.begin(Field.parts, count: scopeSpans)
        request.delimited(Field.owner, scope.bytes)
        request.append(spans)
        return request.bytes
    }
}
