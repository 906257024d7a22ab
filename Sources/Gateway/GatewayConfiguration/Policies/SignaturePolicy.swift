import Documents
import JSON

/// `hmac`: a caller signs its requests with a secret (HTTP Message Signatures, RFC 9421, with hmac-sha256), and their bodies
/// through a digest (RFC 9530).
package struct SignaturePolicy: Sendable, Equatable {
    /// How far `created` may be from now, both ways, 1 s to 1 h; also how long nonces are remembered. Default 5 min.
    package var window: Duration
    /// What every signature must cover besides: derived components (`@query`), or names of fields. `@method`, `@authority` and
    /// `@path` (or `@target-uri`), `@query` where there is a query and `content-digest` where there is a body always. Default: none.
    package var components: [String]
    /// Whether every signature needs a nonce, so that it is good for one request. Default true.
    package var requiresNonce: Bool
    /// Largest body that is collected to check its digest, in bytes, 0 to 16 MiB. Default 1 MiB.
    package var bodyBytesMax: Int

    package init(
        window: Duration = .seconds(300), components: [String] = [], requiresNonce: Bool = true,
        bodyBytesMax: Int = SignaturePolicy.bodyBytesDefault
    ) {
        self.window = window
        self.components = components
        self.requiresNonce = requiresNonce
        self.bodyBytesMax = bodyBytesMax
    }

    package static let bodyBytesDefault: Int = 1 << 20
    package static let bodyBytesLimit: Int = 16 << 20
    package static let componentsMax: Int = 32
    /// Derived components that are known here (RFC 9421 section 2.2).
    package static let derived: Set<String> = [
        "@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query",
    ]
}

extension SignaturePolicy {
    static func read(_ decoder: NodeDecoder) -> SignaturePolicy? {
        let known: [String] = ["window", "components", "nonce", "max_body"]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let window: Duration? = fields.duration("window", default: .seconds(300), in: .seconds(1) ... .seconds(3600))
        let components: [String]? = fields.list("components", count: 0...self.componentsMax) { element in
            element.parsed("a derived component such as @query, or the name of a header field") { text in
                text.hasPrefix("@") ? (self.derived.contains(text) ? text : nil) : HeaderRules.name(text)
            }
        }
        let nonce: Bool? = fields.choice("nonce", default: true, ["required": true, "optional": false])
        let most: Int? = fields.byteCount("max_body", default: self.bodyBytesDefault, in: 0...self.bodyBytesLimit)
        guard let window, let components, let nonce, let most else { return nil }
        return SignaturePolicy(window: window, components: components, requiresNonce: nonce, bodyBytesMax: most)
    }

    func write(_ body: inout DefinitionWriter) {
        body.set("window", self.window, unless: .seconds(300))
        body.set("components", list: self.components.map { .string($0) })
        if !self.requiresNonce { body.set("nonce", "optional") }
        body.set("max_body", self.bodyBytesMax, unless: SignaturePolicy.bodyBytesDefault)
    }
}
