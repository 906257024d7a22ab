import COpenSSL

/// A request for a certificate (PKCS #10, RFC 2986), whose signature proves that who made it has the private key.
package struct SigningRequest: Sendable {
    /// Longest text read.
    package static let bytesMax: Int = 64 << 10

    package let publicKey: PublicKey
    package let commonName: String?
    /// The DNS names and IP addresses among the alternative names it asks for, as they are: whoever issues checks them.
    package let names: [String]

    /// Reads `-----BEGIN CERTIFICATE REQUEST-----`.
    ///
    /// - Throws: `malformed` when it is none, or not signed by its own key; `unsupported` for keys that are not taken.
    package init(pem: String) throws(CryptoError) {
        guard pem.utf8.count <= Self.bytesMax else {
            throw .unsupported("a certificate request has at most \(Self.bytesMax) bytes")
        }
        let bio = MemoryBIO(pem)
        guard let request: OpaquePointer = copenssl_read_request(bio.handle) else {
            ERR_clear_error()
            throw .malformed("expected a certificate request in PEM (-----BEGIN CERTIFICATE REQUEST-----)")
        }
        defer { X509_REQ_free(request) }
        guard let raw: OpaquePointer = X509_REQ_get_pubkey(request) else {
            ERR_clear_error()
            throw .unsupported("the key of the certificate request cannot be read")
        }
        let key: KeyHandle = try KeyHandle(adopting: raw)
        let isOwn: Bool = X509_REQ_verify(request, key.pointer) == 1
        ERR_clear_error()
        guard isOwn else { throw .malformed("the certificate request is not signed by its own key") }
        self.publicKey = PublicKey(key)
        self.commonName = Certificate.commonName(in: X509_REQ_get_subject_name(request))
        guard let found: OpaquePointer = copenssl_request_names(request) else {
            ERR_clear_error()
            self.names = []
            return
        }
        defer { GENERAL_NAMES_free(found) }
        self.names = Certificate.texts(of: found, GEN_DNS) + Certificate.texts(of: found, GEN_IPADD)
    }

    /// A request for `key`, in PEM; asks for no names: whoever issues knows whom it is for.
    package static func make(for key: PrivateKey, commonName: String) throws(CryptoError) -> String {
        guard let request: OpaquePointer = X509_REQ_new() else { throw OpenSSLErrors.failure("making a request") }
        defer { X509_REQ_free(request) }
        let digest: OpaquePointer? = key.kind == .ed25519 ? nil : SHA256.algorithm
        guard X509_REQ_set_version(request, 0) == 1, X509_REQ_set_pubkey(request, key.pointer) == 1,
            CertificateDraft.add(commonName, NID_commonName, to: X509_REQ_get_subject_name(request)),
            X509_REQ_sign(request, key.pointer, digest) > 0
        else { throw OpenSSLErrors.failure("making a certificate request") }
        let bio = MemoryBIO()
        guard PEM_write_bio_X509_REQ(bio.handle, request) == 1 else {
            throw OpenSSLErrors.failure("writing a certificate request")
        }
        return bio.text
    }
}
