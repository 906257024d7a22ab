import GatewayConfiguration
import HTTP
import JSON
import Patterns

/// Where a value goes: what has to be encoded for it.
enum TemplateUse {
    case path
    case query
    /// A header field's value.
    case field
    /// A string in a JSON body.
    case json
}

/// Fills templates with the values of one request. Made when the first template is filled.
struct TemplateScope {
    private let context: PolicyContext
    private let request: RequestView
    private let parameters: [String: String]
    private let rest: String

    init(_ context: PolicyContext) {
        self.context = context
        self.request = context.request
        let path: String = String(decoding: context.request.path, as: UTF8.self)
        (self.parameters, self.rest) = PathParameters.read(path, context.compiledRoute.forms)
    }

    /// The text; nil when a value it asks for is not there.
    func text(_ template: TextTemplate, for use: TemplateUse) -> String? {
        var text: String = ""
        for part in template.parts {
            switch part {
            case .text(let literal): text += literal
            case .value(let source):
                guard let value: String = self.value(source, for: use) else { return nil }
                text += value
            }
        }
        return use == .field ? FieldBytes.value(text) : text
    }

    /// The same with nothing in place of what is not there.
    func lenientText(_ template: TextTemplate, for use: TemplateUse) -> String {
        var text: String = ""
        for part in template.parts {
            switch part {
            case .text(let literal): text += literal
            case .value(let source): text += self.value(source, for: use) ?? ""
            }
        }
        return text
    }

    /// A claim as it is in the token, when the template is that and nothing else.
    func claim(_ template: TextTemplate) -> JSONValue? {
        guard template.parts.count == 1, case .value(.claim(let path)) = template.parts[0] else { return nil }
        return self.claim(path)
    }

    private func claim(_ path: [String]) -> JSONValue? {
        guard let claims: JSONValue = self.context.claims else { return nil }
        return JSONPointer(tokens: path).resolve(in: claims)
    }

    private func value(_ source: TextTemplate.Source, for use: TemplateUse) -> String? {
        switch source {
        // Paths come in normal form, so what stands in one may stand in another as it is.
        case .parameter(let name):
            guard let value: String = self.parameters[name] else { return nil }
            return use == .path ? value : self.encoded(PercentText.decoded(value), for: use)
        case .rest: return use == .path ? self.rest : self.encoded(PercentText.decoded(self.rest), for: use)
        case .property(.path):
            let path: String = String(decoding: self.request.path, as: UTF8.self)
            return use == .path || use == .field ? path : self.encoded(path, for: use)
        case .header(let name): return self.request.fields.text(named: name).map { self.encoded($0, for: use) }
        case .query(let name): return self.queryValue(name).map { self.encoded($0, for: use) }
        case .cookie(let name):
            return CookieText.value(name, in: self.request.fields.texts(named: "cookie")).map {
                self.encoded($0, for: use)
            }
        case .claim(let path): return self.claim(path).map { self.encoded($0.text ?? $0.jsonText, for: use) }
        case .property(let property): return self.property(property).map { self.encoded($0, for: use) }
        }
    }

    private func queryValue(_ name: String) -> String? {
        for pair in QueryText.pairs(String(decoding: self.request.query, as: UTF8.self)) where pair.name == name {
            return pair.value
        }
        return nil
    }

    private func property(_ property: TextTemplate.Property) -> String? {
        switch property {
        case .subject: return self.context.subject
        case .application:
            let index: Int = Int(self.context.caller.application)
            return index < 0 ? nil : self.context.snapshot.applications[index].id
        case .tenant: return self.context.api.key.tenant
        case .api: return self.context.api.key.id
        case .route: return self.context.compiledRoute.id
        case .method: return "\(self.request.method.name)"
        case .scheme: return self.context.isSecure ? "https" : "http"
        case .host: return String(decoding: self.request.host, as: UTF8.self)
        case .path: return String(decoding: self.request.path, as: UTF8.self)
        case .query: return String(decoding: self.request.query, as: UTF8.self)
        case .remote: return self.request.remote.text
        }
    }

    private func encoded(_ text: String, for use: TemplateUse) -> String {
        use == .path || use == .query ? PercentText.encoded(text) : text
    }
}

/// The values of a path's parameters.
enum PathParameters {
    /// Values as they stand in the path, and what follows a prefix; of the first form that fits.
    static func read(_ path: String, _ forms: [RouteDefinition]) -> (values: [String: String], rest: String) {
        for form in forms {
            if let expression: TextExpression = form.path.expression {
                if let values: [String: String] = self.groups(expression.expression, path) { return (values, "") }
                continue
            }
            if let found: (values: [String: String], rest: String) = self.segments(form.path, path) { return found }
        }
        return ([:], "")
    }

    private static func segments(_ pattern: PathPattern, _ path: String) -> (values: [String: String], rest: String)? {
        let found: [Substring] = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        guard found.count >= pattern.segments.count else { return nil }
        var values: [String: String] = [:]
        for (segment, text) in zip(pattern.segments, found) {
            switch segment {
            case .literal(let literal): if literal != text { return nil }
            case .parameter(let name): values[name] = String(text)
            case .pattern(let pattern):
                guard let own: [(name: String, value: String)] = pattern.values(in: Array(text.utf8)) else {
                    return nil
                }
                for (name, value) in own { values[name] = value }
            }
        }
        let rest: ArraySlice<Substring> = found[pattern.segments.count...]
        if pattern.kind != .prefix && !rest.isEmpty { return nil }
        return (values, rest.joined(separator: "/"))
    }

    private static func groups(_ expression: RegularExpression, _ path: String) -> [String: String]? {
        let bytes: [UInt8] = Array(path.utf8)
        guard let match: PatternMatch = try? expression.firstMatch(in: bytes) else { return nil }
        var values: [String: String] = [:]
        for (number, range) in match.groups.enumerated() {
            if let range: Range<Int> { values["\(number)"] = String(decoding: bytes[range], as: UTF8.self) }
        }
        for (name, number) in expression.groupNames { values[name] = values["\(number)"] }
        return values
    }
}
