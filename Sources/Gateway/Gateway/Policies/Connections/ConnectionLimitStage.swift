import GatewayConfiguration

/// Refuses requests on connections beyond the policy's limit, 429; the engine closes such a connection behind the answer, one of
/// HTTP/2 when the streams it has are over.
final class ConnectionLimitStage: RequestStage, @unchecked Sendable {
    private let policy: ConnectionLimitPolicy
    private let name: String
    private let counts: ConnectionCounts
    /// Its memory is that of the state that every snapshot holds.
    private let share: LimitShare

    /// `name` is the same for every version of the API or route that has the policy.
    init(_ policy: ConnectionLimitPolicy, name: String, counts: ConnectionCounts, share: LimitShare) {
        self.policy = policy
        self.name = name
        self.counts = counts
        self.share = share
        super.init(rank: .connection)
    }

    /// Connections that this gateway admits now.
    private var limit: Int {
        self.policy.scope == .gateway ? self.policy.limit : max(1, self.policy.limit / self.share.gateways)
    }

    override var countsConnections: Bool { true }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        // Requests of the gateway's own come over no connection.
        guard let seats: ConnectionSeats = context.seats else { return .next }
        let key: SeatKey = SeatKey(limit: self.name, address: self.policy.by == .ip ? request.remote : nil)
        let limit: Int = self.limit
        if seats.sit(key, limit: limit, self.counts) { return .next }
        // Nobody knows when another one closes.
        let lines: String =
            "Retry-After: 1\r\nRateLimit-Policy: \"connections\";q=\(limit);qu=\"connections\"\r\n"
            + "RateLimit: \"connections\";r=0\r\n"
        return decision.refuse(.tooManyConnections, Array(lines.utf8))
    }
}
