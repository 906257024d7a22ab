import Documents
import Gateway
import GatewayConfiguration
import HTTP
import REST

/// `proxies`, `cors` and `rate_limits` of the settings file: what happens to every request of the control plane.
struct EdgeSettings: Sendable {
    /// So many requests in so long a time.
    struct Rate: Sendable, Equatable {
        var limit: Int64
        var window: Duration
    }

    /// Proxies in front of the control plane. Default: none.
    var proxies: TrustedProxies = TrustedProxies()
    /// Which pages of other origins may read answers. Default: none.
    var cors: CORSPolicy?
    /// What one user, service account or token may send; nil: any number. Default: 200,000 in 10 s.
    var caller: Rate? = Rate(limit: 200_000, window: .seconds(10))
    /// What may come from one address of people whom nobody knows; nil: any number. Default: 10,000 in 10 s.
    var address: Rate? = Rate(limit: 10_000, window: .seconds(10))

    private static let limits: ClosedRange<Int> = 1...1_000_000_000
    private static let windows: ClosedRange<Duration> = .seconds(1) ... .seconds(86_400)
    /// What pages may read of answers where the settings do not say.
    private static let exposed: [String] = [
        "etag", "location", "retry-after", "ratelimit", "ratelimit-policy", "www-authenticate", "idempotent-replayed",
    ]

    func edge(clients: any ClientOrigins) -> Edge {
        var edge: Edge = Edge()
        edge.proxies = self.proxies
        edge.cors = self.cors.map { CORSGrants($0) }
        edge.clientOrigins = clients
        edge.limits = SenderLimits(caller: self.caller, address: self.address)
        return edge
    }

    // MARK: The file

    mutating func readProxies(_ decoder: NodeDecoder) {
        guard let fields: NodeFields = decoder.fields(["trusted", "field"]) else { return }
        let ranges: [AddressRange]? = fields["trusted"]?.list(count: 0...TrustedProxies.rangesMax) { element in
            element.parsed(Self.expectedRange) { Self.range($0) }
        }
        self.proxies.ranges = ranges ?? self.proxies.ranges
        let field: TrustedProxies.Field? = fields.choice(
            "field", default: self.proxies.field, ["x-forwarded-for": .xForwardedFor, "forwarded": .forwarded])
        self.proxies.field = field ?? self.proxies.field
    }

    mutating func readCORS(_ decoder: NodeDecoder) {
        guard var policy: CORSPolicy = CORSPolicy.read(decoder) else { return }
        if policy.allowsCredentials {
            // Pages of other origins call with tokens. What cookies let in is the sign-in, which is no other page's.
            decoder.problem("expected no credentials: pages of other origins send tokens to the control plane")
            return
        }
        let saysExposed: Bool = decoder.node.members?.contains { $0.key.text == "expose" } ?? false
        if !saysExposed { policy.exposed = Self.exposed }
        self.cors = policy
    }

    mutating func readLimits(_ decoder: NodeDecoder) {
        guard let fields: NodeFields = decoder.fields(["caller", "address"]) else { return }
        if let rate: NodeDecoder = fields["caller"] { self.caller = Self.rate(rate, before: self.caller) }
        if let rate: NodeDecoder = fields["address"] { self.address = Self.rate(rate, before: self.address) }
    }

    private static func rate(_ decoder: NodeDecoder, before: Rate?) -> Rate? {
        if case .string = decoder.node.kind {
            return decoder.choice(["off": Rate?.none]) ?? before
        }
        guard let fields: NodeFields = decoder.fields(["limit", "window"]) else { return before }
        guard let limit: Int = fields.required("limit").flatMap({ $0.integer(in: Self.limits) }),
            let window: Duration = fields.required("window").flatMap({ $0.duration(in: Self.windows) })
        else { return before }
        return Rate(limit: Int64(limit), window: window)
    }

    private static let expectedRange: String =
        "an address or a range of addresses of proxies such as 10.1.0.0/16, not everybody's"

    /// Whoever trusts everybody lets every caller choose the address it is known by.
    private static func range(_ text: String) -> AddressRange? { text.hasSuffix("/0") ? nil : AddressRange(text) }

    // MARK: Flags

    /// `--trusted-proxies A,B`.
    static func proxies(_ text: String, source: String) throws(CommandError) -> [AddressRange] {
        let parts: [Substring] = text.split(separator: ",")
        guard parts.count <= TrustedProxies.rangesMax else {
            throw .usage("\(source) has \(parts.count) ranges; expected at most \(TrustedProxies.rangesMax).")
        }
        var ranges: [AddressRange] = []
        for part in parts {
            guard let range: AddressRange = Self.range(String(part)) else {
                throw .usage("\(source) has '\(part)'; expected \(Self.expectedRange).")
            }
            ranges.append(range)
        }
        return ranges
    }

    /// `--proxy-field x-forwarded-for|forwarded`.
    static func field(_ text: String, source: String) throws(CommandError) -> TrustedProxies.Field {
        guard let field: TrustedProxies.Field = TrustedProxies.Field(rawValue: text) else {
            throw .usage("\(source) is '\(text)'; expected x-forwarded-for or forwarded.")
        }
        return field
    }
}

/// The gateway's buckets, for the senders of the control plane's requests. Unknown addresses push no caller out.
private final class SenderLimits: RequestLimits {
    private let caller: SubjectLimit?
    private let address: SubjectLimit?

    init(caller: EdgeSettings.Rate?, address: EdgeSettings.Rate?) {
        self.caller = caller.map { SubjectLimit(name: "caller", limit: $0.limit, window: $0.window) }
        self.address = address.map { SubjectLimit(name: "address", limit: $0.limit, window: $0.window) }
    }

    func admit(_ sender: RequestSender, now: UInt64) -> [(name: String, value: String)]? {
        switch sender {
        case .caller(let id): self.caller?.admit(id, now: now)
        case .address(let text): self.address?.admit(text, now: now)
        }
    }
}
