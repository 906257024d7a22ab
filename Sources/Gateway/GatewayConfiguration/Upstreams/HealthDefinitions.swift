import Documents
import JSON

/// When answers and failures of real requests take a target out.
package struct PassiveHealth: Sendable, Equatable {
    /// Failures in a row (refused, reset, timed out, or one of `statuses`) after which a target is left out, 1 to 1000.
    /// Default 3.
    package var failures: Int
    /// How long it is left out before one request tries it again, 100 ms to 1 h. Default 10 s.
    package var ejectFor: Duration
    /// Answers that count as failures. Default: none.
    package var statuses: StatusSet

    package init(failures: Int = 3, ejectFor: Duration = .seconds(10), statuses: StatusSet = StatusSet([])) {
        self.failures = failures
        self.ejectFor = ejectFor
        self.statuses = statuses
    }

    static func read(_ decoder: NodeDecoder) -> PassiveHealth? {
        guard let fields: NodeFields = decoder.fields(["failures", "eject_for", "statuses"]) else { return nil }
        let defaults: PassiveHealth = PassiveHealth()
        let failures: Int? = fields.integer("failures", default: defaults.failures, in: 1...1000)
        let ejectFor: Duration? = fields.duration(
            "eject_for", default: defaults.ejectFor, in: .milliseconds(100) ... .seconds(3600))
        let statuses: StatusSet? = fields.value("statuses", default: defaults.statuses) { StatusSet.read($0) }
        guard let failures, let ejectFor, let statuses else { return nil }
        return PassiveHealth(failures: failures, ejectFor: ejectFor, statuses: statuses)
    }

    func json() -> JSONValue? {
        let defaults: PassiveHealth = PassiveHealth()
        if self == defaults { return nil }
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("failures", self.failures, unless: defaults.failures)
        writer.set("eject_for", self.ejectFor, unless: defaults.ejectFor)
        writer.set("statuses", list: self.statuses.elements)
        return writer.value
    }
}

/// Checks of a target that the gateway makes by itself, once a process.
package struct ActiveHealth: Sendable, Equatable {
    package enum Kind: String, Sendable, Equatable {
        /// `GET path`: a status that is expected and, where it is set, a body that holds a text.
        case http
        /// A connection, with TLS where the target speaks it.
        case tcp
    }

    /// Default `http`.
    package var kind: Kind
    /// Behind the target's base path, with its query. Default `/`.
    package var path: String
    /// Value of `Host`. Default: the target's.
    package var host: String?
    /// Default: 2xx.
    package var statuses: StatusSet
    /// What the first 64 KiB of the body must hold. Default: anything.
    package var body: String?
    /// Between two checks, 100 ms to 1 h. Default 5 s.
    package var interval: Duration
    /// Percentage of the interval by which a check comes earlier or later, 0 to 100. Default 20.
    package var jitter: Int
    /// For one check, 10 ms to 1 min. Default 2 s.
    package var timeout: Duration
    /// Checks in a row that bring a target back, 1 to 100. Default 2.
    package var healthyAfter: Int
    /// Checks in a row that take a target out, 1 to 100. Default 3.
    package var unhealthyAfter: Int

    package init(
        kind: Kind = .http, path: String = "/", host: String? = nil, statuses: StatusSet = StatusSet([200...299]),
        body: String? = nil, interval: Duration = .seconds(5), jitter: Int = 20, timeout: Duration = .seconds(2),
        healthyAfter: Int = 2, unhealthyAfter: Int = 3
    ) {
        self.kind = kind
        self.path = path
        self.host = host
        self.statuses = statuses
        self.body = body
        self.interval = interval
        self.jitter = jitter
        self.timeout = timeout
        self.healthyAfter = healthyAfter
        self.unhealthyAfter = unhealthyAfter
    }

    private static let known: [String] = [
        "type", "path", "host", "statuses", "body", "interval", "jitter", "timeout", "healthy_after", "unhealthy_after",
    ]

    static func read(_ decoder: NodeDecoder) -> ActiveHealth? {
        guard let fields: NodeFields = decoder.fields(self.known) else { return nil }
        let defaults: ActiveHealth = ActiveHealth()
        let kind: Kind? = fields.choice("type", default: defaults.kind, ["http": .http, "tcp": .tcp])
        let path: String? = fields.value("path", default: defaults.path) { self.path($0) }
        let host: String?? = fields.optional("host") { (element: NodeDecoder) -> String? in
            element.host().flatMap { (host: HostPattern) -> String? in
                if host.isWildcard { element.problem("expected one host name, without '*'") }
                return host.isWildcard ? nil : host.name
            }
        }
        let statuses: StatusSet? = fields.value("statuses", default: defaults.statuses) { StatusSet.read($0) }
        let body: String?? = fields.optional("body") { $0.string(length: 1...256) }
        let interval: Duration? = fields.duration(
            "interval", default: defaults.interval, in: .milliseconds(100) ... .seconds(3600))
        let jitter: Int? = fields.integer("jitter", default: defaults.jitter, in: 0...100)
        let timeout: Duration? = fields.duration(
            "timeout", default: defaults.timeout, in: .milliseconds(10) ... .seconds(60))
        let healthy: Int? = fields.integer("healthy_after", default: defaults.healthyAfter, in: 1...100)
        let unhealthy: Int? = fields.integer("unhealthy_after", default: defaults.unhealthyAfter, in: 1...100)
        if kind == .tcp {
            for name in ["path", "host", "statuses", "body"] {
                fields[name]?.problem("expected '\(name)' only with 'type: http'")
            }
        }
        guard let kind, let path, let host, let statuses, let body, let interval, let jitter, let timeout, let healthy,
            let unhealthy
        else { return nil }
        return ActiveHealth(
            kind: kind, path: path, host: host, statuses: statuses, body: body, interval: interval, jitter: jitter,
            timeout: timeout, healthyAfter: healthy, unhealthyAfter: unhealthy)
    }

    /// A path as it is sent, with or without a query.
    private static func path(_ decoder: NodeDecoder) -> String? {
        decoder.parsed("a path such as '/health', with visible ASCII characters") { (text: String) -> String? in
            guard text.hasPrefix("/"), text.utf8.count <= PathPattern.lengthMax else { return nil }
            return text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") } ? text : nil
        }
    }

    func json() -> JSONValue {
        let defaults: ActiveHealth = ActiveHealth()
        var writer: DefinitionWriter = DefinitionWriter()
        if self.kind != .http { writer.set("type", .string(self.kind.rawValue)) }
        if self.path != defaults.path { writer.set("path", .string(self.path)) }
        writer.set("host", self.host.map { .string($0) })
        if self.statuses != defaults.statuses { writer.set("statuses", .array(self.statuses.elements)) }
        writer.set("body", self.body.map { .string($0) })
        writer.set("interval", self.interval, unless: defaults.interval)
        writer.set("jitter", self.jitter, unless: defaults.jitter)
        writer.set("timeout", self.timeout, unless: defaults.timeout)
        writer.set("healthy_after", self.healthyAfter, unless: defaults.healthyAfter)
        writer.set("unhealthy_after", self.unhealthyAfter, unless: defaults.unhealthyAfter)
        return writer.value
    }
}

/// When a target that does worse than its peers is left out.
package struct OutlierEjection: Sendable, Equatable {
    /// Between two comparisons, 1 s to 10 min. Default 10 s.
    package var interval: Duration
    /// Requests a target must have had in the interval to be compared, 1 to 1,000,000. Default 20.
    package var requestsMin: Int
    /// Percentage points of failures (none, or 5xx) above those of its peers, 1 to 100. Default 30.
    package var errorMargin: Int
    /// How many times slower than its peers' median, in percent, 110 to 10000; 0: latency does not count. Default 0.
    package var latencyFactor: Int
    /// Percentage of the targets that may be out at once; one always may. 1 to 100. Default 50.
    package var shareMax: Int
    /// For the first time; the second is twice as long, and so on. 100 ms to 1 h. Default 30 s.
    package var ejectFor: Duration
    /// 100 ms to 1 d. Default 5 min.
    package var ejectMax: Duration

    package init(
        interval: Duration = .seconds(10), requestsMin: Int = 20, errorMargin: Int = 30, latencyFactor: Int = 0,
        shareMax: Int = 50, ejectFor: Duration = .seconds(30), ejectMax: Duration = .seconds(300)
    ) {
        self.interval = interval
        self.requestsMin = requestsMin
        self.errorMargin = errorMargin
        self.latencyFactor = latencyFactor
        self.shareMax = shareMax
        self.ejectFor = ejectFor
        self.ejectMax = ejectMax
    }

    private static let known: [String] = [
        "interval", "min_requests", "error_margin", "latency_factor", "max_share", "eject_for", "eject_max",
    ]

    static func read(_ decoder: NodeDecoder) -> OutlierEjection? {
        guard let fields: NodeFields = decoder.fields(self.known) else { return nil }
        let defaults: OutlierEjection = OutlierEjection()
        let interval: Duration? = fields.duration(
            "interval", default: defaults.interval, in: .seconds(1) ... .seconds(600))
        let requests: Int? = fields.integer("min_requests", default: defaults.requestsMin, in: 1...1_000_000)
        let margin: Int? = fields.integer("error_margin", default: defaults.errorMargin, in: 1...100)
        let factor: Int? = fields.value("latency_factor", default: defaults.latencyFactor) {
            (element: NodeDecoder) -> Int? in
            guard let factor: Int = element.integer(in: 0...10_000) else { return nil }
            if factor > 0 && factor < 110 { element.problem("expected 0, or a percentage from 110 to 10000") }
            return factor
        }
        let share: Int? = fields.integer("max_share", default: defaults.shareMax, in: 1...100)
        let ejectFor: Duration? = fields.duration(
            "eject_for", default: defaults.ejectFor, in: .milliseconds(100) ... .seconds(3600))
        let ejectMax: Duration? = fields.duration(
            "eject_max", default: defaults.ejectMax, in: .milliseconds(100) ... .seconds(86_400))
        guard let interval, let requests, let margin, let factor, let share, let ejectFor, let ejectMax else {
            return nil
        }
        return OutlierEjection(
            interval: interval, requestsMin: requests, errorMargin: margin, latencyFactor: factor, shareMax: share,
            ejectFor: ejectFor, ejectMax: ejectMax)
    }

    func json() -> JSONValue {
        let defaults: OutlierEjection = OutlierEjection()
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("interval", self.interval, unless: defaults.interval)
        writer.set("min_requests", self.requestsMin, unless: defaults.requestsMin)
        writer.set("error_margin", self.errorMargin, unless: defaults.errorMargin)
        writer.set("latency_factor", self.latencyFactor, unless: defaults.latencyFactor)
        writer.set("max_share", self.shareMax, unless: defaults.shareMax)
        writer.set("eject_for", self.ejectFor, unless: defaults.ejectFor)
        writer.set("eject_max", self.ejectMax, unless: defaults.ejectMax)
        return writer.value
    }
}
