import Documents
import JSON
package import Tokens

/// `identity_headers`: tells the upstream who calls. What a client sends under these names is always taken off.
package struct IdentityHeadersPolicy: Sendable, Equatable {
    /// What a field says.
    package enum Source: Sendable, Equatable {
        case application
        case subscription
        case plan
        /// The `sub` of a token, the user name, the subject of a certificate.
        case subject
        /// Parted by spaces.
        case scopes
        /// Parted by commas.
        case groups
        /// The method: api_key, jwt, introspection, basic, hmac or client_certificate.
        case method
        case claim(ClaimPath)
    }

    package struct Field: Sendable, Equatable {
        /// Lower case.
        package var name: String
        package var source: Source

        package init(name: String, source: Source) {
            self.name = name
            self.source = source
        }
    }

    /// 1 to 32. Required.
    package var fields: [Field]

    package init(fields: [Field]) {
        self.fields = fields
    }
}

extension IdentityHeadersPolicy {
    /// A mapping from a field to what it says: `X-User: subject`, `X-Mail: {claim: email}`.
    static func read(_ decoder: NodeDecoder) -> IdentityHeadersPolicy? {
        var names: Set<String> = []
        let pairs: [(key: String, value: Field)]? = decoder.dictionary { key, element in
            guard let name: String = HeaderRules.name(key) else {
                element.problem("expected the name of a header field")
                return nil
            }
            if HeaderRules.isReserved(name) {
                element.problem("expected a field of the API's own, not one that frames or routes a message")
            }
            if !names.insert(name).inserted { element.problem("expected each field only once") }
            return Source.read(element).map { Field(name: name, source: $0) }
        }
        guard let pairs else { return nil }
        guard (1...HeaderPolicy.fieldsMax).contains(pairs.count) else {
            decoder.problem("expected 1 to \(HeaderPolicy.fieldsMax) fields")
            return nil
        }
        return IdentityHeadersPolicy(fields: pairs.map(\.value))
    }

    func write(_ body: inout DefinitionWriter) {
        for field in self.fields { body.set(field.name, field.source.json()) }
    }
}

extension IdentityHeadersPolicy.Source {
    private static let words: KeyValuePairs<String, IdentityHeadersPolicy.Source> = [
        "application": .application, "subscription": .subscription, "plan": .plan, "subject": .subject,
        "scopes": .scopes, "groups": .groups, "method": .method,
    ]

    static func read(_ decoder: NodeDecoder) -> IdentityHeadersPolicy.Source? {
        if decoder.node.members == nil { return decoder.choice(self.words) }
        return decoder.fields(["claim"])?.required("claim")?.claimPath().map { .claim($0) }
    }

    func json() -> JSONValue {
        if case .claim(let path) = self { return ["claim": .string(path.text)] }
        for word in Self.words where word.value == self { return .string(word.key) }
        return .null
    }
}
