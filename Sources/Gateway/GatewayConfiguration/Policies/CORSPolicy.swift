package import Documents
import JSON
import Patterns

/// `cors`: which pages of other origins may read answers (the Fetch standard's CORS protocol).
package struct CORSPolicy: Sendable, Equatable {
    /// Whose pages may.
    package enum Origin: Sendable, Equatable {
        /// This origin, such as `https://app.example`.
        case exact(String)
        /// Every host below a name, with its scheme and port: `https://*.app.example`.
        case below(scheme: String, suffix: String)
        /// Origins that the expression matches as a whole.
        case regex(TextExpression)
    }

    /// Nil: any origin (`"*"`).
    package var origins: [Origin]?
    /// Methods a preflight grants, upper case. Default: GET, HEAD, POST, PUT, PATCH, DELETE.
    package var methods: [String]
    /// Fields a preflight grants, lower case; nil: whatever is asked for (`"*"`). Default: nil.
    package var headers: [String]?
    /// Fields of an answer that pages may read, lower case. Default: none.
    package var exposed: [String]
    /// Whether cookies and other credentials may be sent. Not with any origin. Default false.
    package var allowsCredentials: Bool
    /// How long a preflight is remembered, 0 s to 24 h. Default 10 min.
    package var maxAge: Duration
    /// Whether pages of public networks may reach this one in a private network. Default false.
    package var allowsPrivateNetwork: Bool

    package init(
        origins: [Origin]?, methods: [String] = CORSPolicy.methodsDefault, headers: [String]? = nil,
        exposed: [String] = [], allowsCredentials: Bool = false, maxAge: Duration = .seconds(600),
        allowsPrivateNetwork: Bool = false
    ) {
        self.origins = origins
        self.methods = methods
        self.headers = headers
        self.exposed = exposed
        self.allowsCredentials = allowsCredentials
        self.maxAge = maxAge
        self.allowsPrivateNetwork = allowsPrivateNetwork
    }

    package static let methodsDefault: [String] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    /// Origins, methods and fields in one list at most.
    package static let listMax: Int = 128
}

extension CORSPolicy {
    package static func read(_ decoder: NodeDecoder) -> CORSPolicy? {
        let known: [String] = [
            "origins", "methods", "headers", "expose", "credentials", "max_age", "private_network",
        ]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        var origins: [Origin]??
        if let element: NodeDecoder = fields.required("origins") {
            if element.node.text == "*" {
                origins = .some(nil)
            } else {
                origins = element.list(count: 1...self.listMax) { Origin.read($0) }.map { .some($0) }
            }
        }
        let methods: [String]? = fields.value("methods", default: self.methodsDefault) { element in
            element.list(count: 1...self.listMax) { $0.parsed("a method such as GET") { Self.method($0) } }
        }
        let headers: [String]?? =
            fields["headers"].map { element in
                element.node.text == "*" ? .some(nil) : self.names(element).map { .some($0) }
            } ?? .some(nil)
        let exposed: [String]? = fields.value("expose", default: []) { self.names($0) }
        let credentials: Bool? = fields.boolean("credentials", default: false)
        let maxAge: Duration? = fields.duration("max_age", default: .seconds(600), in: .zero ... .seconds(86_400))
        let privateNetwork: Bool? = fields.boolean("private_network", default: false)
        guard let origins, let methods, let headers, let exposed, let credentials, let maxAge, let privateNetwork else {
            return nil
        }
        if credentials && origins == nil {
            // The standard forbids it; echoing every origin instead would open the API to every page.
            fields["credentials"]?.problem("expected named origins where credentials are allowed, not \"*\"")
            return nil
        }
        return CORSPolicy(
            origins: origins, methods: methods, headers: headers, exposed: exposed, allowsCredentials: credentials,
            maxAge: maxAge, allowsPrivateNetwork: privateNetwork)
    }

    private static func method(_ text: String) -> String? {
        HeaderRules.name(text) != nil && text == text.uppercased() ? text : nil
    }

    private static func names(_ decoder: NodeDecoder) -> [String]? {
        decoder.list(count: 0...self.listMax) { $0.fieldName() }
    }

    func write(_ body: inout DefinitionWriter) {
        if let origins: [Origin] = self.origins {
            body.set("origins", .array(origins.map { $0.json() }))
        } else {
            body.set("origins", "*")
        }
        if self.methods != Self.methodsDefault { body.set("methods", list: self.methods.map { .string($0) }) }
        if let headers: [String] = self.headers { body.set("headers", .array(headers.map { .string($0) })) }
        body.set("expose", list: self.exposed.map { .string($0) })
        if self.allowsCredentials { body.set("credentials", true) }
        body.set("max_age", self.maxAge, unless: .seconds(600))
        if self.allowsPrivateNetwork { body.set("private_network", true) }
    }
}

extension CORSPolicy.Origin {
    static func read(_ decoder: NodeDecoder) -> CORSPolicy.Origin? {
        if decoder.node.members != nil {
            return decoder.fields(["regex"])?.required("regex")?.expression().map { .regex($0) }
        }
        return decoder.parsed("an origin such as https://app.example or https://*.app.example:8443, or {regex: …}") {
            self.parse($0)
        }
    }

    /// A scheme, a host and perhaps a port, nothing else; in lower case.
    private static func parse(_ text: String) -> CORSPolicy.Origin? {
        if text == "null" { return .exact(text) }
        let lower: String = text.lowercased()
        guard let end: Range<String.Index> = Self.range(of: "://", in: lower) else { return nil }
        let scheme: String = String(lower[..<end.lowerBound])
        var host: Substring = lower[end.upperBound...]
        guard !scheme.isEmpty, scheme.utf8.allSatisfy({ EntryRules.isAlphanumeric($0) || $0 == 0x2b || $0 == 0x2d })
        else {
            return nil
        }
        var port: Substring = ""
        if let colon: String.Index = host.lastIndex(of: ":"), !host.hasSuffix("]") {
            port = host[host.index(after: colon)...]
            guard UInt16(port) != nil else { return nil }
            host = host[..<colon]
        }
        guard let pattern: HostPattern = try? HostPattern(parsing: String(host)) else { return nil }
        let tail: String = pattern.name + (port.isEmpty ? "" : ":\(port)")
        return pattern.isWildcard ? .below(scheme: scheme, suffix: "." + tail) : .exact("\(scheme)://\(tail)")
    }

    private static func range(of mark: String, in text: String) -> Range<String.Index>? {
        var start: String.Index = text.startIndex
        while start < text.endIndex {
            if text[start...].hasPrefix(mark) { return start..<text.index(start, offsetBy: mark.count) }
            start = text.index(after: start)
        }
        return nil
    }

    func json() -> JSONValue {
        switch self {
        case .exact(let text): return .string(text)
        case .below(let scheme, let suffix): return .string("\(scheme)://*\(suffix)")
        case .regex(let expression): return ["regex": .string(expression.source)]
        }
    }

    /// Whether an `Origin` is this one; compared as browsers send it, in lower case.
    package func matches(_ origin: String) -> Bool {
        switch self {
        case .exact(let text): return origin == text
        case .below(let scheme, let suffix):
            let start: String = scheme + "://"
            guard origin.hasPrefix(start), origin.hasSuffix(suffix),
                origin.utf8.count > start.utf8.count + suffix.utf8.count
            else { return false }
            // Nothing but a host name may stand there: no user, no other port or path.
            return origin.utf8.dropFirst(start.utf8.count).dropLast(suffix.utf8.count).allSatisfy {
                EntryRules.isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".")
                    || $0 == UInt8(ascii: "_")
            }
        case .regex(let expression): return (try? expression.expression.matches(origin)) == true
        }
    }
}
