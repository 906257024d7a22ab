import Documents
import JSON
import Patterns

/// `rewrite`: another path goes upstream than the client's.
package struct RewritePolicy: Sendable, Equatable {
    package enum Rule: Sendable, Equatable {
        /// The whole path: `/internal/{id}`.
        case path(TextTemplate)
        /// What an expression finds in the path (without the API's prefix) is replaced; `$1` stands for a group.
        case regex(TextExpression, replacement: String, all: Bool)
    }

    package var rule: Rule

    package init(_ rule: Rule) { self.rule = rule }
}

extension RewritePolicy {
    static func read(_ decoder: NodeDecoder) -> RewritePolicy? {
        guard let fields: NodeFields = decoder.fields(["path", "regex", "replace", "all"]) else { return nil }
        if let path: NodeDecoder = fields["path"] {
            for other in ["regex", "replace", "all"] { fields[other]?.problem("expected it only without 'path'") }
            return path.pathTemplate().map { RewritePolicy(.path($0)) }
        }
        let all: Bool? = fields.boolean("all", default: false)
        let expression: TextExpression? = fields.required("regex")?.pattern {
            (text: String) throws(PatternError) -> TextExpression in try TextExpression(parsing: text, scope: .anywhere)
        }
        let replacement: String? = fields.required("replace")?.string(length: 0...TextTemplate.lengthMax)
        guard let all, let expression, let replacement else { return nil }
        do throws(PatternSyntaxError) {
            _ = try PatternReplacement(replacement, for: expression.expression)
        } catch {
            fields["replace"]?.problem("\(error)")
            return nil
        }
        return RewritePolicy(.regex(expression, replacement: replacement, all: all))
    }

    func write(_ body: inout DefinitionWriter) {
        switch self.rule {
        case .path(let template): body.set("path", .string(template.source))
        case .regex(let expression, let replacement, let all):
            body.set("regex", .string(expression.source))
            body.set("replace", .string(replacement))
            if all { body.set("all", true) }
        }
    }
}

/// `redirect`: the gateway sends the client elsewhere, and nothing goes upstream.
package struct RedirectPolicy: Sendable, Equatable {
    /// A path or an absolute URL: `https://new.example{path}`.
    package var target: TextTemplate
    /// 301, 302, 303, 307 or 308. Default 308.
    package var status: Int
    /// Whether the client's query goes along when the target has none. Default true.
    package var keepsQuery: Bool

    package init(target: TextTemplate, status: Int = 308, keepsQuery: Bool = true) {
        self.target = target
        self.status = status
        self.keepsQuery = keepsQuery
    }
}

extension RedirectPolicy {
    static func read(_ decoder: NodeDecoder) -> RedirectPolicy? {
        guard let fields: NodeFields = decoder.fields(["to", "status", "keep_query"]) else { return nil }
        let target: TextTemplate? = fields.required("to")?.template()
        let status: Int? = fields.value("status", default: 308) { element in
            let status: Int? = element.integer(in: 301...308)
            if let status, ![301, 302, 303, 307, 308].contains(status) {
                element.problem("expected 301, 302, 303, 307 or 308")
                return nil
            }
            return status
        }
        let keepsQuery: Bool? = fields.boolean("keep_query", default: true)
        guard let target, let status, let keepsQuery else { return nil }
        // A client that chose the beginning of the target could send others anywhere.
        if case .text(let start)? = target.parts.first, Self.isAddress(start, next: target.parts.dropFirst().first) {
            return RedirectPolicy(target: target, status: status, keepsQuery: keepsQuery)
        }
        fields["to"]?.problem("expected a path such as '/new/{id}' or a URL such as 'https://new.example/{id}'")
        return nil
    }

    /// One slash and a path, or a scheme and a whole host.
    private static func isAddress(_ start: String, next: TextTemplate.Part?) -> Bool {
        if start.hasPrefix("/") { return !start.hasPrefix("//") && !start.hasPrefix("/\\") }
        for scheme in ["https://", "http://"] where start.hasPrefix(scheme) {
            let rest: Substring = start.dropFirst(scheme.count)
            guard let slash: Substring.Index = rest.firstIndex(of: "/") else {
                // Only the path, which begins with a slash, may follow a host: anything else could make it another host.
                return !rest.isEmpty && (next == nil || next == .value(.property(.path)))
            }
            return slash > rest.startIndex
        }
        return false
    }

    func write(_ body: inout DefinitionWriter) {
        body.set("to", .string(self.target.source))
        body.set("status", self.status, unless: 308)
        if !self.keepsQuery { body.set("keep_query", false) }
    }
}

extension NodeDecoder {
    func template() -> TextTemplate? {
        self.pattern { (text: String) throws(PatternError) -> TextTemplate in try TextTemplate(parsing: text) }
    }

    /// A template that begins with a slash.
    func pathTemplate() -> TextTemplate? {
        guard let template: TextTemplate = self.template() else { return nil }
        if case .text(let start)? = template.parts.first, start.hasPrefix("/") { return template }
        self.problem("expected a path that starts with '/'")
        return nil
    }
}
