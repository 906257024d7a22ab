import GatewayConfiguration

/// Puts the fields on every answer of the route, refusals of the gateway included.
final class SecurityHeadersStage: RequestStage, @unchecked Sendable {
    private let policy: SecurityHeadersPolicy

    init(_ policy: SecurityHeadersPolicy) {
        self.policy = policy
        super.init(rank: .connection)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        if self.policy.keepsUpstream { return .next }
        for field in self.policy.lines(isSecure: context.isSecure) { context.answerFields.set(field.name, field.value) }
        return .next
    }
}

/// Takes out what tells too much, and adds what the upstream did not say itself.
final class SecurityHeadersResponseStage: ResponseStage, @unchecked Sendable {
    private let policy: SecurityHeadersPolicy

    init(_ policy: SecurityHeadersPolicy) {
        self.policy = policy
        super.init(rank: .securityHeaders)
    }

    override func makeFilter(_ head: ResponseHead, _ context: PolicyContext) -> ResponseFilter? {
        for name in self.policy.hidden { head.fields.remove(name) }
        if self.policy.keepsUpstream {
            for field in self.policy.lines(isSecure: context.isSecure) where !head.fields.has(field.name) {
                head.fields.add(field.name, field.value)
            }
        }
        return nil
    }
}

extension SecurityHeadersPolicy {
    /// The fields of an answer; browsers ignore `Strict-Transport-Security` over plain connections, so it is not sent there.
    func lines(isSecure: Bool) -> [HeaderField] {
        guard isSecure, let transport: TransportSecurity = self.transportSecurity else { return self.fields }
        var value: String = "max-age=\(transport.maxAge.components.seconds)"
        if transport.includesSubdomains { value += "; includeSubDomains" }
        if transport.preload { value += "; preload" }
        return self.fields + [HeaderField(name: "strict-transport-security", value: value)]
    }
}
