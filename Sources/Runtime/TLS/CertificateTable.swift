import COpenSSL
import Crypto

/// The certificates of a server by the names they are valid for: what the client's SNI (RFC 6066 section 3) chooses from.
///
/// A chosen certificate is put into the session. Switching the session to another `SSL_CTX`, the usual way, would also switch the
/// trusted authorities and the negotiation of protocols.
final class CertificateTable: Sendable {
    private let certificates: [TLSCertificate]
    private let exact: [String: Int]
    /// By what follows the star: `*.example.com` is kept as `example.com`.
    private let wildcard: [String: Int]

    /// The first certificate given for a name keeps it.
    init(_ certificates: [TLSCertificate]) {
        var exact: [String: Int] = [:]
        var wildcard: [String: Int] = [:]
        for (index, certificate) in certificates.enumerated() {
            for name in certificate.chain.first?.dnsNames ?? [] {
                if name.hasPrefix("*.") {
                    let suffix = String(name.dropFirst(2))
                    if wildcard[suffix] == nil { wildcard[suffix] = index }
                } else if exact[name] == nil {
                    exact[name] = index
                }
            }
        }
        self.certificates = certificates
        self.exact = exact
        self.wildcard = wildcard
    }

    /// Puts a certificate, its chain and its key into a context. Throws when they do not go together.
    static func use(_ certificate: TLSCertificate, in context: OpaquePointer) throws(TLSError) {
        guard let first: Certificate = certificate.chain.first else { throw .configuration("a certificate is missing") }
        guard SSL_CTX_use_certificate(context, first.pointer) == 1,
            SSL_CTX_use_PrivateKey(context, certificate.key.pointer) == 1, SSL_CTX_check_private_key(context) == 1
        else { throw .configuration("a certificate and its private key cannot be used", reasonOf: ()) }
        for intermediate in certificate.chain.dropFirst() {
            guard copenssl_ctx_add_chain(context, intermediate.pointer) == 1 else {
                throw .configuration("an intermediate certificate cannot be used", reasonOf: ())
            }
        }
    }

    /// Called in the handshake when the client named a host: puts the certificate for it into the session.
    func choose(for session: OpaquePointer) -> Int32 {
        guard let raw: UnsafePointer<CChar> = SSL_get_servername(session, TLSEXT_NAMETYPE_host_name) else {
            return SSL_TLSEXT_ERR_NOACK
        }
        // Without a certificate for the name the first of all stays: old clients and health checks need an answer.
        guard let index: Int = self.index(of: String(cString: raw)) else { return SSL_TLSEXT_ERR_NOACK }
        // The context has the first one already.
        if index > 0, !CertificateTable.replace(by: self.certificates[index], in: session) {
            return SSL_TLSEXT_ERR_ALERT_FATAL
        }
        return SSL_TLSEXT_ERR_OK
    }

    private static func replace(by certificate: TLSCertificate, in session: OpaquePointer) -> Bool {
        // Else one of another key type would stay beside it.
        SSL_certs_clear(session)
        guard SSL_use_certificate(session, certificate.chain[0].pointer) == 1,
            SSL_use_PrivateKey(session, certificate.key.pointer) == 1
        else { return false }
        for intermediate in certificate.chain.dropFirst() {
            guard copenssl_add_chain(session, intermediate.pointer) == 1 else { return false }
        }
        return true
    }

    /// A star stands for exactly one label (RFC 6125 section 6.4.3).
    private func index(of name: String) -> Int? {
        var host: String = name.lowercased()
        if host.hasSuffix(".") { host.removeLast() }
        if let index: Int = self.exact[host] { return index }
        guard let dot: String.Index = host.firstIndex(of: "."), dot != host.startIndex else { return nil }
        return self.wildcard[String(host[host.index(after: dot)...])]
    }
}
