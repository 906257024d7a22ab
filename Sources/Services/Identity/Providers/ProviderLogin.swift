import Bytes
import Contracts
import Crypto
import JSON
import Time

/// A sign-in at a provider that is under way: what its answer must fit. Kept by the browser, sealed, so that sign-ins that nobody
/// finishes cost nothing here; it works once, in that browser, for ten minutes.
struct ProviderLogin: Sendable, Equatable {
    static let lifetime: Duration = .seconds(600)
    /// Longest address to come back to: a cookie holds 4 KiB in all.
    static let targetBytesMax: Int = 2_048
    private static let sealName: String = "provider-login"

    let provider: String
    let state: String
    let nonce: String
    let verifier: String
    /// Where the user goes on afterwards: a path of ours.
    let target: String
    let expiresAt: Timestamp

    /// - Returns: nil when the target is too long.
    static func begin(provider: String, target: String, now: Timestamp) -> ProviderLogin? {
        guard target.utf8.count <= Self.targetBytesMax else { return nil }
        return ProviderLogin(
            provider: provider, state: Random.token(prefix: "", bytes: 24), nonce: Random.token(prefix: "", bytes: 24),
            verifier: Random.token(prefix: "", bytes: 32), target: target, expiresAt: now.adding(Self.lifetime))
    }

    /// What the verifier hashes to (RFC 7636 section 4.2).
    var challenge: String { Base64.encodeURL(SHA256.hash(self.verifier)) }

    func sealed(_ sealer: any SecretSealer) throws -> String {
        let value: JSONValue = .object([
            "p": .string(self.provider), "s": .string(self.state), "n": .string(self.nonce),
            "v": .string(self.verifier), "t": .string(self.target), "e": .int(self.expiresAt.milliseconds),
        ])
        return Base64.encodeURL(try sealer.seal(value.serialized(), name: Self.sealName))
    }

    /// Opens what a browser brings; nil when it is not ours, too old, or of another sign-in.
    static func open(
        _ text: String, provider: String, state: String, now: Timestamp, _ sealer: any SecretSealer
    ) -> ProviderLogin? {
        guard let bytes: [UInt8] = Base64.decodeURL(text), let opened = try? sealer.open(bytes, name: Self.sealName),
            let value: JSONValue = try? JSONReader.parse(opened),
            let named: String = value["p"]?.text, named == provider, let expected: String = value["s"]?.text,
            ConstantTime.equals(expected, state), let nonce: String = value["n"]?.text,
            let verifier: String = value["v"]?.text, let target: String = value["t"]?.text,
            let end: Int64 = value["e"]?.integer
        else { return nil }
        let login: ProviderLogin = ProviderLogin(
            provider: named, state: expected, nonce: nonce, verifier: verifier, target: target,
            expiresAt: Timestamp(milliseconds: end))
        return now < login.expiresAt ? login : nil
    }
}
