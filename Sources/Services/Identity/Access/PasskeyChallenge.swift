import Bytes
import Contracts
import Crypto
import JSON
import Time

/// The challenge of a ceremony that is under way. Whoever asked keeps it, sealed, so that those which nobody answers cost nothing
/// here; it is bound to a session or a browser, works for five minutes, and a good answer to it counts once.
struct PasskeyChallenge: Sendable, Equatable {
    enum Purpose: String, Sendable {
        /// A passkey is made.
        case register
        /// Who is signed in, or has shown a password, shows a passkey besides.
        case verify
        /// Somebody signs in by a passkey alone.
        case signIn
    }

    static let lifetime: Duration = .seconds(300)
    static let bytes: Int = 32
    /// Longest sealed form.
    static let sealedBytesMax: Int = 1_024
    private static let sealName: String = "passkey-challenge"

    let purpose: Purpose
    let challenge: [UInt8]
    /// The session, or the hash of a cookie, whose holder answers.
    let binding: String
    let expiresAt: Timestamp

    static func begin(_ purpose: Purpose, binding: String, now: Timestamp) -> PasskeyChallenge {
        PasskeyChallenge(
            purpose: purpose, challenge: Random.bytes(Self.bytes), binding: binding,
            expiresAt: now.adding(Self.lifetime))
    }

    /// What is remembered of it once it was answered.
    var mark: String { AccessToken.hash("challenge:\(Base64.encodeURL(self.challenge))") }

    func sealed(_ sealer: any SecretSealer) throws -> String {
        let value: JSONValue = .object([
            "p": .string(self.purpose.rawValue), "c": .string(Base64.encodeURL(self.challenge)),
            "b": .string(self.binding), "e": .int(self.expiresAt.milliseconds),
        ])
        return Base64.encodeURL(try sealer.seal(value.serialized(), name: Self.sealName))
    }

    /// Opens what comes back; nil when it is not ours, too old, or of something or somebody else.
    static func open(
        _ text: String, _ purpose: Purpose, binding: String, now: Timestamp, _ sealer: any SecretSealer
    ) -> PasskeyChallenge? {
        guard text.utf8.count <= Self.sealedBytesMax, let bytes: [UInt8] = Base64.decodeURL(text),
            let opened = try? sealer.open(bytes, name: Self.sealName), let value = try? JSONReader.parse(opened),
            value["p"]?.text == purpose.rawValue, let named: String = value["b"]?.text,
            ConstantTime.equals(named, binding), let end: Int64 = value["e"]?.integer,
            let challenge: [UInt8] = value["c"]?.text.flatMap({ Base64.decodeURL($0) })
        else { return nil }
        let found: PasskeyChallenge = PasskeyChallenge(
            purpose: purpose, challenge: challenge, binding: binding, expiresAt: Timestamp(milliseconds: end))
        return now < found.expiresAt ? found : nil
    }
}
