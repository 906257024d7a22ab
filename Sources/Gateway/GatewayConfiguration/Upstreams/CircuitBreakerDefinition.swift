import Documents
import JSON

/// When no request is sent any more to a target, or to all of them, because most fail.
package struct CircuitBreakerDefinition: Sendable, Equatable {
    package enum Scope: String, Sendable, Equatable {
        /// Each target has a breaker of its own.
        case target
        /// One breaker for the whole upstream.
        case upstream
    }

    /// Default `target`.
    package var scope: Scope
    /// Percentage of failures (none, or 5xx) in the window that opens it, 1 to 100. Default 50.
    package var errorShare: Int
    /// Requests the window must hold before it can open, 1 to 1,000,000. Default 20.
    package var requestsMin: Int
    /// 1 s to 10 min. Default 10 s.
    package var window: Duration
    /// How long it stays open before a few requests try, 100 ms to 1 h. Default 10 s.
    package var openFor: Duration
    /// Requests that try, at once and in all; when every one is answered it closes, when one fails it opens again. 1 to 1000.
    /// Default 3.
    package var trials: Int
    /// Requests on their way at once, beyond which it refuses; 0: no limit. At most 1,000,000. Default 0.
    package var requestsMax: Int

    package init(
        scope: Scope = .target, errorShare: Int = 50, requestsMin: Int = 20, window: Duration = .seconds(10),
        openFor: Duration = .seconds(10), trials: Int = 3, requestsMax: Int = 0
    ) {
        self.scope = scope
        self.errorShare = errorShare
        self.requestsMin = requestsMin
        self.window = window
        self.openFor = openFor
        self.trials = trials
        self.requestsMax = requestsMax
    }

    private static let known: [String] = [
        "scope", "error_share", "min_requests", "window", "open_for", "trials", "max_requests",
    ]

    static func read(_ decoder: NodeDecoder) -> CircuitBreakerDefinition? {
        guard let fields: NodeFields = decoder.fields(self.known) else { return nil }
        let defaults: CircuitBreakerDefinition = CircuitBreakerDefinition()
        let scope: Scope? = fields.choice("scope", default: defaults.scope, ["target": .target, "upstream": .upstream])
        let share: Int? = fields.integer("error_share", default: defaults.errorShare, in: 1...100)
        let requests: Int? = fields.integer("min_requests", default: defaults.requestsMin, in: 1...1_000_000)
        let window: Duration? = fields.duration("window", default: defaults.window, in: .seconds(1) ... .seconds(600))
        let openFor: Duration? = fields.duration(
            "open_for", default: defaults.openFor, in: .milliseconds(100) ... .seconds(3600))
        let trials: Int? = fields.integer("trials", default: defaults.trials, in: 1...1000)
        let most: Int? = fields.integer("max_requests", default: defaults.requestsMax, in: 0...1_000_000)
        guard let scope, let share, let requests, let window, let openFor, let trials, let most else { return nil }
        return CircuitBreakerDefinition(
            scope: scope, errorShare: share, requestsMin: requests, window: window, openFor: openFor, trials: trials,
            requestsMax: most)
    }

    func json() -> JSONValue {
        let defaults: CircuitBreakerDefinition = CircuitBreakerDefinition()
        var writer: DefinitionWriter = DefinitionWriter()
        if self.scope != defaults.scope { writer.set("scope", .string(self.scope.rawValue)) }
        writer.set("error_share", self.errorShare, unless: defaults.errorShare)
        writer.set("min_requests", self.requestsMin, unless: defaults.requestsMin)
        writer.set("window", self.window, unless: defaults.window)
        writer.set("open_for", self.openFor, unless: defaults.openFor)
        writer.set("trials", self.trials, unless: defaults.trials)
        writer.set("max_requests", self.requestsMax, unless: defaults.requestsMax)
        return writer.value
    }
}
