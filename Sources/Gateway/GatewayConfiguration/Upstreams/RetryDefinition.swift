import Documents
import JSON

/// When a request is sent again, to another target where there is one.
package struct RetryDefinition: Sendable, Equatable {
    /// Tries after the first one, 1 to 10. Default 2.
    package var attempts: Int
    /// The connection was not made; nothing was sent. Default true.
    package var onConnectFailure: Bool
    /// The connection ended before an answer. Default true.
    package var onReset: Bool
    /// No answer in time. Default false.
    package var onTimeout: Bool
    /// Answers. Default 502, 503, 504.
    package var statuses: StatusSet
    /// Methods that may be repeated after something was sent; nil: those that do no harm twice (RFC 9110 section 9.2.2).
    package var methods: [String]?
    /// Retries of the last ten seconds, in percent of its requests, 0 to 100. Default 20.
    package var budgetShare: Int
    /// Retries a second that are always allowed, 0 to 100,000. Default 10.
    package var budgetMin: Int
    /// The longest wait before the first retry; doubles with every one, and chance takes a part of it. 1 ms to 1 min.
    /// Default 25 ms.
    package var backoff: Duration
    /// 1 ms to 10 min. Default 1 s.
    package var backoffMax: Duration
    /// A `Retry-After` up to this is waited for; an answer with a longer one is passed on. 0 to 1 h. Default 1 s.
    package var retryAfterMax: Duration
    /// For one try, to the head of its answer; 0: only the route's time-outs. At most 1 h. Default 0.
    package var tryTimeout: Duration
    /// A longer body is not kept and so not sent again. 0 to 128 KiB. Default 64 KiB.
    package var bodyBytesMax: Int

    package init(
        attempts: Int = 2, onConnectFailure: Bool = true, onReset: Bool = true, onTimeout: Bool = false,
        statuses: StatusSet = RetryDefinition.statusesDefault, methods: [String]? = nil, budgetShare: Int = 20,
        budgetMin: Int = 10, backoff: Duration = .milliseconds(25), backoffMax: Duration = .seconds(1),
        retryAfterMax: Duration = .seconds(1), tryTimeout: Duration = .zero, bodyBytesMax: Int = 64 * 1024
    ) {
        self.attempts = attempts
        self.onConnectFailure = onConnectFailure
        self.onReset = onReset
        self.onTimeout = onTimeout
        self.statuses = statuses
        self.methods = methods
        self.budgetShare = budgetShare
        self.budgetMin = budgetMin
        self.backoff = backoff
        self.backoffMax = backoffMax
        self.retryAfterMax = retryAfterMax
        self.tryTimeout = tryTimeout
        self.bodyBytesMax = bodyBytesMax
    }

    package static let bodyBytesCeiling: Int = 128 * 1024
    package static let statusesDefault: StatusSet = StatusSet([502...502, 503...503, 504...504])
    static let onDefault: [String] = ["connect_failure", "reset"]
    private static let methodNames: [String] = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
    ]
    private static let known: [String] = [
        "attempts", "on", "statuses", "methods", "budget_share", "budget_min", "backoff", "backoff_max",
        "retry_after_max", "try_timeout", "body_max",
    ]

    static func read(_ decoder: NodeDecoder) -> RetryDefinition? {
        guard let fields: NodeFields = decoder.fields(self.known) else { return nil }
        var retries: RetryDefinition = RetryDefinition()
        let attempts: Int? = fields.integer("attempts", default: retries.attempts, in: 1...10)
        let on: [String]? = fields.value("on", default: self.onDefault) { (element: NodeDecoder) -> [String]? in
            element.list(count: 0...3) {
                $0.choice(["connect_failure": "connect_failure", "reset": "reset", "timeout": "timeout"])
            }
        }
        let statuses: StatusSet? = fields.value("statuses", default: retries.statuses) { StatusSet.read($0) }
        let methods: [String]?? = fields.optional("methods") { self.methods($0) }
        let bodyMax: Int? = fields.byteCount("body_max", default: retries.bodyBytesMax, in: 0...self.bodyBytesCeiling)
        let isTimed: Bool = retries.readTimes(fields)
        guard let attempts, let on, let statuses, let methods, let bodyMax, isTimed else { return nil }
        retries.attempts = attempts
        retries.onConnectFailure = on.contains("connect_failure")
        retries.onReset = on.contains("reset")
        retries.onTimeout = on.contains("timeout")
        retries.statuses = statuses
        retries.methods = methods
        retries.bodyBytesMax = bodyMax
        return retries
    }

    private mutating func readTimes(_ fields: NodeFields) -> Bool {
        let share: Int? = fields.integer("budget_share", default: self.budgetShare, in: 0...100)
        let least: Int? = fields.integer("budget_min", default: self.budgetMin, in: 0...100_000)
        let backoff: Duration? = fields.duration(
            "backoff", default: self.backoff, in: .milliseconds(1) ... .seconds(60))
        let backoffMax: Duration? = fields.duration(
            "backoff_max", default: self.backoffMax, in: .milliseconds(1) ... .seconds(600))
        let retryAfter: Duration? = fields.duration(
            "retry_after_max", default: self.retryAfterMax, in: .zero ... .seconds(3600))
        let tryTimeout: Duration? = fields.duration(
            "try_timeout", default: self.tryTimeout, in: .zero ... .seconds(3600))
        guard let share, let least, let backoff, let backoffMax, let retryAfter, let tryTimeout else { return false }
        self.budgetShare = share
        self.budgetMin = least
        self.backoff = backoff
        self.backoffMax = backoffMax
        self.retryAfterMax = retryAfter
        self.tryTimeout = tryTimeout
        return true
    }

    private static func methods(_ decoder: NodeDecoder) -> [String]? {
        decoder.list(count: 1...self.methodNames.count) { (element: NodeDecoder) -> String? in
            guard let name: String = element.string() else { return nil }
            if self.methodNames.contains(name) { return name }
            element.problem("expected one of \(self.methodNames.joined(separator: ", "))")
            return nil
        }
    }

    func json() -> JSONValue {
        let defaults: RetryDefinition = RetryDefinition()
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("attempts", self.attempts, unless: defaults.attempts)
        var on: [JSONValue] = []
        if self.onConnectFailure { on.append("connect_failure") }
        if self.onReset { on.append("reset") }
        if self.onTimeout { on.append("timeout") }
        if on != RetryDefinition.onDefault.map({ .string($0) }) { writer.set("on", .array(on)) }
        if self.statuses != defaults.statuses { writer.set("statuses", .array(self.statuses.elements)) }
        writer.set("methods", self.methods.map { .array($0.map { .string($0) }) })
        writer.set("budget_share", self.budgetShare, unless: defaults.budgetShare)
        writer.set("budget_min", self.budgetMin, unless: defaults.budgetMin)
        writer.set("backoff", self.backoff, unless: defaults.backoff)
        writer.set("backoff_max", self.backoffMax, unless: defaults.backoffMax)
        writer.set("retry_after_max", self.retryAfterMax, unless: defaults.retryAfterMax)
        writer.set("try_timeout", self.tryTimeout, unless: defaults.tryTimeout)
        writer.set("body_max", self.bodyBytesMax, unless: defaults.bodyBytesMax)
        return writer.value
    }
}
