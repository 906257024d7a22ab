import Bytes
package import Crypto
package import JSON

/// An authenticator and its browser in a test: makes passkeys, answers challenges, and lies where a test wants it to.
package final class SoftwareAuthenticator {
    /// What both of them say; a test changes what it wants to be wrong.
    package struct Behaviour {
        package var origin: String
        package var relyingPartyID: String
        /// Present, verified, eligible for backup and backed up, as phones are.
        package var flags: UInt8 = 0b0001_1101
        package var type: String?
        package var counter: UInt32 = 0
        package var clientDataMore: JSONObject = [:]
        package var attestationFormat: String = "none"
        package var attestationStatement: [UInt8] = [0xA0]
        package var userHandle: [UInt8]?
        /// Follows the signed authenticator data, unsigned.
        package var tampering: (inout [UInt8]) -> Void = { _ in }
    }

    package let kind: KeyKind
    package let id: [UInt8]
    package let key: PrivateKey
    package var behaviour: Behaviour

    package init(_ kind: KeyKind = .p256, origin: String, relyingPartyID: String) throws {
        self.kind = kind
        self.id = Random.bytes(32)
        self.key = try PrivateKey.generate(kind)
        self.behaviour = Behaviour(origin: origin, relyingPartyID: relyingPartyID)
    }

    // MARK: Answers

    /// What a browser answers to options for a new passkey (`publicKey` of the page or of REST).
    package func register(_ options: JSONValue) throws -> JSONValue {
        self.behaviour.userHandle = options["user"]?["id"]?.text.flatMap { Base64.decodeURL($0) }
        let clientData: [UInt8] = self.clientData("webauthn.create", options["challenge"]?.text ?? "")
        let data: [UInt8] = try self.authenticatorData(withCredential: true)
        let object: [UInt8] =
            [0xA3] + Self.text("fmt") + Self.text(self.behaviour.attestationFormat) + Self.text("attStmt")
            + self.behaviour.attestationStatement + Self.text("authData") + Self.bytes(data)
        return self.answer([
            "clientDataJSON": .string(Base64.encodeURL(clientData)),
            "attestationObject": .string(Base64.encodeURL(object)),
            "transports": .array(["internal", "hybrid", "teleport"]),
        ])
    }

    /// What a browser answers to options for signing in.
    package func sign(_ options: JSONValue) throws -> JSONValue {
        let clientData: [UInt8] = self.clientData("webauthn.get", options["challenge"]?.text ?? "")
        var data: [UInt8] = try self.authenticatorData(withCredential: false)
        let signature: [UInt8] = try self.signature(data + SHA256.hash(clientData))
        self.behaviour.tampering(&data)
        var response: JSONObject = [
            "clientDataJSON": .string(Base64.encodeURL(clientData)),
            "authenticatorData": .string(Base64.encodeURL(data)), "signature": .string(Base64.encodeURL(signature)),
        ]
        if let handle: [UInt8] = self.behaviour.userHandle {
            response["userHandle"] = .string(Base64.encodeURL(handle))
        }
        return self.answer(response)
    }

    private func answer(_ response: JSONObject) -> JSONValue {
        .object([
            "id": .string(Base64.encodeURL(self.id)), "rawId": .string(Base64.encodeURL(self.id)),
            "type": "public-key", "authenticatorAttachment": "platform", "clientExtensionResults": .object([:]),
            "response": .object(response),
        ])
    }

    // MARK: Parts

    package func clientData(_ type: String, _ challenge: String) -> [UInt8] {
        var members: JSONObject = [
            "type": .string(self.behaviour.type ?? type), "challenge": .string(challenge),
            "origin": .string(self.behaviour.origin), "crossOrigin": false,
        ]
        for member in self.behaviour.clientDataMore.members { members[member.key] = member.value }
        return JSONValue.object(members).serialized()
    }

    package func authenticatorData(withCredential: Bool) throws -> [UInt8] {
        var data: [UInt8] = SHA256.hash(self.behaviour.relyingPartyID)
        data.append(withCredential ? self.behaviour.flags | 0x40 : self.behaviour.flags)
        data += Self.bigEndian(UInt64(self.behaviour.counter), 4)
        if withCredential {
            data += [UInt8](repeating: 0, count: 16) + Self.bigEndian(UInt64(self.id.count), 2) + self.id
            data += try self.publicKey()
        }
        return data
    }

    /// The public key in COSE's form.
    package func publicKey() throws -> [UInt8] {
        func member(_ text: String) -> [UInt8] { Self.bytes(Base64.decodeURL(text) ?? []) }
        switch try self.key.publicKey().jwk() {
        case .p256(let x, let y):
            return [0xA5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21] + member(x) + [0x22] + member(y)
        case .ed25519(let x): return [0xA4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21] + member(x)
        case .rsa(let n, let e):
            return [0xA4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20] + member(n) + [0x21] + member(e)
        case .p384, .p521: return []
        }
    }

    /// ECDSA in DER.
    package func signature(_ message: [UInt8]) throws -> [UInt8] {
        switch self.kind {
        case .ed25519: return try self.key.sign(message, scheme: .ed25519)
        case .rsa: return try self.key.sign(message, scheme: .rsaPKCS1SHA256)
        default:
            let raw: [UInt8] = try self.key.sign(message, scheme: .ecdsaP256SHA256)
            let parts: [UInt8] = Self.integer(raw[..<32]) + Self.integer(raw[32...])
            return [0x30, UInt8(parts.count)] + parts
        }
    }

    private static func integer(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var digits: [UInt8] = Array(bytes.drop { $0 == 0 })
        if (digits.first ?? 0x80) >= 0x80 { digits.insert(0, at: 0) }
        return [0x02, UInt8(digits.count)] + digits
    }

    private static func bigEndian(_ number: UInt64, _ width: Int) -> [UInt8] {
        (0..<width).map { UInt8(truncatingIfNeeded: number >> UInt64(8 * (width - 1 - $0))) }
    }

    private static func head(_ type: UInt8, _ count: Int) -> [UInt8] {
        if count < 24 { return [type << 5 | UInt8(count)] }
        return count < 256 ? [type << 5 | 24, UInt8(count)] : [type << 5 | 25] + Self.bigEndian(UInt64(count), 2)
    }

    package static func text(_ text: String) -> [UInt8] { Self.head(3, text.utf8.count) + Array(text.utf8) }
    package static func bytes(_ bytes: [UInt8]) -> [UInt8] { Self.head(2, bytes.count) + bytes }
}
