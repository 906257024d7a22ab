import Documents
import JSON

/// `security_headers`: fields that tell browsers to be careful with answers.
package struct SecurityHeadersPolicy: Sendable, Equatable {
    /// `Strict-Transport-Security` (RFC 6797), on encrypted connections only; nil: not sent.
    package struct TransportSecurity: Sendable, Equatable {
        /// Default 365 d, up to 3650 d.
        package var maxAge: Duration
        package var includesSubdomains: Bool
        package var preload: Bool

        package init(maxAge: Duration = .seconds(365 * 86_400), includesSubdomains: Bool = true, preload: Bool = false)
        {
            self.maxAge = maxAge
            self.includesSubdomains = includesSubdomains
            self.preload = preload
        }
    }

    package var transportSecurity: TransportSecurity?
    /// Fields with their values, lower-case names, in the order they are sent.
    package var fields: [HeaderField]
    /// Fields of the upstream that are taken out, lower case. Default: `server`, `x-powered-by`.
    package var hidden: [String]
    /// Leave fields that the upstream sets itself. Default false: these win.
    package var keepsUpstream: Bool

    package init(
        transportSecurity: TransportSecurity? = TransportSecurity(),
        fields: [HeaderField] = SecurityHeadersPolicy.fieldsDefault,
        hidden: [String] = SecurityHeadersPolicy.hiddenDefault, keepsUpstream: Bool = false
    ) {
        self.transportSecurity = transportSecurity
        self.fields = fields
        self.hidden = hidden
        self.keepsUpstream = keepsUpstream
    }

    package static let hiddenDefault: [String] = ["server", "x-powered-by"]
    package static let fieldsDefault: [HeaderField] = [
        HeaderField(name: "x-content-type-options", value: "nosniff"),
        HeaderField(name: "x-frame-options", value: "DENY"),
        HeaderField(name: "referrer-policy", value: "no-referrer"),
    ]

    /// Names in a document, the field each stands for, and its default; nil: not sent.
    static let names: [(key: String, field: String, absent: String?)] = [
        ("content_type_options", "x-content-type-options", "nosniff"), ("frame_options", "x-frame-options", "DENY"),
        ("referrer_policy", "referrer-policy", "no-referrer"),
        ("content_security_policy", "content-security-policy", nil), ("permissions_policy", "permissions-policy", nil),
        ("cross_origin_opener_policy", "cross-origin-opener-policy", nil),
        ("cross_origin_embedder_policy", "cross-origin-embedder-policy", nil),
        ("cross_origin_resource_policy", "cross-origin-resource-policy", nil),
    ]
}

extension SecurityHeadersPolicy {
    static func read(_ decoder: NodeDecoder) -> SecurityHeadersPolicy? {
        let known: [String] = ["transport_security", "hide", "keep_upstream"] + self.names.map(\.key)
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        var transport: TransportSecurity?? = .some(TransportSecurity())
        if let element: NodeDecoder = fields["transport_security"] {
            if element.node.text == "off" || element.node.isFalse {
                transport = .some(nil)
            } else {
                transport = TransportSecurity.read(element).map { .some($0) }
            }
        }
        let values: [HeaderField]? = self.values(fields)
        let hidden: [String]? = fields.value("hide", default: self.hiddenDefault) { element in
            element.list(count: 0...HeaderPolicy.fieldsMax) { name in
                guard let field: String = name.fieldName() else { return nil }
                if HeaderRules.isReserved(field) {
                    name.problem("expected a field that does not frame or route a message")
                }
                return field
            }
        }
        let keeps: Bool? = fields.boolean("keep_upstream", default: false)
        guard let transport, let values, let hidden, let keeps else { return nil }
        return SecurityHeadersPolicy(transportSecurity: transport, fields: values, hidden: hidden, keepsUpstream: keeps)
    }

    /// `off` leaves a field out.
    private static func values(_ fields: NodeFields) -> [HeaderField]? {
        var values: [HeaderField] = []
        var isGood: Bool = true
        for (key, name, absent) in self.names {
            guard let element: NodeDecoder = fields[key] else {
                if let absent { values.append(HeaderField(name: name, value: absent)) }
                continue
            }
            if element.node.text == "off" || element.node.isFalse { continue }
            let value: String? = element.string { text in
                text.isEmpty
                    ? "a value, or off" : HeaderRules.problem(value: text).map { _ in "a header field's value" }
            }
            if let value { values.append(HeaderField(name: name, value: value)) } else { isGood = false }
        }
        return isGood ? values : nil
    }

    func write(_ body: inout DefinitionWriter) {
        if let transport: TransportSecurity = self.transportSecurity {
            if transport != TransportSecurity() { body.set("transport_security", transport.json()) }
        } else {
            body.set("transport_security", "off")
        }
        for (key, name, absent) in Self.names {
            let value: String? = self.fields.first { $0.name == name }?.value
            if value != absent { body.set(key, .string(value ?? "off")) }
        }
        if self.hidden != Self.hiddenDefault { body.set("hide", .array(self.hidden.map { .string($0) })) }
        if self.keepsUpstream { body.set("keep_upstream", true) }
    }
}

extension SecurityHeadersPolicy.TransportSecurity {
    static func read(_ decoder: NodeDecoder) -> SecurityHeadersPolicy.TransportSecurity? {
        guard let fields: NodeFields = decoder.fields(["max_age", "include_subdomains", "preload"]) else { return nil }
        let maxAge: Duration? = fields.duration(
            "max_age", default: .seconds(365 * 86_400), in: .zero ... .seconds(3650 * 86_400))
        let subdomains: Bool? = fields.boolean("include_subdomains", default: true)
        let preload: Bool? = fields.boolean("preload", default: false)
        guard let maxAge, let subdomains, let preload else { return nil }
        return SecurityHeadersPolicy.TransportSecurity(
            maxAge: maxAge, includesSubdomains: subdomains, preload: preload)
    }

    func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("max_age", self.maxAge, unless: .seconds(365 * 86_400))
        if !self.includesSubdomains { writer.set("include_subdomains", false) }
        if self.preload { writer.set("preload", true) }
        return writer.value
    }
}

extension Node {
    /// Whether this is the word `false`, which YAML also makes of nothing else.
    fileprivate var isFalse: Bool {
        if case .bool(false) = self.kind { return true }
        return false
    }
}
