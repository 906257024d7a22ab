package import Contracts
package import KeyRing
package import REST
import Store
import Telemetry
import Time

/// Owns the key ring, the values of tenants' secrets, and the authorities that issue certificates.
///
/// A value is sealed with its tenant's data key, has versions, and is never shown: it opens where something refers to it by
/// `secret://name`. Publishes `secret-rotated`. Other services ask through `SecretQueries`.
package final class SecretsService: PlatformService {
    package static let name: String = "secrets"

    let services: ServiceEnvironment
    let keys: KeyRing
    let sealer: KeyRingSealer
    let users: any SecretUsers
    let renewal: KeyRenewal
    let pki: PKI
    let certificates: CertificateWatch

    /// - Parameters:
    ///   - columns: everything that is sealed with keys that rotate, of all services.
    ///   - publicURL: where those who check certificates reach the control plane.
    ///   - gateways: refuse certificates that were revoked; nil: there are none.
    ///   - rotateEvery: how old data keys and key-encrypting keys become before they rotate by themselves; nil: never.
    package init(
        services: ServiceEnvironment, keys: KeyRing, columns: [SealedColumn], users: any SecretUsers,
        publicURL: String = "http://127.0.0.1:8001", gateways: (any GatewayRevocations)? = nil,
        rotateEvery: Duration? = SecretsService.rotateEveryDefault
    ) {
        self.services = services
        self.keys = keys
        self.sealer = KeyRingSealer(keys: keys)
        self.users = users
        self.renewal = KeyRenewal(services: services, keys: keys, columns: columns, rotateEvery: rotateEvery)
        self.pki = PKI(sealer: self.sealer, publicURL: publicURL, gateways: gateways)
        self.certificates = CertificateWatch(services: services, pki: self.pki) { [keys] in keys.isSealed != nil }
        services.metrics.gauge(
            "passerelle_key_ring_sealed", help: "Whether nothing that is sealed can be opened: 1 or 0."
        ) {
            [weak keys] in keys?.isSealed == nil ? 0 : 1
        }
    }

    package static let rotateEveryDefault: Duration = .seconds(90 * 86_400)

    /// What this service keeps sealed.
    package static let sealedColumns: [SealedColumn] = [
        SealedColumn("secret_versions", keys: [.text("tenant"), .text("name"), .integer("version")]) {
            SecretTable.sealName($0[1], version: Int64($0[2]) ?? 0)
        },
        SealedColumn("pki_authorities", keys: [.text("tenant"), .text("authority_id")]) {
            AuthorityRecord.sealName($0[1])
        },
        SealedColumn("pki_certificates", keys: [.text("tenant"), .text("certificate_id")]) {
            IssuedTable.sealName($0[1])
        },
    ]

    package var routes: [Route] {
        self.secretRoutes + self.versionRoutes + self.keyRoutes + self.certificateRoutes + self.authorityRoutes
    }

    package func start() async throws {
        try await self.renewal.start()
        self.certificates.start()
    }

    package func stop() async {
        await self.certificates.stop()
        await self.renewal.stop()
    }
}
