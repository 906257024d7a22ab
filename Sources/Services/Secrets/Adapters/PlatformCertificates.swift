package import Contracts
package import Crypto
import Identifiers
import REST
package import Store
package import Time

/// What the platform's own authority does for the platform: certificates of its servers and of the link's gateways.
package struct PlatformCertificates: CertificatesOffer {
    /// How long a certificate of the platform's own is good, seconds; renewed at two thirds of it.
    private let lifetime: Int64
    private let pki: PKI

    /// - Parameters:
    ///   - publicURL: where those who check certificates reach the control plane.
    ///   - lifetime: of certificates of servers and gateways.
    package init(sealer: KeyRingSealer, publicURL: String, lifetime: Duration = .seconds(90 * 86_400)) {
        self.pki = PKI(sealer: sealer, publicURL: publicURL)
        self.lifetime = lifetime.components.seconds
    }

    /// The root, made where it is missing: what callers trust, and what vouches for gateways.
    package func root(in store: Store) async throws -> String {
        let pki: PKI = self.pki
        return try await store.write { transaction in
            let author: Author = Author(caller: .platform("secrets"), trace: TraceContext.make())
            _ = try pki.issuing(PKI.platform, author, in: transaction)
            return try AuthorityTable.root(tenant: PKI.platform, in: transaction)?.pem ?? ""
        }
    }

    /// What is wrong with a name that a server's certificate is to have; nil when nothing is.
    package static func problem(name: String) -> String? { CertificateRules.problem(name: name) }

    // MARK: Gateways

    /// For so long after its first certificate a gateway may enrol again: the answer may not have reached it.
    private static let enrolAgain: Duration = .seconds(900)

    private static func holder(_ gateway: CertifiedGateway) -> String { "\(gateway.group)/\(gateway.id)" }

    package func issueGateway(
        request: String, to gateway: CertifiedGateway, tokenMadeAt: Timestamp?, author: Author,
        in transaction: Transaction
    ) throws -> GatewayCertificate {
        let key: SigningRequest
        do throws(CryptoError) {
            key = try SigningRequest(pem: request)
        } catch {
            throw APIProblem.invalid("/request", "\(error)")
        }
        let last: CertificateRecord? = try IssuedTable.newest(
            .gateway, holder: Self.holder(gateway), tenant: PKI.platform, in: transaction)
        if let revoked: Timestamp = last?.revokedAt, tokenMadeAt.map({ $0 <= revoked }) ?? true {
            throw APIProblem.conflict(
                "The last certificate of the gateway '\(gateway.id)' was revoked at \(revoked.rfc3339). It enrols again with a token made since: POST /v1/gateways/tokens."
            )
        }
        if let last: CertificateRecord, tokenMadeAt != nil, last.state(at: transaction.now) == .valid,
            last.createdAt.adding(Self.enrolAgain) < transaction.now
        {
            throw APIProblem.conflict(
                "The gateway '\(gateway.id)' has a certificate until \(Timestamp(seconds: last.notAfter).rfc3339), and renews it by that. If it has lost it: revoke \(last.id), then give the gateway a token made since."
            )
        }
        let order: PKI.Order = PKI.Order(
            key: key.publicKey, commonName: gateway.id, names: [], uris: [Self.uri(gateway)], usage: .client,
            lifetime: self.lifetime, purpose: .gateway, holder: Self.holder(gateway), renews: last?.id)
        let issued: PKI.Issued = try self.pki.issue(order, tenant: PKI.platform, author, in: transaction)
        let root: String = try AuthorityTable.root(tenant: PKI.platform, in: transaction)?.pem ?? ""
        return GatewayCertificate(
            chain: issued.chain, root: root, notAfter: Timestamp(seconds: issued.record.notAfter))
    }

    /// Who it is, for those who read the certificate; the platform itself goes by its list.
    private static func uri(_ gateway: CertifiedGateway) -> String {
        var id: String = ""
        for byte in gateway.id.utf8 {
            let isPlain: Bool =
                (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || byte == 0x2D || byte == 0x2E
            id.unicodeScalars.append(isPlain ? Unicode.Scalar(byte) : "_")
        }
        return "urn:passerelle:gateway:\(gateway.group):\(id)"
    }

    package func isRevoked(certificate fingerprint: [UInt8], in store: any Queryable) throws -> Bool {
        try IssuedTable.find(fingerprint: fingerprint, tenant: PKI.platform, in: store)?.revokedAt != nil
    }

    package func gateway(
        withCertificate fingerprint: [UInt8], at now: Timestamp, in store: any Queryable
    ) throws -> CertifiedGateway? {
        guard
            let record: CertificateRecord = try IssuedTable.find(
                fingerprint: fingerprint, tenant: PKI.platform, in: store), record.purpose == .gateway,
            record.state(at: now) == .valid, let slash: String.Index = record.holder.firstIndex(of: "/")
        else { return nil }
        return CertifiedGateway(
            id: String(record.holder[record.holder.index(after: slash)...]), group: String(record.holder[..<slash]))
    }

    // MARK: The platform's own servers

    /// A certificate of a server, with what is needed to show it.
    package struct Own: Sendable {
        /// The certificate and those between it and the root, PEM.
        package let chain: String
        package let key: PrivateKey
        /// The root's certificate, PEM: what callers trust.
        package let root: String
        package let notAfter: Timestamp
        /// When it is due to be renewed.
        package let renewAt: Timestamp
    }

    /// The certificate for the platform's servers under these names: the present one, or the next where that is due. Processes
    /// that share a database and the names share it.
    ///
    /// - Throws: `APIProblem` when the key ring is sealed.
    package func own(names: [String], in store: Store) async throws -> Own {
        let pki: PKI = self.pki
        let lifetime: Int64 = self.lifetime
        let key: PrivateKey = try .generate(.p256)
        let holder: String = names.joined(separator: ",")
        return try await store.write { transaction in
            let last: CertificateRecord? = try IssuedTable.newest(
                .controlPlane, holder: holder, tenant: PKI.platform, in: transaction)
            if let last: CertificateRecord, last.state(at: transaction.now) == .valid,
                transaction.now.seconds
                    < CertificateRules.renewAt(notBefore: last.notBefore, notAfter: last.notAfter),
                let kept: PrivateKey = try pki.key(of: last, in: transaction)
            {
                return try Self.own(last, kept, in: transaction)
            }
            let order: PKI.Order = PKI.Order(
                key: try key.publicKey(), commonName: "control plane", names: names, usage: .server,
                lifetime: lifetime, purpose: .controlPlane, holder: holder, renews: last?.id, kept: key)
            let author: Author = Author(caller: .platform("secrets"), trace: TraceContext.make())
            let issued: PKI.Issued = try pki.issue(order, tenant: PKI.platform, author, in: transaction)
            return try Self.own(issued.record, key, in: transaction)
        }
    }

    private static func own(
        _ record: CertificateRecord, _ key: PrivateKey, in store: any Queryable
    ) throws -> Own {
        Own(
            chain: record.pem + (try AuthorityTable.certificate(record.authority, in: store) ?? ""), key: key,
            root: try AuthorityTable.root(tenant: PKI.platform, in: store)?.pem ?? "",
            notAfter: Timestamp(seconds: record.notAfter),
            renewAt: Timestamp(
                seconds: CertificateRules.renewAt(notBefore: record.notBefore, notAfter: record.notAfter)))
    }
}

extension PKI {
    /// The key of a certificate that the platform keeps; nil where it does not open any more.
    func key(of record: CertificateRecord, in store: any Queryable) throws -> PrivateKey? {
        guard let sealed: [UInt8] = try IssuedTable.sealedKey(record, in: store),
            let pem: [UInt8] = try self.sealer.open(
                sealed, name: IssuedTable.sealName(record.id), tenant: record.tenant, key: "", in: store)
        else { return nil }
        return try PrivateKey(pem: String(decoding: pem, as: UTF8.self))
    }
}
