import GatewayConfiguration

/// Refuses requests on connections beyond the policy's limit, 429; the engine closes such a connection behind the answer.
final class ConnectionLimitStage: RequestStage, @unchecked Sendable {
    private let policy: ConnectionLimitPolicy
    private let name: String
    private let counts: ConnectionCounts
    /// Nobody knows when another one closes.
    private let lines: [UInt8]

    /// `name` is the same for every version of the API or route that has the policy.
    init(_ policy: ConnectionLimitPolicy, name: String, counts: ConnectionCounts) {
        self.policy = policy
        self.name = name
        self.counts = counts
        self.lines = Array(
            ("Retry-After: 1\r\nRateLimit-Policy: \"connections\";q=\(policy.limit);qu=\"connections\"\r\n"
                + "RateLimit: \"connections\";r=0\r\n").utf8)
        super.init(rank: .connection)
    }

    override var countsConnections: Bool { true }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        // Requests of the gateway's own come over no connection.
        guard let seats: ConnectionSeats = context.seats else { return .next }
        let key: SeatKey = SeatKey(limit: self.name, address: self.policy.by == .ip ? request.remote : nil)
        if seats.sit(key, limit: self.policy.limit, self.counts) { return .next }
        return decision.refuse(.tooManyConnections, self.lines)
    }
}
