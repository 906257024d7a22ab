import COpenSSL
import Crypto

/// What all TLS connections of one server, or of one client, have in common.
///
/// Immutable once made; any number of loops may use it. A change of certificates is a fresh context: sessions keep the one they
/// began with. Resumption outlives it where contexts share the keys of tickets and ask for the same client certificates.
///
/// Sendable: OpenSSL lets threads share an `SSL_CTX` that is no longer configured (openssl-threads(7)); the parts in Swift are
/// immutable or behind a lock.
package final class TLSContext: @unchecked Sendable {
    /// ECDHE with AEAD only. TLS 1.3 has its own list, all of whose members are good.
    private static let cipherList: String = "ECDHE+AESGCM:ECDHE+CHACHA20"
    /// Intermediates a peer's chain may have.
    private static let chainDepthMax: Int32 = 5

    let pointer: OpaquePointer
    let isServer: Bool
    /// Whether a client checks who answers.
    let verifiesPeer: Bool
    private let negotiation: ProtocolNegotiation
    private let certificateTable: CertificateTable
    let sessionCache = TLSSessionCache()
    /// Of a server that gives tickets.
    let ticketKeys: TLSTicketKeys?

    private init(
        isServer: Bool, verifiesPeer: Bool, minimumVersion: TLSVersion, applicationProtocols: [String],
        certificateTable: CertificateTable, ciphers: [String] = [], ticketKeys: TLSTicketKeys? = nil
    ) throws(TLSError) {
        self.isServer = isServer
        self.verifiesPeer = verifiesPeer
        self.negotiation = try ProtocolNegotiation(applicationProtocols)
        self.certificateTable = certificateTable
        self.ticketKeys = ticketKeys
        self.pointer = try TLSContext.makePointer(isServer: isServer, minimumVersion, ciphers)
        try self.negotiation.install(in: self.pointer, isServer: isServer)
    }

    deinit { SSL_CTX_free(self.pointer) }

    /// A server's context. Throws when a certificate and its key do not go together or a setting is out of range.
    package static func server(_ configuration: TLSServerConfiguration) throws(TLSError) -> TLSContext {
        guard let first: TLSCertificate = configuration.certificates.first else {
            throw .configuration("a TLS server needs at least one certificate")
        }
        let table = CertificateTable(configuration.certificates)
        let hasTickets: Bool = configuration.ticketLifetime > .zero
        let context = try TLSContext(
            isServer: true, verifiesPeer: false, minimumVersion: configuration.minimumVersion,
            applicationProtocols: configuration.applicationProtocols, certificateTable: table,
            ciphers: configuration.ciphers,
            ticketKeys: hasTickets
                ? configuration.ticketKeys ?? TLSTicketKeys(lifetime: configuration.ticketLifetime) : nil)
        try CertificateTable.use(first, in: context.pointer)
        // The table is owned by the context, and the context by every session: it outlives each call.
        copenssl_ctx_on_servername(
            context.pointer,
            { (session: OpaquePointer?, _: UnsafeMutablePointer<Int32>?, table: UnsafeMutableRawPointer?) -> Int32 in
                guard let session: OpaquePointer, let table: UnsafeMutableRawPointer else {
                    return SSL_TLSEXT_ERR_NOACK
                }
                return Unmanaged<CertificateTable>.fromOpaque(table).takeUnretainedValue().choose(for: session)
            }, Unmanaged.passUnretained(table).toOpaque())
        try context.configureTickets(configuration)
        try context.configureClientCertificates(configuration)
        return context
    }

    /// A client's context.
    package static func client(_ configuration: TLSClientConfiguration) throws(TLSError) -> TLSContext {
        var verifiesPeer: Bool = true
        if case .anyone = configuration.trust { verifiesPeer = false }
        let context = try TLSContext(
            isServer: false, verifiesPeer: verifiesPeer, minimumVersion: configuration.minimumVersion,
            applicationProtocols: configuration.applicationProtocols, certificateTable: CertificateTable([]))
        try context.configureTrust(configuration.trust)
        if let certificate: TLSCertificate = configuration.certificate {
            try CertificateTable.use(certificate, in: context.pointer)
        }
        SSL_CTX_set_verify(context.pointer, verifiesPeer ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nil)
        copenssl_ctx_set_session_cache(context.pointer, COPENSSL_SESS_CACHE_CLIENT)
        SSL_CTX_sess_set_new_cb(context.pointer) { (session: OpaquePointer?, resumption: OpaquePointer?) -> Int32 in
            TLSSession.keep(resumption, of: session)
        }
        return context
    }

    private static func makePointer(
        isServer: Bool, _ minimum: TLSVersion, _ ciphers: [String]
    ) throws(TLSError) -> OpaquePointer {
        guard let pointer: OpaquePointer = SSL_CTX_new(isServer ? TLS_server_method() : TLS_client_method()) else {
            throw .configuration("TLS cannot be set up", reasonOf: ())
        }
        copenssl_ctx_set_options(pointer)
        SSL_CTX_set_verify_depth(pointer, TLSContext.chainDepthMax)
        guard copenssl_ctx_set_min_version(pointer, minimum == .tls12 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1,
            SSL_CTX_set_cipher_list(pointer, TLSContext.cipherList) == 1
        else {
            SSL_CTX_free(pointer)
            throw .configuration("TLS cannot be set up", reasonOf: ())
        }
        let newer: [String] = ciphers.filter { $0.hasPrefix("TLS_") }
        let older: [String] = ciphers.filter { !$0.hasPrefix("TLS_") }
        guard newer.isEmpty || SSL_CTX_set_ciphersuites(pointer, newer.joined(separator: ":")) == 1,
            older.isEmpty || SSL_CTX_set_cipher_list(pointer, older.joined(separator: ":")) == 1
        else {
            SSL_CTX_free(pointer)
            throw .configuration("the ciphers cannot be used", reasonOf: ())
        }
        return pointer
    }

    /// Resumption by tickets only: no cache of sessions in the server, whatever their number.
    private func configureTickets(_ configuration: TLSServerConfiguration) throws(TLSError) {
        copenssl_ctx_set_session_cache(self.pointer, COPENSSL_SESS_CACHE_OFF)
        let seconds: Int64 = configuration.ticketLifetime.components.seconds
        guard (0...7 * 86_400).contains(seconds) else {
            throw .configuration("the lifetime of session tickets must be 0 to 7 days (RFC 8446 section 4.6.1)")
        }
        if self.ticketKeys == nil {
            copenssl_ctx_disable_tickets(self.pointer)
            SSL_CTX_set_num_tickets(self.pointer, 0)
        } else {
            SSL_CTX_set_timeout(self.pointer, Int(max(1, seconds)))
            TLSTicketKeys.install(in: self.pointer)
        }
        // Sessions of clients with certificates are resumed only where the same rules hold.
        let name: [UInt8] = TLSContext.name(of: configuration)
        guard SSL_CTX_set_session_id_context(self.pointer, name, UInt32(name.count)) == 1 else {
            throw .configuration("TLS cannot be set up", reasonOf: ())
        }
    }

    private static func name(of configuration: TLSServerConfiguration) -> [UInt8] {
        let lists: [UInt8] = configuration.revocations?.lists.fingerprint ?? []
        switch configuration.clientCertificates {
        case .none: return SHA256.hash([0])
        case .optional(let authorities): return SHA256.hash([1] + authorities.flatMap { $0.fingerprint } + lists)
        case .required(let authorities): return SHA256.hash([2] + authorities.flatMap { $0.fingerprint } + lists)
        }
    }

    private func configureClientCertificates(_ configuration: TLSServerConfiguration) throws(TLSError) {
        let authorities: [Certificate]
        var mode: Int32 = SSL_VERIFY_PEER
        switch configuration.clientCertificates {
        case .none: return
        case .optional(let list): authorities = list
        case .required(let list):
            authorities = list
            mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT
        }
        guard !authorities.isEmpty else {
            throw .configuration("client certificates need at least one authority that issues them")
        }
        try self.trust(authorities)
        for authority in authorities {
            guard SSL_CTX_add_client_CA(self.pointer, authority.pointer) == 1 else {
                throw .configuration("an authority for client certificates cannot be used", reasonOf: ())
            }
        }
        guard let revocations: TLSServerConfiguration.Revocations = configuration.revocations else {
            SSL_CTX_set_verify(self.pointer, mode, nil)
            return
        }
        let store: OpaquePointer? = SSL_CTX_get_cert_store(self.pointer)
        for list in revocations.lists.pointers {
            guard X509_STORE_add_crl(store, list) == 1 else {
                throw .configuration("a list of revoked certificates cannot be used", reasonOf: ())
            }
        }
        X509_STORE_set_flags(store, COPENSSL_CHECK_LISTS)
        if revocations.needsEveryIssuer {
            SSL_CTX_set_verify(self.pointer, mode, nil)
        } else {
            copenssl_ctx_verify_known_lists(self.pointer, mode)
        }
    }

    private func configureTrust(_ trust: TLSClientConfiguration.Trust) throws(TLSError) {
        switch trust {
        case .anyone: break
        case .authorities(let authorities):
            guard !authorities.isEmpty else { throw .configuration("a list of trusted authorities must not be empty") }
            try self.trust(authorities)
        case .system:
            guard SSL_CTX_set_default_verify_paths(self.pointer) == 1 else {
                throw .configuration("the authorities of this machine cannot be read", reasonOf: ())
            }
        }
    }

    private func trust(_ authorities: [Certificate]) throws(TLSError) {
        let store: OpaquePointer? = SSL_CTX_get_cert_store(self.pointer)
        for authority in authorities {
            guard X509_STORE_add_cert(store, authority.pointer) == 1 else {
                throw .configuration("a trusted authority cannot be used", reasonOf: ())
            }
        }
    }
}

/// Chooses the application protocol (ALPN, RFC 7301).
private final class ProtocolNegotiation: Sendable {
    private static let listBytesMax: Int = 65_535

    /// Names in order of preference, as bytes.
    private let names: [[UInt8]]

    init(_ names: [String]) throws(TLSError) {
        self.names = names.map { Array($0.utf8) }
        guard self.names.allSatisfy({ (1...255).contains($0.count) }),
            self.wireForm.count <= ProtocolNegotiation.listBytesMax
        else { throw .configuration("the name of an application protocol has 1 to 255 bytes") }
    }

    /// Each name behind its length.
    private var wireForm: [UInt8] {
        var bytes: [UInt8] = []
        for name in self.names { bytes += [UInt8(truncatingIfNeeded: name.count)] + name }
        return bytes
    }

    func install(in context: OpaquePointer, isServer: Bool) throws(TLSError) {
        guard !self.names.isEmpty else { return }
        guard isServer else {
            let bytes: [UInt8] = self.wireForm
            // This function alone returns 0 for success.
            guard SSL_CTX_set_alpn_protos(context, bytes, UInt32(bytes.count)) == 0 else {
                throw .configuration("the application protocols cannot be used", reasonOf: ())
            }
            return
        }
        // The negotiation is owned by the context, and the context by every session: it outlives each call.
        SSL_CTX_set_alpn_select_cb(
            context,
            { (_, chosen, chosenLength, offered, offeredLength, argument) -> Int32 in
                guard let argument: UnsafeMutableRawPointer, let offered: UnsafePointer<UInt8> else {
                    return SSL_TLSEXT_ERR_NOACK
                }
                let list = UnsafeBufferPointer(start: offered, count: Int(offeredLength))
                let negotiation = Unmanaged<ProtocolNegotiation>.fromOpaque(argument).takeUnretainedValue()
                guard let found: Range<Int> = negotiation.choose(from: list) else { return SSL_TLSEXT_ERR_ALERT_FATAL }
                // OpenSSL copies the name from the client's own list when this returns.
                chosen?.pointee = offered + found.lowerBound
                chosenLength?.pointee = UInt8(found.count)
                return SSL_TLSEXT_ERR_OK
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    /// Where in the client's list the most preferred common name stands.
    private func choose(from list: UnsafeBufferPointer<UInt8>) -> Range<Int>? {
        for name in self.names {
            var position: Int = 0
            while position < list.count {
                let start: Int = position + 1
                let end: Int = start + Int(list[position])
                // OpenSSL has checked the list; this keeps us inside all the same.
                guard end <= list.count else { return nil }
                if list[start..<end].elementsEqual(name) { return start..<end }
                position = end
            }
        }
        return nil
    }
}
