import GatewayConfiguration
import JSON
import JSONSchema

/// Reads parameters as OpenAPI writes them and checks their values.
struct ParameterReader {
    let plan: ValidationPlan
    let schemas: SchemaSet

    /// Checks the texts a parameter was sent with; none: it is not there.
    func check(_ parameter: ValidatedParameter, _ texts: [String]) -> [MessageFinding] {
        guard let first: String = texts.first else { return self.absent(parameter) }
        guard let schema: Int = parameter.schema else { return [] }
        if parameter.isJSON {
            guard let value: JSONValue = try? JSONReader.parse(first) else {
                return [self.finding(parameter, "", "expected a JSON text")]
            }
            return self.findings(parameter, self.schemas.validate(value, with: schema))
        }
        let kinds: SchemaKinds = self.schemas.kinds(of: schema)
        if kinds == .array { return self.judge(parameter, self.array(parameter, texts), schema) }
        if kinds == .object, parameter.style == .simple || !parameter.explodes {
            return self.judge(parameter, self.object(parameter, self.pieces(parameter, first)), schema)
        }
        guard texts.count == 1 || parameter.place == .header else {
            return [self.finding(parameter, "", "expected the parameter only once")]
        }
        return self.scalar(parameter, texts.joined(separator: ", "), schema, kinds)
    }

    /// Checks an object whose members are parameters of their own.
    func check(_ parameter: ValidatedParameter, members pairs: [(key: String, value: String)]) -> [MessageFinding] {
        guard let schema: Int = parameter.schema, !pairs.isEmpty else { return self.absent(parameter) }
        return self.judge(parameter, self.object(parameter, pairs), schema)
    }

    /// Whether its members are parameters of their own: `?a=1&b=2` or `?name[a]=1`.
    func hasOwnMembers(_ parameter: ValidatedParameter) -> Bool {
        if parameter.style == .deepObject { return true }
        guard parameter.style == .form, parameter.explodes, !parameter.isJSON, let schema: Int = parameter.schema else {
            return false
        }
        return self.schemas.kinds(of: schema) == .object
    }

    private func absent(_ parameter: ValidatedParameter) -> [MessageFinding] {
        parameter.isRequired ? [self.finding(parameter, "", "expected this \(parameter.place.word)")] : []
    }

    private func scalar(
        _ parameter: ValidatedParameter, _ text: String, _ schema: Int, _ kinds: SchemaKinds
    ) -> [MessageFinding] {
        let value: JSONValue = Self.value(text, kinds)
        let problems: [SchemaProblem] = self.schemas.validate(value, with: schema)
        if problems.isEmpty { return [] }
        // A schema that takes both may mean the text.
        if value.text == nil, kinds.contains(.string), self.schemas.validate(.string(text), with: schema).isEmpty {
            return []
        }
        return self.findings(parameter, problems)
    }

    private func judge(_ parameter: ValidatedParameter, _ value: JSONValue, _ schema: Int) -> [MessageFinding] {
        self.findings(parameter, self.schemas.validate(value, with: schema))
    }

    private func array(_ parameter: ValidatedParameter, _ texts: [String]) -> JSONValue {
        var pieces: [String] = []
        if parameter.style != .simple, parameter.explodes {
            pieces = texts
        } else {
            for text in texts { pieces.append(contentsOf: self.split(parameter, text)) }
        }
        let kinds: SchemaKinds = parameter.items.map { self.schemas.kinds(of: $0) } ?? .string
        return .array(pieces.map { Self.value($0, kinds) })
    }

    private func split(_ parameter: ValidatedParameter, _ text: String) -> [String] {
        let separator: Character
        switch parameter.style {
        case .spaceDelimited: separator = " "
        case .pipeDelimited: separator = "|"
        default: separator = ","
        }
        if text.isEmpty { return [] }
        return text.split(separator: separator, omittingEmptySubsequences: false).map { (piece: Substring) -> String in
            parameter.place == .header ? String(piece.drop { $0 == " " }) : String(piece)
        }
    }

    /// `a,1,b,2`, or `a=1,b=2`.
    private func pieces(_ parameter: ValidatedParameter, _ text: String) -> [(key: String, value: String)] {
        let pieces: [String] = self.split(parameter, text)
        var pairs: [(key: String, value: String)] = []
        if parameter.explodes {
            for piece in pieces {
                let parts: [Substring] = piece.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                pairs.append((String(parts[0]), parts.count > 1 ? String(parts[1]) : ""))
            }
        } else {
            var index: Int = 0
            while index < pieces.count {
                pairs.append((pieces[index], index + 1 < pieces.count ? pieces[index + 1] : ""))
                index += 2
            }
        }
        return pairs
    }

    private func object(_ parameter: ValidatedParameter, _ pairs: [(key: String, value: String)]) -> JSONValue {
        var object: JSONObject = JSONObject()
        for (key, text) in pairs {
            let kinds: SchemaKinds = parameter.members[key].map { self.schemas.kinds(of: $0) } ?? .string
            object[key] = Self.value(text, kinds)
        }
        return .object(object)
    }

    /// The value a text means where these kinds are allowed.
    static func value(_ text: String, _ kinds: SchemaKinds) -> JSONValue {
        if kinds == .string { return .string(text) }
        if kinds.contains(.boolean), text == "true" || text == "false" { return .bool(text == "true") }
        if kinds.contains(.null), text == "null" || text.isEmpty && !kinds.contains(.string) { return .null }
        if kinds.contains(.number) || kinds.contains(.integer), let first: UInt8 = text.utf8.first,
            first == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first),
            text.utf8.count <= self.numberBytesMax, let value: JSONValue = try? JSONReader.parse(text)
        {
            return value
        }
        return .string(text)
    }

    /// Longer numbers are texts.
    private static let numberBytesMax: Int = 64

    private func findings(_ parameter: ValidatedParameter, _ problems: [SchemaProblem]) -> [MessageFinding] {
        problems.map { self.finding(parameter, $0.pointer, $0.message) }
    }

    private func finding(_ parameter: ValidatedParameter, _ pointer: String, _ detail: String) -> MessageFinding {
        MessageFinding(place: parameter.place.rawValue, name: parameter.name, pointer: pointer, detail: detail)
    }
}

extension ValidatedParameter.Place {
    fileprivate var word: String {
        switch self {
        case .path, .query: return "parameter"
        case .header: return "header field"
        case .cookie: return "cookie"
        }
    }
}
