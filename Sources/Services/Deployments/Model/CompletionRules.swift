import JSON

/// Decides when a deployment is over. Pure: gateways and times in, a verdict out.
struct CompletionRules: Sendable {
    /// How long live gateways have to acknowledge.
    static let acknowledgeWithinMilliseconds: Int64 = 30_000

    /// What the gateways said, as `deploy-results` carries it.
    struct Response: Sendable, Equatable {
        var version: Int64
        var acknowledged: [String] = []
        var away: [String] = []
        var waiting: [String] = []
        var quarantined: [String] = []

        var json: JSONValue {
            .object([
                "version": .int(self.version), "acknowledged": .array(self.acknowledged.map { JSONValue.string($0) }),
                "away": .array(self.away.map { JSONValue.string($0) }),
                "quarantined": .array(self.quarantined.map { JSONValue.string($0) }),
            ])
        }
    }

    enum Verdict: Sendable, Equatable {
        case wait(Response)
        case succeed(Response)
        case fail(Response, reason: String)
    }

    /// - Parameters:
    ///   - version: the first snapshot version that contains the deployment.
    ///   - entry: the deployment's snapshot entry, as gateways name it when they quarantine it; nil for one that takes
    ///     the entry away.
    ///   - refusal: why the entry is in no snapshot, when it is not.
    ///   - startedAt: since when it is waited for; `now` and `upSince` likewise, milliseconds of `SteadyTime`.
    ///   - upSince: when this process began to listen: gateways need some seconds to call in after a restart.
    static func decide(
        version: Int64, entry: String?, refusal: String? = nil, startedAt: Int64, gateways: [GatewayStatus], now: Int64,
        upSince: Int64
    ) -> Verdict {
        var response: Response = Response(version: version)
        var reasons: [String] = []
        for gateway in gateways {
            guard gateway.isLive(now: now) else {
                response.away.append(gateway.id)
                continue
            }
            if gateway.version < version {
                response.waiting.append(gateway.id)
            } else if let found: QuarantinedEntry = gateway.quarantined.first(where: { $0.entry == entry }) {
                response.quarantined.append(gateway.id)
                reasons.append(found.reason)
            } else {
                response.acknowledged.append(gateway.id)
            }
        }
        if let refusal: String {
            response.acknowledged = []
            return .fail(response, reason: "The gateway cannot run this revision: \(refusal)")
        }
        if let reason: String = reasons.first {
            return .fail(response, reason: "The gateway cannot run this revision: \(reason)")
        }
        if response.waiting.isEmpty, !response.acknowledged.isEmpty { return .succeed(response) }
        if response.waiting.isEmpty {
            if now - upSince < GatewayStatus.awayAfterMilliseconds { return .wait(response) }
            let away: String =
                response.away.isEmpty ? "none ever called in" : "away: \(response.away.joined(separator: ", "))"
            return .fail(response, reason: "No gateway of the target is live (\(away)).")
        }
        // The time in which nobody could acknowledge does not count.
        if now - max(startedAt, upSince) >= Self.acknowledgeWithinMilliseconds {
            let names: String = response.waiting.joined(separator: ", ")
            return .fail(response, reason: "Not confirmed within 30 s by \(names).")
        }
        return .wait(response)
    }
}
