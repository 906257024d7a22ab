import GatewayConfiguration

/// Answers instead of the upstream with what the policy says, or with an example of the API's document.
final class MockStage: RequestStage, @unchecked Sendable {
    private let local: LocalAnswer
    private let plan: MockPlan?

    init(_ policy: MockPolicy) {
        var fields: FieldLines = FieldLines()
        for field in policy.fields { fields.add(field.name, field.value) }
        self.local = LocalAnswer(status: policy.status, fields: fields, body: policy.body.isEmpty ? [] : [policy.body])
        self.plan = policy.plan
        super.init(rank: .mock)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        guard let plan: MockPlan = self.plan else { return .answer(self.local) }
        let path: String = String(decoding: context.forwardedPath(decision.forwarding), as: UTF8.self)
        let method: String = String(decoding: context.methodBytes, as: UTF8.self)
        let wish: MockPreference = MockPreference(request.fields.texts(named: "prefer"))
        guard let responses: [MockPlan.Response] = plan.responses(method, path: path),
            let chosen = MockPlan.choose(responses, status: wish.status)
        else { return decision.refuse(.noRoute) }
        return .answer(self.answer(chosen.response, chosen.status, chosen.isPreferred, wish, request))
    }

    private func answer(
        _ response: MockPlan.Response, _ status: Int, _ isPreferred: Bool, _ wish: MockPreference,
        _ request: RequestView
    ) -> LocalAnswer {
        var answer: LocalAnswer = self.local
        answer.status = status
        var applied: [String] = isPreferred ? ["code=\(status)"] : []
        if let media: MockPlan.Media = MockPlan.media(response.media, accept: request.fields.text("accept")) {
            let named: MockPlan.Example? = wish.example.flatMap { name in media.examples.first { $0.name == name } }
            if let name: String = named?.name { applied.append("example=\(name)") }
            if let example: MockPlan.Example = named ?? media.examples.first {
                if !answer.fields.has("content-type") { answer.fields.add("content-type", media.type) }
                answer.body = [example.body]
            }
        }
        // RFC 7240, 3.
        if !applied.isEmpty { answer.fields.add("preference-applied", applied.joined(separator: ", ")) }
        return answer
    }
}

/// Which answer a client wants: `Prefer: code=404, example=missing` (RFC 7240).
struct MockPreference: Equatable {
    var status: Int?
    var example: String?

    init(_ lines: [String]) {
        for line in lines {
            for part in line.split(whereSeparator: { $0 == "," || $0 == ";" }) {
                let pair: [Substring] = part.split(separator: "=", maxSplits: 1)
                guard pair.count == 2 else { continue }
                let name: String = pair[0].filter { $0 != " " }.lowercased()
                let value: String = String(pair[1].drop { $0 == " " }).filter { $0 != "\"" }
                if name == "code", self.status == nil, let status: Int = Int(value), (200...599).contains(status) {
                    self.status = status
                }
                if name == "example", self.example == nil { self.example = value }
            }
        }
        while self.example?.last == " " { self.example?.removeLast() }
    }
}
