package import Crypto

/// A certificate with its chain and its private key.
package struct TLSCertificate: Sendable {
    /// The certificate itself first, then its intermediates; without the root.
    package let chain: [Certificate]
    package let key: PrivateKey

    /// From its parts; `chain` is not empty.
    package init(chain: [Certificate], key: PrivateKey) throws(CryptoError) {
        guard let first: Certificate = chain.first, first.belongs(to: key) else {
            throw .malformed("the private key does not belong to the first certificate of the chain")
        }
        self.chain = chain
        self.key = key
    }

    /// From PEM texts: the certificate followed by its intermediates, and the key.
    package init(chainPEM: String, keyPEM: String) throws(CryptoError) {
        try self.init(chain: Certificate.chain(pem: chainPEM), key: PrivateKey(pem: keyPEM))
    }

    /// From a certificate that was just issued.
    package init(_ certified: CertifiedKey) {
        self.chain = [certified.certificate]
        self.key = certified.key
    }
}

package enum TLSVersion: Sendable, CaseIterable {
    case tls12
    case tls13
}

/// How a server speaks TLS.
package struct TLSServerConfiguration: Sendable {
    /// Whether clients must show a certificate.
    package enum ClientCertificates: Sendable {
        /// They are not asked.
        case none
        /// Asked; one that is shown must be valid under these authorities.
        case optional([Certificate])
        /// Without a valid one under these authorities there is no connection.
        case required([Certificate])
    }

    /// What was revoked of the certificates that clients show.
    package struct Revocations: Sendable {
        package var lists: RevocationLists
        /// Whether a certificate is refused when there is no list of its issuer, or of one above. A list that cannot be used
        /// refuses always.
        package var needsEveryIssuer: Bool

        package init(_ lists: RevocationLists, needsEveryIssuer: Bool) {
            self.lists = lists
            self.needsEveryIssuer = needsEveryIssuer
        }
    }

    /// At least one. A client that names a host gets the first certificate valid for it, else the first of all.
    package var certificates: [TLSCertificate]
    package var minimumVersion: TLSVersion
    /// In order of preference, such as `["h2", "http/1.1"]`. A client that offers only others is refused (RFC 7301 section 3.2);
    /// one that offers none is served. Empty: no negotiation.
    package var applicationProtocols: [String]
    package var clientCertificates: ClientCertificates
    /// Nil: nothing is looked up. A list that has ended refuses whatever its issuer made.
    package var revocations: Revocations?
    /// How long a client may resume a session by its ticket.
    package var ticketLifetime: Duration
    /// Keys shared with the contexts before and after this one; nil: keys of its own.
    package var ticketKeys: TLSTicketKeys?
    /// OpenSSL's names of the ciphers spoken; those of TLS 1.3 begin with `TLS_`. A version of which none is named has all that
    /// are good.
    package var ciphers: [String]

    package init(
        certificates: [TLSCertificate], minimumVersion: TLSVersion = .tls12, applicationProtocols: [String] = [],
        clientCertificates: ClientCertificates = .none, revocations: Revocations? = nil,
        ticketLifetime: Duration = .seconds(7200), ticketKeys: TLSTicketKeys? = nil, ciphers: [String] = []
    ) {
        self.revocations = revocations
        self.ticketKeys = ticketKeys
        self.ciphers = ciphers
        self.certificates = certificates
        self.minimumVersion = minimumVersion
        self.applicationProtocols = applicationProtocols
        self.clientCertificates = clientCertificates
        self.ticketLifetime = ticketLifetime
    }
}

/// How a client speaks TLS.
package struct TLSClientConfiguration: Sendable {
    package enum Trust: Sendable {
        /// The authorities this machine trusts.
        case system
        /// Only these authorities (or these very certificates, when they signed themselves).
        case authorities([Certificate])
        /// Anyone. The connection is encrypted, to nobody knows whom: for diagnosis, when the operator insists.
        case anyone
    }

    package var trust: Trust
    package var minimumVersion: TLSVersion
    /// In order of preference. Empty: no negotiation.
    package var applicationProtocols: [String]
    /// What this client shows when it is asked who it is.
    package var certificate: TLSCertificate?

    package init(
        trust: Trust = .system, minimumVersion: TLSVersion = .tls12, applicationProtocols: [String] = [],
        certificate: TLSCertificate? = nil
    ) {
        self.trust = trust
        self.minimumVersion = minimumVersion
        self.applicationProtocols = applicationProtocols
        self.certificate = certificate
    }
}
