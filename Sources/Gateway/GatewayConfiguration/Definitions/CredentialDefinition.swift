import Crypto
package import Time

/// What an application shows, besides API keys, to be known: a client id of an authorization server, a user name with a password, a
/// secret that signs, a certificate.
package struct CredentialDefinition: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// `client_id` of tokens (RFC 9068 section 2.2, RFC 7662 section 2.2). Which issuers may speak of it, the API's policy says.
        case client(id: String)
        /// A user name, and the argon2id hash of its password as a PHC string.
        case basic(username: String, passwordHash: String)
        /// `keyid` of signatures, and the secret they are made with.
        case hmac(keyID: String, secret: [UInt8])
        case certificate(CertificateMatch)
    }

    /// Names it in records and limits. Default: none.
    package var id: String?
    package var kind: Kind
    /// From this moment it answers 401. Default: never.
    package var expires: Timestamp?

    package init(id: String? = nil, kind: Kind, expires: Timestamp? = nil) {
        self.id = id
        self.kind = kind
        self.expires = expires
    }

    /// Credentials of one application at most, keys not counted.
    package static let countMax: Int = 64
    package static let nameBytesMax: Int = 256
    package static let secretBytesMin: Int = 32
    package static let secretBytesMax: Int = 512
}

/// Which certificates are an application's.
package enum CertificateMatch: Sendable, Equatable {
    /// SHA-256 over the whole certificate in DER: this one only.
    case fingerprint(KeyDigest)
    /// A subject (RFC 4514): any certificate of the listener's authorities with it.
    case subject(String)
    /// A DNS name or a URI among the subject alternative names.
    case dns(String)
    case uri(String)
}

extension CredentialDefinition {
    /// How credentials are found: a digest of kind and name. A null byte, which no API key can hold, parts the two; so no key has
    /// the digest of another kind of credential.
    package static func digest(_ kind: CredentialKind, _ name: String) -> KeyDigest {
        KeyDigest(bytes: SHA256.hash([kind.rawValue, 0] + Array(name.utf8))) ?? KeyDigest(words: (0, 0, 0, 0))
    }

    package var credentialKind: CredentialKind {
        switch self.kind {
        case .client: return .client
        case .basic: return .basic
        case .hmac: return .hmac
        case .certificate(.fingerprint): return .fingerprint
        case .certificate(.subject): return .subject
        case .certificate(.dns): return .dns
        case .certificate(.uri): return .uri
        }
    }

    package var digest: KeyDigest {
        switch self.kind {
        case .client(let id): return Self.digest(.client, id)
        case .basic(let username, _): return Self.digest(.basic, username)
        case .hmac(let keyID, _): return Self.digest(.hmac, keyID)
        case .certificate(.fingerprint(let digest)): return Self.digest(.fingerprint, digest.hex)
        case .certificate(.subject(let subject)): return Self.digest(.subject, subject)
        case .certificate(.dns(let name)): return Self.digest(.dns, name.lowercased())
        case .certificate(.uri(let uri)): return Self.digest(.uri, uri)
        }
    }
}

/// Kinds of credentials as digests tell them apart. Part of the names of limits: never reused.
package enum CredentialKind: UInt8, Sendable, BitwiseCopyable {
    case key = 0
    case client = 1
    case basic = 2
    case hmac = 3
    case fingerprint = 4
    case subject = 5
    case dns = 6
    case uri = 7
}
