import GatewayConfiguration
import JSON
import JSONSchema

/// Why a text is no value of its parameter.
struct UnreadableValue: Error {
    let detail: String
}

/// Reads parameters as OpenAPI writes them (3.1.1, 4.8.12) and checks their values. Delimiters count also where they were sent
/// percent-encoded: many clients do that.
struct ParameterReader {
    let schemas: SchemaSet

    /// Checks the texts a parameter was sent with; none: it is not there.
    func check(_ parameter: ValidatedParameter, _ texts: [String]) -> [MessageFinding] {
        guard !texts.isEmpty else { return self.absent(parameter) }
        guard let schema: Int = parameter.schema else { return [] }
        do throws(UnreadableValue) {
            let value: JSONValue = try self.value(parameter, texts)
            return self.findings(parameter, self.schemas.validate(value, with: schema))
        } catch {
            return [self.finding(parameter, "", error.detail)]
        }
    }

    /// Checks an object whose members are parameters of their own.
    func check(_ parameter: ValidatedParameter, members pairs: [(key: String, value: String)]) -> [MessageFinding] {
        guard let schema: Int = parameter.schema, !pairs.isEmpty else { return self.absent(parameter) }
        return self.findings(parameter, self.schemas.validate(self.object(parameter, pairs), with: schema))
    }

    /// Whether its members are parameters of their own: `?a=1&b=2` or `?name[a]=1`.
    func hasOwnMembers(_ parameter: ValidatedParameter) -> Bool {
        if parameter.style == .deepObject { return true }
        guard parameter.style == .form, parameter.explodes, !parameter.isJSON, let schema: Int = parameter.schema else {
            return false
        }
        return self.schemas.kinds(of: schema) == .object
    }

    /// The value that a parameter with a schema was sent with, in one text or more.
    func value(_ parameter: ValidatedParameter, _ texts: [String]) throws(UnreadableValue) -> JSONValue {
        guard let schema: Int = parameter.schema, let first: String = texts.first else { return .null }
        if parameter.isJSON { return try Self.json(first) }
        let kinds: SchemaKinds = self.schemas.kinds(of: schema)
        if kinds == .array {
            return self.array(parameter, try self.plain(parameter, texts, kinds))
        }
        if kinds == .object, parameter.style.isOneText || !parameter.explodes {
            return self.object(
                parameter, self.pieces(parameter, try self.plain(parameter, [first], kinds).joined()))
        }
        guard texts.count == 1 || parameter.place == .header else {
            throw UnreadableValue(detail: "expected the parameter only once")
        }
        let text: String = try self.plain(parameter, texts, kinds).joined(separator: ", ")
        return self.scalar(text, schema, kinds)
    }

    private func absent(_ parameter: ValidatedParameter) -> [MessageFinding] {
        parameter.isRequired ? [self.finding(parameter, "", "expected this \(parameter.place.word)")] : []
    }

    static func json(_ text: String) throws(UnreadableValue) -> JSONValue {
        guard let value: JSONValue = try? JSONReader.parse(text) else {
            throw UnreadableValue(detail: "expected a JSON text")
        }
        return value
    }

    private func scalar(_ text: String, _ schema: Int, _ kinds: SchemaKinds) -> JSONValue {
        let value: JSONValue = Self.value(text, kinds)
        // A schema that takes both may mean the text.
        if value.text == nil, kinds.contains(.string), !self.schemas.validate(value, with: schema).isEmpty,
            self.schemas.validate(.string(text), with: schema).isEmpty
        {
            return .string(text)
        }
        return value
    }

    // MARK: Styles

    /// The texts without what `label` and `matrix` put in front: `.3.4`, `;id=3,4`, `;id=3;id=4`.
    private func plain(
        _ parameter: ValidatedParameter, _ texts: [String], _ kinds: SchemaKinds
    ) throws(UnreadableValue) -> [String] {
        guard parameter.style == .label || parameter.style == .matrix, let text: String = texts.first else {
            return texts
        }
        if parameter.style == .label {
            guard text.hasPrefix(".") else { throw UnreadableValue(detail: "expected a point in front (style label)") }
            return [String(text.dropFirst())]
        }
        guard text.hasPrefix(";") else {
            throw UnreadableValue(detail: "expected ;\(parameter.name)= in front (style matrix)")
        }
        let rest: Substring = text.dropFirst()
        // The members of an object stand behind their own names, the elements of an array each behind the parameter's.
        if parameter.explodes, kinds == .object { return [String(rest)] }
        let hasParts: Bool = parameter.explodes && kinds == .array
        var values: [String] = []
        for part in hasParts ? rest.split(separator: ";", omittingEmptySubsequences: false) : [rest] {
            let pair: [Substring] = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair[0] == parameter.name else {
                throw UnreadableValue(detail: "expected ;\(parameter.name)= in front (style matrix)")
            }
            values.append(pair.count > 1 ? String(pair[1]) : "")
        }
        return values
    }

    private func array(_ parameter: ValidatedParameter, _ texts: [String]) -> JSONValue {
        var pieces: [String] = []
        if parameter.explodes, parameter.style != .simple, parameter.style != .label {
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
        case .label: separator = parameter.explodes ? "." : ","
        case .matrix: separator = parameter.explodes ? ";" : ","
        case .simple, .form, .deepObject: separator = ","
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

    func object(_ parameter: ValidatedParameter, _ pairs: [(key: String, value: String)]) -> JSONValue {
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

extension ValidatedParameter.Style {
    /// A whole object or array is always one text.
    fileprivate var isOneText: Bool { self == .simple || self == .label || self == .matrix }
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
