package import JSON
package import Time

/// What a token said, after its signature and its claims were checked.
package struct VerifiedToken: Sendable {
    package let algorithm: JWTAlgorithm
    package let keyID: String?
    package let claims: JSONObject
    /// The claim `sub`.
    package let subject: String?
    /// Far away when the token has no `exp` and need not have it.
    package let expiresAt: Timestamp

    /// What it may do: the claim `scope`, words parted by spaces (RFC 8693 section 4.2, RFC 9068), or `scp`, an array or such a
    /// text, as some issuers have it.
    package var scopes: [String] { TokenScopes.read(self.claims) }
}

/// The scopes of claims.
package enum TokenScopes {
    /// Most scopes read; further ones do not count.
    package static let countMax: Int = 256

    package static func read(_ claims: JSONObject) -> [String] {
        for name in ["scope", "scp"] {
            guard let value: JSONValue = claims[name] else { continue }
            if let text: String = value.text {
                return text.split(separator: " ").prefix(TokenScopes.countMax).map(String.init)
            }
            if let elements: [JSONValue] = value.elements {
                return elements.prefix(TokenScopes.countMax).compactMap(\.text)
            }
        }
        return []
    }
}

/// Checks tokens of one issuer for one audience (RFC 7519 section 7.2, RFC 8725).
///
/// The algorithms are a list given here; the token only chooses from it, and each algorithm takes only keys of its own kind: a
/// public RSA key can never serve as a shared secret, and there is no way to ask for no signature. A plain value: for other
/// keys make another one.
package struct TokenVerifier: Sendable {
    private let keys: JWKSet
    private let rules: TokenRules
    private let clock: any WallClock

    /// - Parameters:
    ///   - algorithms: Those accepted.
    ///   - types: Values of `typ` accepted, without `application/`; a token without `typ` passes.
    ///   - leeway: How far clocks may be apart; at most `TokenRules.leewayMax` counts.
    package init(
        keys: JWKSet, issuer: String, audience: String, algorithms: [JWTAlgorithm],
        types: [String] = TokenRules.typesStandard, leeway: Duration = .seconds(30), clock: any WallClock
    ) {
        self.init(
            keys: keys,
            rules: TokenRules(
                issuer: issuer, audiences: [audience], algorithms: algorithms, types: types, leeway: leeway),
            clock: clock)
    }

    package init(keys: JWKSet, rules: TokenRules, clock: any WallClock) {
        self.keys = keys
        self.rules = rules
        self.clock = clock
    }

    /// The token's claims, or why it is not accepted; costs as `UnverifiedToken.verify` says.
    package func verify(_ token: String) throws(TokenError) -> VerifiedToken {
        try self.verify(Array(token.utf8))
    }

    package func verify(_ token: [UInt8]) throws(TokenError) -> VerifiedToken {
        try UnverifiedToken(token).verify(keys: self.keys, rules: self.rules, now: self.clock.now())
    }
}
