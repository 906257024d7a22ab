import COpenSSL

/// Lists of revoked certificates (RFC 5280 section 5) from a file, of any number of authorities.
///
/// Sendable: never changed after `init`; `X509_CRL` sorts its entries under a lock of its own when it is first searched.
package final class RevocationLists: @unchecked Sendable {
    /// Longest text read: some 200,000 entries.
    package static let bytesMax: Int = 16 << 20

    /// The OpenSSL objects, each an `X509_CRL *`: for the TLS room. They live as long as this object.
    package let pointers: [OpaquePointer]
    /// What tells these lists from others.
    package let fingerprint: [UInt8]

    /// All lists of a PEM text (`-----BEGIN X509 CRL-----`), at least one. Who signed them is checked where they are used.
    package init(pem: String) throws(CryptoError) {
        guard pem.utf8.count <= Self.bytesMax else {
            throw .unsupported("lists of revoked certificates have at most \(Self.bytesMax) bytes")
        }
        let bio = MemoryBIO(pem)
        var found: [OpaquePointer] = []
        while let list: OpaquePointer = copenssl_read_revocation_list(bio.handle) { found.append(list) }
        self.pointers = found
        self.fingerprint = SHA256.hash(Array(pem.utf8))
        let isAtEnd: Bool = copenssl_is_pem_end(ERR_peek_last_error()) == 1
        ERR_clear_error()
        guard isAtEnd, !found.isEmpty else {
            throw .malformed("expected lists of revoked certificates in PEM (-----BEGIN X509 CRL-----)")
        }
    }

    deinit { for pointer in self.pointers { X509_CRL_free(pointer) } }

    /// Whether a list of its issuer names a certificate. Cost: a comparison of names for each list, and a binary search.
    package func name(_ certificate: Certificate) -> Bool {
        for list in self.pointers {
            guard X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_issuer_name(certificate.pointer)) == 0 else {
                continue
            }
            var entry: OpaquePointer?
            // 2: a delta list takes it off again (removeFromCRL).
            if X509_CRL_get0_by_cert(list, &entry, certificate.pointer) == 1 { return true }
        }
        return false
    }
}
