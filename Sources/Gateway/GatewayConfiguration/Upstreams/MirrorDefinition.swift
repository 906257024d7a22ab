import Documents
import JSON

/// Where copies of requests go whose answers nobody sees.
package struct MirrorDefinition: Sendable, Equatable {
    package var url: TargetURL
    /// Percentage of the requests, 1 to 100. Default 100.
    package var share: Int
    /// Bytes of a body with which a request is still copied, 0 to 128 KiB. Default 64 KiB.
    package var bodyBytesMax: Int
    /// Copies on their way at once, beyond which none is made, 1 to 1024. Default 64.
    package var copiesMax: Int
    /// How long one may take, 10 ms to 1 min. Default 5 s.
    package var timeout: Duration

    package init(
        url: TargetURL, share: Int = 100, bodyBytesMax: Int = 64 * 1024, copiesMax: Int = 64,
        timeout: Duration = .seconds(5)
    ) {
        self.url = url
        self.share = share
        self.bodyBytesMax = bodyBytesMax
        self.copiesMax = copiesMax
        self.timeout = timeout
    }

    private static let bodyBytesCeiling: Int = 128 * 1024

    static func read(_ decoder: NodeDecoder) -> MirrorDefinition? {
        guard let fields: NodeFields = decoder.fields(["url", "share", "body_max", "max_copies", "timeout"]) else {
            return nil
        }
        let url: TargetURL? = fields.required("url")?.pattern { (text: String) throws(PatternError) -> TargetURL in
            try TargetURL(parsing: text)
        }
        let share: Int? = fields.integer("share", default: 100, in: 1...100)
        let body: Int? = fields.byteCount("body_max", default: 64 * 1024, in: 0...self.bodyBytesCeiling)
        let copies: Int? = fields.integer("max_copies", default: 64, in: 1...1024)
        let timeout: Duration? = fields.duration(
            "timeout", default: .seconds(5), in: .milliseconds(10) ... .seconds(60))
        guard let url, let share, let body, let copies, let timeout else { return nil }
        return MirrorDefinition(url: url, share: share, bodyBytesMax: body, copiesMax: copies, timeout: timeout)
    }

    func json() -> JSONValue {
        let defaults: MirrorDefinition = MirrorDefinition(url: self.url)
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("url", .string(self.url.text))
        writer.set("share", self.share, unless: defaults.share)
        writer.set("body_max", self.bodyBytesMax, unless: defaults.bodyBytesMax)
        writer.set("max_copies", self.copiesMax, unless: defaults.copiesMax)
        writer.set("timeout", self.timeout, unless: defaults.timeout)
        return writer.value
    }
}
