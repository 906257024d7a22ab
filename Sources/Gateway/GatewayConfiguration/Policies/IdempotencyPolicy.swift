import Bytes
import Documents
import JSON

/// `idempotency`: a request that carries a key is done once; its repetitions get the same answer.
package struct IdempotencyPolicy: Sendable, Equatable {
    /// Name of the field with the key, lower case. Default `idempotency-key`.
    package var header: String
    /// Whether a request without a key is refused (400). Default false: it passes.
    package var isRequired: Bool
    /// Methods it concerns, upper case. Default POST and PATCH: the others may be repeated anyway.
    package var methods: [String]
    /// How long an answer is kept, 1 s to 7 days. Default 24 h.
    package var keptFor: Duration
    /// Bytes of a request's body at most, up to 16 MiB; beyond: 413. Default 1 MiB.
    package var bodyBytesMax: Int
    /// Bytes of an answer's body that are kept, up to 16 MiB; a repetition of a request with a larger one gets 409. Default 256 KiB.
    package var answerBytesMax: Int

    package init(
        header: String = "idempotency-key", isRequired: Bool = false, methods: [String] = ["POST", "PATCH"],
        keptFor: Duration = .seconds(86_400), bodyBytesMax: Int = 1 << 20, answerBytesMax: Int = 256 << 10
    ) {
        self.header = header
        self.isRequired = isRequired
        self.methods = methods
        self.keptFor = keptFor
        self.bodyBytesMax = bodyBytesMax
        self.answerBytesMax = answerBytesMax
    }

    package static let bytesLimit: Int = 16 << 20
    /// Longest key in bytes.
    package static let keyBytesMax: Int = 255
    package static let keptRange: ClosedRange<Duration> = .seconds(1) ... .seconds(7 * 86_400)
}

extension IdempotencyPolicy {
    static func read(_ decoder: NodeDecoder) -> IdempotencyPolicy? {
        let known: [String] = ["header", "required", "methods", "ttl", "body_max", "answer_max"]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let defaults: IdempotencyPolicy = IdempotencyPolicy()
        let header: String? = fields.value("header", default: defaults.header) { $0.fieldName() }
        let required: Bool? = fields.boolean("required", default: false)
        var methods: [String]? = defaults.methods
        if fields["methods"] != nil {
            methods = fields.list("methods", count: 1...8) { element in
                element.choice(["POST": "POST", "PATCH": "PATCH", "PUT": "PUT", "DELETE": "DELETE"])
            }
        }
        let kept: Duration? = fields.duration("ttl", default: defaults.keptFor, in: self.keptRange)
        let body: Int? = fields.byteCount("body_max", default: defaults.bodyBytesMax, in: 0...self.bytesLimit)
        let answer: Int? = fields.byteCount("answer_max", default: defaults.answerBytesMax, in: 0...self.bytesLimit)
        guard let header, let required, let methods, let kept, let body, let answer else { return nil }
        return IdempotencyPolicy(
            header: header, isRequired: required, methods: methods, keptFor: kept, bodyBytesMax: body,
            answerBytesMax: answer)
    }

    func write(_ body: inout DefinitionWriter) {
        let defaults: IdempotencyPolicy = IdempotencyPolicy()
        if self.header != defaults.header { body.set("header", .string(self.header)) }
        if self.isRequired { body.set("required", .bool(true)) }
        if self.methods != defaults.methods { body.set("methods", list: self.methods.map { .string($0) }) }
        body.set("ttl", self.keptFor, unless: defaults.keptFor)
        body.set("body_max", self.bodyBytesMax, unless: defaults.bodyBytesMax)
        body.set("answer_max", self.answerBytesMax, unless: defaults.answerBytesMax)
    }
}
