import GatewayConfiguration

/// Answers instead of the upstream with what the policy says.
final class MockStage: RequestStage, @unchecked Sendable {
    private let local: LocalAnswer

    init(_ policy: MockPolicy) {
        var fields: FieldLines = FieldLines()
        for field in policy.fields { fields.add(field.name, field.value) }
        self.local = LocalAnswer(status: policy.status, fields: fields, body: policy.body.isEmpty ? [] : [policy.body])
        super.init(rank: .mock)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome { .answer(self.local) }
}
