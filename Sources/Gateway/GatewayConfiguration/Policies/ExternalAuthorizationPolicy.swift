import Bytes
import Documents
import JSON

/// `external_authorization`: a service decides about each request.
package struct ExternalAuthorizationPolicy: Sendable, Equatable {
    /// Where it is asked, with GET. Required.
    package var url: String
    /// How long it may take, 10 ms to 30 s. Default 1 s.
    package var timeout: Duration
    /// Names of fields of the request it is shown, lower case. Default `authorization` and `cookie`.
    package var shows: [String]
    /// Names of fields of its answer that go upstream with the request, in place of the client's. Default: none.
    package var passes: [String]
    /// Whether requests pass when it cannot be asked. Default false: 503.
    package var failsOpen: Bool
    /// How long a decision is used again for a request that looks the same to it, 0 s to 1 h. Default 0 s: each is asked about.
    package var keptFor: Duration
    /// Requests it is asked about at once, 1 to 4096; beyond, as when it cannot be asked. Default 128.
    package var callsMax: Int

    package init(
        url: String, timeout: Duration = .seconds(1), shows: [String] = ["authorization", "cookie"],
        passes: [String] = [], failsOpen: Bool = false, keptFor: Duration = .zero, callsMax: Int = 128
    ) {
        self.url = url
        self.timeout = timeout
        self.shows = shows
        self.passes = passes
        self.failsOpen = failsOpen
        self.keptFor = keptFor
        self.callsMax = callsMax
    }

    package static let fieldsMax: Int = 32
}

extension ExternalAuthorizationPolicy {
    static func read(_ decoder: NodeDecoder) -> ExternalAuthorizationPolicy? {
        let known: [String] = [
            "url", "timeout", "request_headers", "upstream_headers", "fail_open", "cache", "max_concurrent",
        ]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let url: String? = fields.required("url")?.parsed("an address such as http://auth.internal:9000/check") {
            self.address($0)
        }
        let timeout: Duration? = fields.duration(
            "timeout", default: .seconds(1), in: .milliseconds(10) ... .seconds(30))
        let shows: [String]? = self.names(fields, "request_headers", ["authorization", "cookie"])
        let passes: [String]? = self.names(fields, "upstream_headers", [])
        let open: Bool? = fields.boolean("fail_open", default: false)
        let kept: Duration? = fields.duration("cache", default: .zero, in: .zero ... .seconds(3600))
        let most: Int? = fields.integer("max_concurrent", default: 128, in: 1...4096)
        guard let url, let timeout, let shows, let passes, let open, let kept, let most else { return nil }
        return ExternalAuthorizationPolicy(
            url: url, timeout: timeout, shows: shows, passes: passes, failsOpen: open, keptFor: kept, callsMax: most)
    }

    /// The scheme, a host and printable characters; what exactly stands there the client checks once more.
    private static func address(_ text: String) -> String? {
        guard text.hasPrefix("http://") || text.hasPrefix("https://"), text.utf8.count <= 2048 else { return nil }
        for byte in text.utf8 where byte <= 0x20 || byte >= 0x7F || byte == 0x23 { return nil }
        return text.split(separator: "/", omittingEmptySubsequences: false).count >= 3 ? text : nil
    }

    private static func names(_ fields: NodeFields, _ key: String, _ absent: [String]) -> [String]? {
        guard fields[key] != nil else { return absent }
        return fields.list(key, count: 0...self.fieldsMax) { element in
            guard let name: String = element.fieldName() else { return nil }
            if HeaderRules.isReserved(name) {
                element.problem("expected a field of the API's own, not one that frames or routes a message")
            }
            return name
        }
    }

    func write(_ body: inout DefinitionWriter) {
        body.set("url", .string(self.url))
        body.set("timeout", self.timeout, unless: .seconds(1))
        if self.shows != ["authorization", "cookie"] {
            body.set("request_headers", .array(self.shows.map { .string($0) }))
        }
        body.set("upstream_headers", list: self.passes.map { .string($0) })
        if self.failsOpen { body.set("fail_open", .bool(true)) }
        body.set("cache", self.keptFor, unless: .zero)
        body.set("max_concurrent", self.callsMax, unless: 128)
    }
}
