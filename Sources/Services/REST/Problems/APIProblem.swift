package import HTTP
package import JSON

/// One invalid field of a request: where it is and what was expected there.
package struct InvalidField: Sendable, Equatable {
    /// JSON pointer into the body (RFC 6901), or `query:NAME` / `header:NAME` for parameters.
    package let pointer: String
    package let detail: String

    package init(_ pointer: String, _ detail: String) {
        self.pointer = pointer
        self.detail = detail
    }
}

/// A refusal a handler throws; the REST layer turns it into an RFC 9457 problem document.
package struct APIProblem: Error, Sendable {
    package let type: ProblemType
    package let detail: String
    package var errors: [InvalidField] = []
    /// Extra response fields, for example `Retry-After` or `Allow`.
    package var fields: [(name: String, value: String)] = []
    /// Extra members of the problem document, for example the address of what to use instead.
    package var members: JSONObject = [:]

    package init(_ type: ProblemType, _ detail: String, errors: [InvalidField] = []) {
        self.type = type
        self.detail = detail
        self.errors = errors
    }

    /// The resource does not exist for this caller (also when it exists in a tenant the caller does not reach).
    package static func notFound(_ kind: String, _ name: String) -> APIProblem {
        APIProblem(.notFound, "There is no \(kind) '\(name)'.")
    }

    package static func conflict(_ detail: String) -> APIProblem { APIProblem(.conflict, detail) }

    /// A body or parameter that does not have the expected form.
    package static func invalid(_ pointer: String, _ expected: String) -> APIProblem {
        APIProblem(.invalidRequest, "The request has an invalid field.", errors: [InvalidField(pointer, expected)])
    }

    package static func unavailable(_ detail: String, retryAfterSeconds: Int) -> APIProblem {
        var problem: APIProblem = APIProblem(.unavailable, detail)
        problem.fields.append((name: "Retry-After", value: String(retryAfterSeconds)))
        return problem
    }

    /// The document as sent: `type`, `title`, `status`, `detail`, `instance`, `trace_id`, `errors`.
    package func response(traceID: String, instance: String, language: Language) -> HTTPResponse {
        var body: JSONObject = [
            "type": .string("urn:passerelle:problem:\(self.type.rawValue)"),
            "title": .string(self.type.title(in: language)),
            "status": .int(Int64(self.type.status)),
            "detail": .string(self.detail),
            "instance": .string(instance),
            "trace_id": .string(traceID),
        ]
        if !self.errors.isEmpty {
            var list: [JSONValue] = []
            for field in self.errors {
                list.append(.object(["pointer": .string(field.pointer), "detail": .string(field.detail)]))
            }
            body["errors"] = .array(list)
        }
        for member in self.members.members { body[member.key] = member.value }
        var fields: HTTPFields = HTTPFields()
        fields.append("Content-Type", "application/problem+json")
        fields.append("Content-Language", language.rawValue)
        for field in self.fields { fields.append(field.name, field.value) }
        return HTTPResponse(status: self.type.status, fields: fields, body: .bytes(JSONValue.object(body).serialized()))
    }
}
