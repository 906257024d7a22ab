package import Store
package import Time

/// A certificate that was issued to a gateway for its link.
package struct GatewayCertificate: Sendable {
    /// Its certificate and those between it and the root, PEM.
    package let chain: String
    /// The root's certificate, PEM.
    package let root: String
    package let notAfter: Timestamp

    package init(chain: String, root: String, notAfter: Timestamp) {
        self.chain = chain
        self.root = root
        self.notAfter = notAfter
    }
}

/// Which gateway a certificate is for.
package struct CertifiedGateway: Sendable, Equatable {
    package let id: String
    package let group: String

    package init(id: String, group: String) {
        self.id = id
        self.group = group
    }
}

/// What the platform's own authority does for the link to gateways. Offered by `secrets`.
package protocol CertificatesOffer: Sendable {
    /// Issues what a gateway asks for with a certificate request (PEM), as the next one after those it has.
    ///
    /// - Parameter tokenMadeAt: when the token was made by which it enrols; nil: it renews, by the certificate it has.
    /// - Throws: a problem when the request is none, or its last certificate was revoked after the token was made.
    func issueGateway(
        request: String, to gateway: CertifiedGateway, tokenMadeAt: Timestamp?, author: Author,
        in transaction: Transaction
    ) throws -> GatewayCertificate

    /// Whether a certificate with this SHA-256 was issued by the platform's own authority, and revoked.
    func isRevoked(certificate fingerprint: [UInt8], in store: any Queryable) throws -> Bool

    /// The gateway whose certificate has this SHA-256; nil when there is none such, it has ended or was revoked.
    func gateway(withCertificate fingerprint: [UInt8], at now: Timestamp, in store: any Queryable) throws
        -> CertifiedGateway?
}
