import Crypto
package import JSON
package import Time

/// What a token said, after its signature and its claims were checked.
package struct VerifiedToken: Sendable {
    package let algorithm: JWTAlgorithm
    package let keyID: String?
    package let claims: JSONObject
    /// The claim `sub`.
    package let subject: String?
    package let expiresAt: Timestamp
}

/// Checks tokens of one issuer for one audience (RFC 7519 section 7.2, RFC 8725).
///
/// The algorithms are a list given here; the token only chooses from it, and each algorithm takes only keys of its own kind: a
/// public RSA key can never serve as a shared secret, and there is no way to ask for no signature. A plain value: for other
/// keys make another one.
package struct TokenVerifier: Sendable {
    /// Longest leeway that can be set.
    package static let leewayMax: Duration = .seconds(300)

    private let keys: JWKSet
    private let issuer: String
    private let audience: String
    private let algorithms: [JWTAlgorithm]
    private let types: [String]
    private let leeway: Duration
    private let clock: any WallClock

    /// - Parameters:
    ///   - algorithms: Those accepted.
    ///   - types: Values of `typ` accepted, without `application/`; a token without `typ` passes.
    ///   - leeway: How far clocks may be apart; at most `leewayMax` counts.
    package init(
        keys: JWKSet, issuer: String, audience: String, algorithms: [JWTAlgorithm],
        types: [String] = ["JWT", "at+jwt"], leeway: Duration = .seconds(30), clock: any WallClock
    ) {
        self.keys = keys
        self.issuer = issuer
        self.audience = audience
        self.algorithms = algorithms
        self.types = types.map { $0.lowercased() }
        self.leeway = min(max(leeway, .zero), TokenVerifier.leewayMax)
        self.clock = clock
    }

    /// The token's claims, or why it is not accepted. Costs a signature check: about 17 µs for RS256, 60 for ES256, 100 for EdDSA.
    package func verify(_ token: String) throws(TokenError) -> VerifiedToken {
        try self.verify(Array(token.utf8))
    }

    package func verify(_ token: [UInt8]) throws(TokenError) -> VerifiedToken {
        let parts = try TokenParts(token)
        let algorithm: JWTAlgorithm = try self.checkHeader(parts.header)
        try self.checkSignature(parts, algorithm)
        // Only now is the payload looked at: until here anybody may have written it.
        let claims: JSONObject = try TokenJSON.object(parts.payload, "payload")
        try self.checkParties(claims)
        let expiresAt: Timestamp = try self.checkTimes(claims)
        return VerifiedToken(
            algorithm: algorithm, keyID: parts.header.keyID, claims: claims, subject: try Claims.text(claims, "sub"),
            expiresAt: expiresAt)
    }

    private func checkHeader(_ header: TokenHeader) throws(TokenError) -> JWTAlgorithm {
        guard let algorithm: JWTAlgorithm = header.algorithm, self.algorithms.contains(algorithm) else {
            throw .algorithmNotAllowed
        }
        if let type: String = header.type {
            // RFC 7515 section 4.1.9: the prefix may be left out, case does not matter.
            let lower: String = type.lowercased()
            let short: String = lower.hasPrefix("application/") ? String(lower.dropFirst(12)) : lower
            guard self.types.contains(short) else { throw .wrongType }
        }
        return algorithm
    }

    private func checkSignature(_ parts: TokenParts, _ algorithm: JWTAlgorithm) throws(TokenError) {
        let candidates: [PublicKey] = self.keys.candidates(keyID: parts.header.keyID, algorithm: algorithm)
        guard !candidates.isEmpty else { throw .keyNotFound }
        for key in candidates where key.isValid(parts.signature, for: parts.signed, scheme: algorithm.scheme) { return }
        throw .signatureInvalid
    }

    private func checkParties(_ claims: JSONObject) throws(TokenError) {
        guard let issuer: String = try Claims.text(claims, "iss") else { throw .claimMissing("iss") }
        guard issuer.hasSameBytes(as: self.issuer) else { throw .wrongIssuer }
        guard let audience: JSONValue = claims["aud"] else { throw .claimMissing("aud") }
        switch audience {
        case .string(let one):
            guard one.hasSameBytes(as: self.audience) else { throw .wrongAudience }
        case .array(let several):
            var isMeant: Bool = false
            for element in several {
                guard case .string(let one) = element else { throw .claimMalformed("aud") }
                if one.hasSameBytes(as: self.audience) { isMeant = true }
            }
            guard isMeant else { throw .wrongAudience }
        default: throw .claimMalformed("aud")
        }
    }

    private func checkTimes(_ claims: JSONObject) throws(TokenError) -> Timestamp {
        let now: Timestamp = self.clock.now()
        guard let expiresAt: Timestamp = try Claims.time(claims, "exp") else { throw .claimMissing("exp") }
        guard now < expiresAt.adding(self.leeway) else { throw .expired }
        if let notBefore: Timestamp = try Claims.time(claims, "nbf"), now.adding(self.leeway) < notBefore {
            throw .notYetValid
        }
        if let issuedAt: Timestamp = try Claims.time(claims, "iat"), now.adding(self.leeway) < issuedAt {
            throw .issuedInTheFuture
        }
        return expiresAt
    }
}

/// Registered claims (RFC 7519 section 4.1) in their types.
private enum Claims {
    static func text(_ claims: JSONObject, _ name: String) throws(TokenError) -> String? {
        guard let value: JSONValue = claims[name] else { return nil }
        guard case .string(let text) = value else { throw .claimMalformed(name) }
        return text
    }

    /// A NumericDate: seconds since 1970, perhaps with a fraction. Far away ones become the ends of the time line.
    static func time(_ claims: JSONObject, _ name: String) throws(TokenError) -> Timestamp? {
        guard let value: JSONValue = claims[name] else { return nil }
        switch value {
        case .int(let seconds): return Timestamp(seconds: seconds)
        case .double(let seconds):
            guard seconds.magnitude < 9e9 else { return Timestamp(nanoseconds: seconds < 0 ? .min : .max) }
            return Timestamp(nanoseconds: Int64(seconds * 1e9))
        default: throw .claimMalformed(name)
        }
    }
}
