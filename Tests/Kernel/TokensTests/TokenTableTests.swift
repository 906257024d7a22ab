import Bytes
import Crypto
import Foundation
import JSON
import Testing
import Time
import Tokens

/// Replays the tables in Tests/Kernel/Golden/tokens: what the RFCs give as examples and ask for.
@Suite struct TokenTableTests {
    private let fixture = TokenFixture()

    static func rows(_ file: String) -> [JSONValue] {
        let folder: URL = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let path: URL = folder.appendingPathComponent("Golden/tokens/\(file).json")
        guard let bytes: Data = try? Data(contentsOf: path), let value = try? JSONReader.parse([UInt8](bytes)) else {
            return []
        }
        return value.elements ?? []
    }

    @Test func theTablesAreThere() {
        #expect(TokenTableTests.rows("signatures").count >= 20)
        #expect(TokenTableTests.rows("claims").count >= 55)
    }

    /// The payloads are examples of signatures and often no claims at all, so it is the signature alone that counts.
    @Test(arguments: TokenTableTests.rows("signatures"))
    func signatures(row: JSONValue) throws {
        let token: String = try #require(row["token"]?.text)
        let isValid: Bool = row["valid"]?.boolean ?? true
        let key: JSONValue = try #require(row["key"])
        let keys = try JWKSet(parsing: JSONValue.object(["keys": .array([key])]).serialized())
        let verifier = TokenVerifier(
            keys: keys,
            rules: TokenRules(
                issuer: nil, audiences: [], algorithms: JWTAlgorithm.allCases, isExpiryRequired: false),
            clock: self.fixture.clock)
        let error: TokenError? = TokenFixture.error { try verifier.verify(token) }
        let isSignatureGood: Bool
        switch error {
        case nil, .expired: isSignatureGood = true
        case .malformed("the payload must be a JSON object with each member once"): isSignatureGood = true
        default: isSignatureGood = false
        }
        #expect(isSignatureGood == isValid, "\(row["name"]?.text ?? ""): \(error.map { "\($0)" } ?? "accepted")")
    }

    @Test(arguments: TokenTableTests.rows("claims"))
    func claims(row: JSONValue) throws {
        var claims: JSONObject = self.fixture.claims()
        for name in row["without"]?.elements ?? [] { claims[name.text ?? ""] = nil }
        for (name, value) in row["claims"]?.object?.members ?? [] { claims[name] = self.resolved(value) }
        let header: JSONValue = row["header"] ?? ["alg": "ES256", "kid": "ec"]
        let token: String = try self.fixture.token(
            header: header.jsonText, payload: JSONValue.object(claims).serialized())
        let verifier = TokenVerifier(
            keys: try self.fixture.keySet(), rules: try self.rules(row["rules"]?.object ?? [:]),
            clock: self.fixture.clock)
        let error: TokenError? = TokenFixture.error { try verifier.verify(token) }
        #expect(TokenTableTests.name(error) == row["expect"]?.text, "\(row["name"]?.text ?? "")")
    }

    /// `{"now": 5}` stands for a time five seconds from now.
    private func resolved(_ value: JSONValue) -> JSONValue {
        guard let offset: JSONValue = value["now"] else { return value }
        if let seconds: Int64 = offset.integer { return .int(self.fixture.now + seconds) }
        return .double(Double(self.fixture.now) + (offset.number ?? 0))
    }

    private func rules(_ object: JSONObject) throws -> TokenRules {
        var rules = TokenRules(
            issuer: "https://issuer", audiences: ["api"], algorithms: JWTAlgorithm.allCases,
            leeway: .seconds(object["leeway"]?.integer ?? 30))
        if let audiences: [JSONValue] = object["audiences"]?.elements { rules.audiences = audiences.compactMap(\.text) }
        if let types: [JSONValue] = object["types"]?.elements { rules.types = types.compactMap(\.text) }
        if let names: [JSONValue] = object["algorithms"]?.elements {
            rules.algorithms = names.compactMap { $0.text.flatMap(JWTAlgorithm.init(rawValue:)) }
        }
        rules.isTypeRequired = object["typeRequired"]?.boolean ?? false
        rules.isExpiryRequired = object["expiry"]?.boolean ?? true
        for (path, values) in object["claims"]?.object?.members ?? [] {
            rules.claims.append(
                RequiredClaim(path: try #require(ClaimPath(path)), values: values.elements ?? []))
        }
        return rules
    }

    private static func name(_ error: TokenError?) -> String {
        switch error {
        case nil: return "accepted"
        case .algorithmNotAllowed: return "algorithm not allowed"
        case .criticalExtension: return "critical extension"
        case .wrongType: return "wrong type"
        case .keyNotFound: return "key not found"
        case .signatureInvalid: return "signature invalid"
        case .claimMissing(let name): return "claim \(name) missing"
        case .claimMalformed(let name): return "claim \(name) malformed"
        case .claimNotAccepted(let name): return "claim \(name) not accepted"
        case .wrongIssuer: return "wrong issuer"
        case .wrongAudience: return "wrong audience"
        case .expired: return "expired"
        case .notYetValid: return "not yet valid"
        case .issuedInTheFuture: return "issued in the future"
        case .tooLarge: return "too large"
        case .malformed(let what): return "malformed: \(what)"
        }
    }
}
