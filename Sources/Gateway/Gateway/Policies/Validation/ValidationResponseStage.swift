import GatewayConfiguration
import JSON
import JSONSchema

/// Checks what the upstream answers by the API's OpenAPI document. Behind `ValidationStage`, which finds the operation.
final class ValidationResponseStage: ResponseStage, @unchecked Sendable {
    private let policy: ValidationPolicy
    private let counts: ValidationCounts

    init(_ policy: ValidationPolicy, _ counts: ValidationCounts) {
        self.policy = policy
        self.counts = counts
        super.init(rank: .validation)
    }

    override func makeFilter(_ head: ResponseHead, _ context: PolicyContext) -> ResponseFilter? {
        // These two say nothing whole: the client has the rest.
        guard head.isFromUpstream, head.status != 304, head.status != 206,
            let exchange: ValidatedExchange = context.note(ValidatedExchange.self),
            !exchange.check.operation.responses.isEmpty
        else { return nil }
        var findings: [MessageFinding] = []
        var schema: Int?
        if let response: ValidatedResponse = exchange.check.operation.response(head.status) {
            findings = self.headers(response, head)
            if !head.isBodyless, head.declaredLength != 0 {
                let encoding: String = head.fields.first("content-encoding")?.lowercased() ?? "identity"
                switch exchange.check.rule(
                    for: response.body, type: head.fields.first("content-type"), isEncoded: encoding != "identity")
                {
                case .free: break
                case .unsupported(let finding): findings.append(finding)
                case .shape(.json(let number)): schema = number
                // Forms are what clients send.
                case .shape: break
                }
            }
        } else {
            findings.append(MessageFinding(place: "status", detail: "expected a status of the API's document"))
        }
        if schema == nil, findings.isEmpty || self.policy.responses == .report {
            self.counts.count(.response, findings.isEmpty ? .valid : .invalid)
            return nil
        }
        let rule: ResponseRule = ResponseRule(
            schemas: self.policy.plan.responseSchemas, schema: schema, bytesMax: self.policy.bodyBytesMax,
            counts: self.counts, findings: findings)
        return self.policy.responses == .enforce ? EnforcingFilter(rule) : ReportingFilter(rule)
    }

    private func headers(_ response: ValidatedResponse, _ head: ResponseHead) -> [MessageFinding] {
        let reader: ParameterReader = ParameterReader(schemas: self.policy.plan.responseSchemas)
        var findings: [MessageFinding] = []
        for header in response.headers {
            findings += reader.check(header, head.fields.joined(header.name).map { [$0] } ?? [])
        }
        return findings
    }
}

/// What a response is checked by.
struct ResponseRule {
    let schemas: SchemaSet
    /// Nil: the body is not looked at, the findings are enough.
    let schema: Int?
    let bytesMax: Int
    let counts: ValidationCounts
    let findings: [MessageFinding]

    /// Whether the whole response fits; counts it.
    func judge(_ body: [UInt8]) -> Bool {
        var isValid: Bool = self.findings.isEmpty
        if let schema: Int = self.schema, isValid {
            isValid = MessageCheck.body(body, self.schemas, .json(schema)).isEmpty
        }
        self.counts.count(.response, isValid ? .valid : .invalid)
        return isValid
    }
}

/// Holds a response until it is known to fit.
final class EnforcingFilter: ResponseFilter {
    private let rule: ResponseRule
    private var collected: [UInt8] = []

    init(_ rule: ResponseRule) { self.rule = rule }

    override var transformsBody: Bool { true }

    override func head(_ head: ResponseHead) -> HeadOutcome { .hold }

    override func body(_ bytes: UnsafeRawBufferPointer, _ out: inout FilterOutput) {
        guard self.rule.findings.isEmpty, self.collected.count + bytes.count <= self.rule.bytesMax else {
            self.rule.counts.count(.response, self.rule.findings.isEmpty ? .unchecked : .invalid)
            out.fail(.responseInvalid)
            return
        }
        self.collected.append(contentsOf: bytes)
    }

    override func end(_ out: inout FilterOutput) {
        if self.rule.judge(self.collected) { out.append(self.collected) } else { out.fail(.responseInvalid) }
    }
}

/// Looks at a response while it passes.
final class ReportingFilter: ResponseFilter {
    private let rule: ResponseRule
    private var collected: [UInt8] = []
    private var isTooLong: Bool = false

    init(_ rule: ResponseRule) { self.rule = rule }

    override func body(_ bytes: UnsafeRawBufferPointer, _ out: inout FilterOutput) {
        if self.isTooLong { return }
        if self.collected.count + bytes.count > self.rule.bytesMax {
            self.isTooLong = true
            self.collected = []
        } else {
            self.collected.append(contentsOf: bytes)
        }
    }

    override func end(_ out: inout FilterOutput) {
        if self.isTooLong {
            self.rule.counts.count(.response, .unchecked)
        } else {
            _ = self.rule.judge(self.collected)
        }
    }
}
