import GatewayConfiguration
import HTTP

/// Compresses responses for clients that take it. What is compressed already, is a part, or is a stream of events goes as it is.
final class CompressionStage: ResponseStage, @unchecked Sendable {
    private let policy: CompressionPolicy

    init(_ policy: CompressionPolicy) {
        self.policy = policy
        super.init(rank: .compression)
    }

    override func makeFilter(_ head: ResponseHead, _ context: PolicyContext) -> ResponseFilter? {
        guard self.concerns(head) else { return nil }
        // Whoever asks differently gets something else: caches have to know, also of what goes as it is.
        head.fields.addVary("Accept-Encoding")
        let isShort: Bool = head.declaredLength.map { $0 < UInt64(self.policy.bytesMin) } ?? false
        guard !isShort, let text: String = CacheStage.value("accept-encoding", context.request),
            let algorithm: CompressionPolicy.Algorithm = AcceptEncoding(text).choose(self.policy.algorithms)
        else { return nil }
        if head.status == 304 {
            // The tag the client knows is that of the compressed body.
            CompressionFilter.weaken(head)
            return nil
        }
        guard let coder: BodyCoder = BodyCoder.make(algorithm) else { return nil }
        return CompressionFilter(coder, algorithm, flushes: head.declaredLength == nil)
    }

    private func concerns(_ head: ResponseHead) -> Bool {
        if head.status == 304 { return true }
        guard head.status >= 200, head.status != 204, head.status != 206 else { return false }
        if let coding: String = head.fields.joined("content-encoding"), coding.lowercased() != "identity" {
            return false
        }
        if head.fields.has("content-range") { return false }
        if CacheControl(head.fields.joined("cache-control") ?? "").isNoTransform { return false }
        guard let whole: String = head.fields.first("content-type") else { return false }
        let type: String = String(whole.prefix { $0 != ";" && $0 != " " }).lowercased()
        if type == "text/event-stream" { return false }
        for wanted in self.policy.types {
            if wanted == type { return true }
            if wanted.hasSuffix("/*"), type.hasPrefix(wanted.dropLast()) { return true }
        }
        return false
    }
}

private final class CompressionFilter: ResponseFilter {
    private let coder: BodyCoder
    private let algorithm: CompressionPolicy.Algorithm
    /// A body whose length nobody knew comes when it comes: each piece goes on at once.
    private let flushes: Bool

    init(_ coder: BodyCoder, _ algorithm: CompressionPolicy.Algorithm, flushes: Bool) {
        self.coder = coder
        self.algorithm = algorithm
        self.flushes = flushes
        super.init()
    }

    override var transformsBody: Bool { true }

    override func head(_ head: ResponseHead) -> HeadOutcome {
        head.fields.set("Content-Encoding", self.algorithm.rawValue)
        // These describe the bytes as they were.
        head.fields.remove("accept-ranges")
        head.fields.remove("content-md5")
        head.fields.remove("content-digest")
        CompressionFilter.weaken(head)
        return .pass
    }

    /// The body is not the origin's byte by byte any more, and means the same (RFC 9110, 8.8.1).
    static func weaken(_ head: ResponseHead) {
        guard let tag: String = head.fields.first("etag") else { return }
        head.fields.set("ETag", EntityTag.weakened(tag))
    }

    override func body(_ bytes: UnsafeRawBufferPointer, _ out: inout FilterOutput) {
        if !self.coder.code(bytes, flushes: self.flushes, into: &out.bytes) { out.fail(.internalError) }
    }

    override func end(_ out: inout FilterOutput) {
        if !self.coder.finish(into: &out.bytes) { out.fail(.internalError) }
    }
}
