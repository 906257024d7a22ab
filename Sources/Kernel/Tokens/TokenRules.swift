package import JSON

/// What a token must say to be accepted, beside being signed by the right key.
package struct TokenRules: Sendable, Equatable {
    /// Longest leeway that can be set.
    package static let leewayMax: Duration = .seconds(300)

    /// The one issuer. Nil: whoever holds a key; only where the keys themselves stand for the issuer.
    package var issuer: String?
    /// Of these one must be among the token's audiences. Empty: not looked at.
    package var audiences: [String]
    /// Those accepted; the token only chooses from them.
    package var algorithms: [JWTAlgorithm]
    /// Values of `typ` accepted, lower case and without `application/`.
    package var types: [String]
    /// Whether a token without `typ` is refused (RFC 8725 section 3.11).
    package var isTypeRequired: Bool
    /// Whether a token without `exp` is refused.
    package var isExpiryRequired: Bool
    /// How far clocks may be apart; at most `leewayMax` counts.
    package var leeway: Duration
    /// Claims that must be there, and with which values.
    package var claims: [RequiredClaim]

    package init(
        issuer: String?, audiences: [String], algorithms: [JWTAlgorithm], types: [String] = TokenRules.typesStandard,
        isTypeRequired: Bool = false, isExpiryRequired: Bool = true, leeway: Duration = .seconds(30),
        claims: [RequiredClaim] = []
    ) {
        self.issuer = issuer
        self.audiences = audiences
        self.algorithms = algorithms
        self.types = types.map { $0.lowercased() }
        self.isTypeRequired = isTypeRequired
        self.isExpiryRequired = isExpiryRequired
        self.leeway = min(max(leeway, .zero), TokenRules.leewayMax)
        self.claims = claims
    }

    /// JSON Web Tokens of no special kind, and access tokens (RFC 9068 section 2.1).
    package static let typesStandard: [String] = ["jwt", "at+jwt"]
}

/// A claim that must be there.
package struct RequiredClaim: Sendable, Equatable {
    package var path: ClaimPath
    /// The claim, or one element of it when it is an array, must be one of these. Empty: any value but null.
    package var values: [JSONValue]

    package init(path: ClaimPath, values: [JSONValue] = []) {
        self.path = path
        self.values = values
    }

    package func isMet(by claims: JSONObject) -> Bool {
        guard let value: JSONValue = self.path.value(in: claims), value != .null else { return false }
        if self.values.isEmpty { return true }
        return self.values.contains { RequiredClaim.holds(value, $0) }
    }

    private static func holds(_ value: JSONValue, _ wanted: JSONValue) -> Bool {
        guard let elements: [JSONValue] = value.elements else { return value == wanted }
        return elements.contains(wanted)
    }
}

/// Where a claim is: a name, or a JSON pointer (RFC 6901) when it begins with a slash. Names may hold dots and be URLs, so a dot
/// means nothing.
package struct ClaimPath: Sendable, Equatable {
    /// Longest path taken.
    package static let bytesMax: Int = 256

    package let text: String
    private let pointer: JSONPointer?

    /// Nil when it is empty, too long, or a bad pointer.
    package init?(_ text: String) {
        guard !text.isEmpty, text.utf8.count <= ClaimPath.bytesMax else { return nil }
        self.text = text
        if text.hasPrefix("/") {
            guard let pointer = JSONPointer(parsing: text) else { return nil }
            self.pointer = pointer
        } else {
            self.pointer = nil
        }
    }

    private init(name: String) {
        self.text = name
        self.pointer = nil
    }

    /// The path of a claim with this name, which does not begin with a slash.
    package static func named(_ name: String) -> ClaimPath { ClaimPath(name: name) }

    package func value(in claims: JSONObject) -> JSONValue? {
        guard let pointer: JSONPointer = self.pointer else { return claims[self.text] }
        return pointer.resolve(in: .object(claims))
    }
}
