import HTTP
import JSON
import JSONSchema

/// A route with its schema compiled: reads and checks query and body before the handler runs.
struct CompiledRoute: Sendable {
    let route: Route
    /// Where a request says which environment it is about: what conditions of roles are held against.
    let environment: EnvironmentPlace
    private let schema: JSONSchema?

    enum EnvironmentPlace: Sendable {
        case none
        case path
        case query
        case body
    }

    init(_ route: Route) {
        if let mistake: String = route.mistake { preconditionFailure("\(route.operationID): \(mistake)") }
        self.route = route
        self.environment = Self.environmentPlace(route)
        guard case .json(let document, _) = route.body else {
            self.schema = nil
            return
        }
        do {
            self.schema = try JSONSchema(compiling: document)
        } catch {
            preconditionFailure("the body schema of \(route.operationID) does not compile: \(error)")
        }
    }

    /// `environment` means one thing throughout the interface, so a route that has it is about it.
    private static func environmentPlace(_ route: Route) -> EnvironmentPlace {
        if RouteTable.segments(route.path).contains("{environment}") { return .path }
        if route.query.contains(where: { $0.name == "environment" }) { return .query }
        if case .json(let schema, _) = route.body, schema["properties"]?["environment"] != nil { return .body }
        return .none
    }

    /// The query parameters by name, each valid by its kind. Unknown, repeated and missing ones are refused, all at once.
    func query(of request: HTTPRequest) throws(APIProblem) -> [String: String] {
        if self.route.readsRawQuery { return [:] }
        var values: [String: String] = [:]
        var errors: [InvalidField] = []
        let parsed: QueryParameters
        do {
            parsed = try QueryParameters.parse(request.query ?? "")
        } catch {
            throw APIProblem(.invalidRequest, "The query cannot be read \(error).")
        }
        for pair in parsed.pairs {
            guard let parameter: QueryParameter = self.route.query.first(where: { $0.name == pair.name }) else {
                errors.append(InvalidField("query:\(pair.name.prefix(64))", self.expectedParameters))
                continue
            }
            if values[pair.name] != nil { errors.append(InvalidField("query:\(pair.name)", "expected it once")) }
            if let expected: String = parameter.kind.problem(with: pair.value) {
                errors.append(InvalidField("query:\(pair.name)", expected))
            }
            values[pair.name] = pair.value
        }
        for parameter in self.route.query where parameter.isRequired && values[parameter.name] == nil {
            errors.append(InvalidField("query:\(parameter.name)", "required"))
        }
        guard errors.isEmpty else {
            throw APIProblem(.invalidRequest, "The request has invalid query parameters.", errors: errors)
        }
        return values
    }

    private var expectedParameters: String {
        if self.route.query.isEmpty { return "unknown: this operation takes no query parameters" }
        return "unknown: expected one of \(self.route.query.map(\.name).joined(separator: ", "))"
    }

    /// The body: validated JSON, or the bytes of a route that takes them.
    func body(of request: HTTPRequest) async throws -> (JSONValue, [UInt8]) {
        switch self.route.body {
        case .none:
            let bytes: [UInt8] = try await request.body.collect(max: RESTHandler.unwantedBytesMax)
            guard bytes.isEmpty else { throw APIProblem.invalid("", "expected no body") }
            return (.null, [])
        case .bytes(let mediaTypes, let bytesMax):
            try Self.requireMediaType(request, oneOf: mediaTypes)
            return (.null, try await request.body.collect(max: bytesMax))
        case .json(_, let bytesMax):
            try Self.requireMediaType(request, oneOf: ["application/json"])
            return (try self.validated(try await request.body.collect(max: bytesMax)), [])
        }
    }

    private func validated(_ bytes: [UInt8]) throws(APIProblem) -> JSONValue {
        let value: JSONValue
        do {
            value = try JSONReader.parse(bytes)
        } catch {
            throw APIProblem(
                .invalidRequest, "The body is not JSON: line \(error.line), column \(error.column): \(error.message).")
        }
        let problems: [SchemaProblem] = self.schema?.validate(value) ?? []
        guard problems.isEmpty else {
            throw APIProblem(
                .invalidRequest, "The body has \(problems.count) invalid field\(problems.count == 1 ? "" : "s").",
                errors: problems.map { InvalidField($0.pointer, $0.message) })
        }
        return value
    }

    private static func requireMediaType(_ request: HTTPRequest, oneOf types: [String]) throws(APIProblem) {
        let sent: String = request.fields["Content-Type"] ?? ""
        var name: Substring = sent.split(separator: ";").first ?? ""
        while name.last == " " { name = name.dropLast() }
        let lower: String = name.lowercased()
        if types.contains(lower) { return }
        throw APIProblem(
            .unsupportedMediaType,
            "Content-Type is '\(sent.prefix(100))'; expected \(types.joined(separator: " or ")).")
    }
}

extension QueryParameter.Kind {
    /// What was expected, when `value` is not of this kind.
    fileprivate func problem(with value: String) -> String? {
        switch self {
        case .text(let lengthMax):
            return value.utf8.count <= lengthMax ? nil : "expected at most \(lengthMax) bytes"
        case .integer(let range):
            if let number: Int64 = Int64(value), range.contains(number) { return nil }
            return "expected a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .number(let range):
            if let number: Double = Double(value), range.contains(number) { return nil }
            return "expected a number from \(range.lowerBound) to \(range.upperBound)"
        case .boolean:
            return value == "true" || value == "false" ? nil : "expected true or false"
        case .oneOf(let choices):
            return choices.contains(value) ? nil : "expected one of \(choices.joined(separator: ", "))"
        }
    }

    /// The parameter's JSON Schema for `/openapi.json`.
    var schema: JSONValue {
        switch self {
        case .text(let lengthMax): Schema.text(max: lengthMax)
        case .integer(let range): Schema.integer(range)
        case .number(let range): Schema.number(range)
        case .boolean: Schema.boolean
        case .oneOf(let choices): Schema.choice(choices)
        }
    }
}
