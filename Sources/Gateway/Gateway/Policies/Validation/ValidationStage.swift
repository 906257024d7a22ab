import GatewayConfiguration
import JSON
import JSONSchema

/// Checks requests by the API's OpenAPI document.
final class ValidationStage: RequestStage, @unchecked Sendable {
    // Safe to share: constants, and counts that are atomic.
    private let policy: ValidationPolicy
    private let counts: ValidationCounts

    /// Larger bodies are checked away from the loop.
    static let onLoopBytesMax: Int = 16 << 10

    init(_ policy: ValidationPolicy, _ counts: ValidationCounts) {
        self.policy = policy
        self.counts = counts
        super.init(rank: .validation)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        if let work: ValidationWork = context.work as? ValidationWork,
            let exchange: ValidatedExchange = context.note(ValidatedExchange.self)
        {
            return self.conclude(exchange.findings + work.findings, context, &decision)
        }
        if let exchange: ValidatedExchange = context.note(ValidatedExchange.self) {
            return self.checkBody(exchange, context, &decision)
        }
        let path: String = String(decoding: context.forwardedPath(decision.forwarding), as: UTF8.self)
        let method: String = String(decoding: context.methodBytes, as: UTF8.self)
        guard let found = self.policy.plan.operation(method, path: path) else {
            guard self.policy.refusesUndocumented, self.policy.requests != .off else { return .next }
            let finding: MessageFinding = MessageFinding(
                place: "operation", detail: "expected a path and method of the API's document")
            return self.conclude([finding], context, &decision)
        }
        let check: MessageCheck = MessageCheck(policy: self.policy, operation: found.operation)
        let exchange: ValidatedExchange = ValidatedExchange(check)
        context.setNote(exchange)
        if self.policy.responses != .off, !found.operation.responses.isEmpty {
            // A compressed answer could not be read.
            context.edits.setField("accept-encoding", "identity")
        }
        if self.policy.requests == .off { return .next }
        let query: [QueryText.Pair] = QueryText.pairs(
            String(decoding: context.forwardedQuery(decision.forwarding), as: UTF8.self))
        exchange.findings = check.parameters(path: found.values, query: query) { request.fields.texts(named: $0) }
        return self.lookAtBody(request, exchange, context, &decision)
    }

    private func lookAtBody(
        _ request: RequestView, _ exchange: ValidatedExchange, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        guard let body: ValidatedBody = exchange.check.operation.body else {
            return self.conclude(exchange.findings, context, &decision)
        }
        if request.contentLength == 0 {
            if body.isRequired { exchange.findings.append(MessageFinding(place: "body", detail: "expected a body")) }
            return self.conclude(exchange.findings, context, &decision)
        }
        let encoding: String = request.fields.text("content-encoding")?.lowercased() ?? "identity"
        switch exchange.check.rule(
            for: body, type: request.fields.text("content-type"), isEncoded: encoding != "identity")
        {
        case .free: return self.conclude(exchange.findings, context, &decision)
        case .unsupported(let finding):
            return self.conclude(exchange.findings + [finding], context, &decision, .mediaTypeUnsupported)
        case .shape(let shape):
            exchange.shape = shape
            if context.body != nil { return self.checkBody(exchange, context, &decision) }
            // Who only reports lets a body pass that is too long to be looked at.
            if self.policy.requests == .report,
                request.contentLength < 0 || request.contentLength > Int64(self.policy.bodyBytesMax)
            {
                self.counts.count(.request, exchange.findings.isEmpty ? .unchecked : .invalid)
                return .next
            }
            return .needsBody(max: self.policy.bodyBytesMax)
        }
    }

    private func checkBody(
        _ exchange: ValidatedExchange, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        guard let bytes: [UInt8] = context.edits.body ?? context.body else { return .next }
        guard bytes.count <= self.policy.bodyBytesMax else { return decision.refuse(.bodyTooLarge) }
        if bytes.isEmpty, exchange.check.operation.body?.isRequired != true {
            return self.conclude(exchange.findings, context, &decision)
        }
        let schemas: SchemaSet = self.policy.plan.requestSchemas
        if bytes.count > ValidationStage.onLoopBytesMax {
            return .suspend(ValidationWork(bytes, schemas, exchange.shape))
        }
        return self.conclude(
            exchange.findings + MessageCheck.body(bytes, schemas, exchange.shape), context, &decision)
    }

    private func conclude(
        _ findings: [MessageFinding], _ context: PolicyContext, _ decision: inout Decision,
        _ reason: RequestReason = .requestInvalid
    ) -> StageOutcome {
        self.counts.count(.request, findings.isEmpty ? .valid : .invalid)
        if findings.isEmpty || self.policy.requests != .enforce { return .next }
        context.problemMembers = MessageFinding.members(findings)
        return decision.refuse(reason)
    }
}

/// What the request's stage leaves for its second run and for the response's stage.
final class ValidatedExchange {
    let check: MessageCheck
    var findings: [MessageFinding] = []
    /// What the request's body has to be.
    var shape: MessageCheck.BodyShape = .json(0)

    init(_ check: MessageCheck) { self.check = check }
}

/// A large body, read and checked away from the loop.
final class ValidationWork: PolicyWork, @unchecked Sendable {
    // Safe to share: `findings` is written before `done` is called and read after, on the loop that `done` reaches.
    private let bytes: [UInt8]
    private let schemas: SchemaSet
    private let shape: MessageCheck.BodyShape
    private(set) var findings: [MessageFinding] = []

    init(_ bytes: [UInt8], _ schemas: SchemaSet, _ shape: MessageCheck.BodyShape) {
        self.bytes = bytes
        self.schemas = schemas
        self.shape = shape
    }

    override func start(_ done: @escaping @Sendable () -> Void) {
        Task.detached {
            self.findings = MessageCheck.body(self.bytes, self.schemas, self.shape)
            done()
        }
    }
}
