import Bytes
package import Crypto
import JSON
package import Time

/// A token taken apart, and not yet believed: anybody may have written it. What it says of itself serves to choose whose keys to
/// check it with, and nothing else.
package struct UnverifiedToken: Sendable {
    package let header: TokenHeader
    /// The claims, or why they cannot be read. That is told only after the signature was found good.
    private let claims: Result<JSONObject, TokenError>
    private let signature: [UInt8]
    /// What the signature covers.
    private let signed: [UInt8]

    /// Takes a compact token apart (RFC 7515 section 7.1): strict base64, strict JSON, each member once, no critical extensions.
    package init(_ token: [UInt8]) throws(TokenError) {
        guard token.count <= JWT.bytesMax else { throw .tooLarge }
        let parts: [ArraySlice<UInt8>] = token.split(
            separator: UInt8(ascii: "."), maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw .malformed("expected three parts separated by dots") }
        self.header = try TokenHeader(UnverifiedToken.decode(parts[0], "header"))
        let payload: [UInt8] = try UnverifiedToken.decode(parts[1], "payload")
        self.signature = try UnverifiedToken.decode(parts[2], "signature")
        self.signed = Array(token[..<parts[1].endIndex])
        do throws(TokenError) {
            self.claims = .success(try TokenJSON.object(payload, "payload"))
        } catch {
            self.claims = .failure(error)
        }
    }

    /// The issuer it names.
    package var claimedIssuer: String? { (try? self.claims.get())?["iss"]?.text }

    /// Whether it has the form of a token at all, at next to no cost: two dots in at most `JWT.bytesMax` bytes. Tells tokens from
    /// opaque ones where both are accepted.
    package static func isLikely(_ token: UnsafeRawBufferPointer) -> Bool {
        guard token.count <= JWT.bytesMax else { return false }
        var dots: Int = 0
        for byte in token where byte == UInt8(ascii: ".") { dots += 1 }
        return dots == 2
    }

    /// The keys it may be signed with, those of a set that fit its `kid` and `alg`, once its header has passed the rules.
    /// Throws `keyNotFound` when there is none.
    package func candidates(_ keys: JWKSet, _ rules: TokenRules) throws(TokenError) -> [PublicKey] {
        let algorithm: JWTAlgorithm = try self.checkHeader(rules)
        let candidates: [PublicKey] = keys.candidates(keyID: self.header.keyID, algorithm: algorithm)
        guard !candidates.isEmpty else { throw .keyNotFound }
        return candidates
    }

    /// The token's claims, or why it is not accepted (RFC 7519 section 7.2, RFC 8725). Costs a signature check: about 17 µs for
    /// RS256, 60 for ES256, 100 for EdDSA; ES384 and ES512 many times that.
    package func verify(keys: JWKSet, rules: TokenRules, now: Timestamp) throws(TokenError) -> VerifiedToken {
        let algorithm: JWTAlgorithm = try self.checkHeader(rules)
        let candidates: [PublicKey] = try self.candidates(keys, rules)
        guard candidates.contains(where: { $0.isValid(self.signature, for: self.signed, scheme: algorithm.scheme) })
        else { throw .signatureInvalid }
        // Only now is the payload looked at: until here anybody may have written it.
        let claims: JSONObject = try self.claims.get()
        try self.checkParties(claims, rules)
        let expiresAt: Timestamp = try self.checkTimes(claims, rules, now)
        for claim in rules.claims where !claim.isMet(by: claims) { throw .claimNotAccepted(claim.path.text) }
        return VerifiedToken(
            algorithm: algorithm, keyID: self.header.keyID, claims: claims, subject: try Claims.text(claims, "sub"),
            expiresAt: expiresAt)
    }

    private func checkHeader(_ rules: TokenRules) throws(TokenError) -> JWTAlgorithm {
        guard let algorithm: JWTAlgorithm = self.header.algorithm, rules.algorithms.contains(algorithm) else {
            throw .algorithmNotAllowed
        }
        if let type: String = self.header.type {
            // RFC 7515 section 4.1.9: the prefix may be left out, case does not matter.
            let lower: String = type.lowercased()
            let short: String = lower.hasPrefix("application/") ? String(lower.dropFirst(12)) : lower
            guard rules.types.contains(short) else { throw .wrongType }
        } else if rules.isTypeRequired {
            throw .wrongType
        }
        return algorithm
    }

    private func checkParties(_ claims: JSONObject, _ rules: TokenRules) throws(TokenError) {
        let issuer: String? = try Claims.text(claims, "iss")
        if let expected: String = rules.issuer {
            guard let issuer: String else { throw .claimMissing("iss") }
            guard issuer.hasSameBytes(as: expected) else { throw .wrongIssuer }
        }
        let audiences: [String] = try Claims.audiences(claims)
        if rules.audiences.isEmpty { return }
        guard claims["aud"] != nil else { throw .claimMissing("aud") }
        for audience in audiences where rules.audiences.contains(where: { $0.hasSameBytes(as: audience) }) { return }
        throw .wrongAudience
    }

    private func checkTimes(
        _ claims: JSONObject, _ rules: TokenRules, _ now: Timestamp
    ) throws(TokenError) -> Timestamp {
        let expiresAt: Timestamp? = try Claims.time(claims, "exp")
        if let expiresAt: Timestamp {
            guard now < expiresAt.adding(rules.leeway) else { throw .expired }
        } else if rules.isExpiryRequired {
            throw .claimMissing("exp")
        }
        if let notBefore: Timestamp = try Claims.time(claims, "nbf"), now.adding(rules.leeway) < notBefore {
            throw .notYetValid
        }
        if let issuedAt: Timestamp = try Claims.time(claims, "iat"), now.adding(rules.leeway) < issuedAt {
            throw .issuedInTheFuture
        }
        return expiresAt ?? Timestamp(nanoseconds: .max)
    }

    private static func decode(_ part: ArraySlice<UInt8>, _ name: String) throws(TokenError) -> [UInt8] {
        guard let bytes: [UInt8] = Base64.decodeURL(String(decoding: part, as: UTF8.self)), !bytes.isEmpty else {
            throw .malformed("the \(name) must be URL-safe base64 without padding, not empty")
        }
        return bytes
    }
}

/// Registered claims (RFC 7519 section 4.1) in their types.
enum Claims {
    static func text(_ claims: JSONObject, _ name: String) throws(TokenError) -> String? {
        guard let value: JSONValue = claims[name] else { return nil }
        guard case .string(let text) = value else { throw .claimMalformed(name) }
        return text
    }

    /// One string, or an array of strings; empty without the claim.
    static func audiences(_ claims: JSONObject) throws(TokenError) -> [String] {
        guard let value: JSONValue = claims["aud"] else { return [] }
        if let one: String = value.text { return [one] }
        guard let several: [JSONValue] = value.elements else { throw .claimMalformed("aud") }
        var audiences: [String] = []
        for element in several {
            guard let one: String = element.text else { throw .claimMalformed("aud") }
            audiences.append(one)
        }
        return audiences
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
