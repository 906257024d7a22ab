import Bytes
import Crypto
import Documents
import JSON
import Time

extension CredentialDefinition {
    private static let kinds: [String] = ["client_id", "basic", "hmac", "certificate"]

    /// A mapping with one kind of credential, and perhaps `id` and `expires`.
    static func read(_ decoder: NodeDecoder) -> CredentialDefinition? {
        guard let fields: NodeFields = decoder.fields(self.kinds + ["id", "expires"]) else { return nil }
        let id: String?? = fields.optional("id") { $0.id() }
        let expires: Timestamp?? = fields.optional("expires") { element in
            element.parsed("a time such as 2030-01-31T12:00:00Z") { Timestamp(rfc3339: $0) }
        }
        guard self.kinds.filter({ fields[$0] != nil }).count == 1 else {
            fields.problem("expected one of \(self.kinds.joined(separator: ", "))")
            return nil
        }
        var kind: Kind?
        if let client: NodeDecoder = fields["client_id"] {
            kind = client.credentialName().map { .client(id: $0) }
        } else if let basic: NodeDecoder = fields["basic"] {
            kind = self.basic(basic)
        } else if let hmac: NodeDecoder = fields["hmac"] {
            kind = self.hmac(hmac)
        } else if let certificate: NodeDecoder = fields["certificate"] {
            kind = CertificateMatch.read(certificate).map { .certificate($0) }
        }
        guard let id, let expires, let kind else { return nil }
        return CredentialDefinition(id: id, kind: kind, expires: expires)
    }

    private static func basic(_ decoder: NodeDecoder) -> Kind? {
        guard let fields: NodeFields = decoder.fields(["username", "password_hash"]) else { return nil }
        let username: String? = fields.required("username")?.string { text in
            // RFC 7617 section 2: the first colon ends the name.
            let isName: Bool =
                !text.isEmpty && text.utf8.count <= self.nameBytesMax
                && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f && $0 != 0x3a }
            return isName ? nil : "1 to \(self.nameBytesMax) bytes without colons and control characters"
        }
        let hash: String? = fields.required("password_hash")?.parsed("an argon2id hash ($argon2id$v=19$m=…)") {
            Password.isHash($0) ? $0 : nil
        }
        guard let username, let hash else { return nil }
        return .basic(username: username, passwordHash: hash)
    }

    private static func hmac(_ decoder: NodeDecoder) -> Kind? {
        guard let fields: NodeFields = decoder.fields(["key_id", "secret"]) else { return nil }
        let keyID: String? = fields.required("key_id")?.credentialName()
        let bounds: ClosedRange<Int> = self.secretBytesMin...self.secretBytesMax
        let secret: [UInt8]? = fields.required("secret")?.parsed(
            "a secret of \(bounds.lowerBound) to \(bounds.upperBound) bytes in base64"
        ) { text in
            Base64.decode(text).flatMap { bounds.contains($0.count) ? $0 : nil }
        }
        guard let keyID, let secret else { return nil }
        return .hmac(keyID: keyID, secret: secret)
    }

    func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("id", self.id.map { .string($0) })
        switch self.kind {
        case .client(let id): writer.set("client_id", .string(id))
        case .basic(let username, let hash):
            writer.set("basic", ["username": .string(username), "password_hash": .string(hash)])
        case .hmac(let keyID, let secret):
            writer.set("hmac", ["key_id": .string(keyID), "secret": .string(Base64.encode(secret))])
        case .certificate(let match): writer.set("certificate", match.json())
        }
        writer.set("expires", self.expires.map { .string($0.rfc3339) })
        return writer.value
    }
}

extension CertificateMatch {
    private static let kinds: [String] = ["sha256", "subject", "dns", "uri"]

    static func read(_ decoder: NodeDecoder) -> CertificateMatch? {
        guard let fields: NodeFields = decoder.fields(self.kinds) else { return nil }
        guard self.kinds.filter({ fields[$0] != nil }).count == 1 else {
            fields.problem("expected one of \(self.kinds.joined(separator: ", "))")
            return nil
        }
        if let hash: NodeDecoder = fields["sha256"] {
            return hash.parsed("the SHA-256 of a certificate: 64 hexadecimal digits") { text in
                KeyDigest(hex: text.filter { $0 != ":" }.lowercased())
            }.map { .fingerprint($0) }
        }
        if let subject: NodeDecoder = fields["subject"] { return subject.string(length: 1...1024).map { .subject($0) } }
        if let dns: NodeDecoder = fields["dns"] { return dns.string(length: 1...253).map { .dns($0) } }
        return fields["uri"]?.string(length: 1...1024).map { .uri($0) }
    }

    func json() -> JSONValue {
        switch self {
        case .fingerprint(let digest): return ["sha256": .string(digest.hex)]
        case .subject(let subject): return ["subject": .string(subject)]
        case .dns(let name): return ["dns": .string(name)]
        case .uri(let uri): return ["uri": .string(uri)]
        }
    }
}

extension NodeDecoder {
    /// A name that travels in tokens and fields: visible ASCII.
    func credentialName() -> String? {
        let most: Int = CredentialDefinition.nameBytesMax
        return self.parsed("1 to \(most) visible ASCII characters without spaces, quotes and backslashes") { text in
            let isName: Bool =
                !text.isEmpty && text.utf8.count <= most
                && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x5c }
            return isName ? text : nil
        }
    }
}
