import Catalog
import Contracts
import EventLog
import HTTP
import JSON
import Portal
import REST
import ServiceTestKit
import Store
import Synchronization
import TestKit
import Testing
import Time

@testable import Deployments

/// Certificates by their first byte: 1 is the gateway `second` of the group `default`, until it is revoked.
private final class FixedCertificates: CertificatesOffer {
    let isRevoked: Mutex<Bool> = Mutex(false)
    let asked: Mutex<[String]> = Mutex([])

    func issueGateway(
        request: String, to gateway: CertifiedGateway, tokenMadeAt: Timestamp?, author: Author,
        in transaction: Transaction
    ) throws -> GatewayCertificate {
        self.asked.withLock { $0.append("\(gateway.group)/\(gateway.id) \(tokenMadeAt == nil ? "renews" : "enrols")") }
        return GatewayCertificate(chain: "chain", root: "root", notAfter: transaction.now)
    }

    func isRevoked(certificate fingerprint: [UInt8], in store: any Queryable) throws -> Bool {
        self.isRevoked.withLock { $0 } && fingerprint.first == 1
    }

    func gateway(
        withCertificate fingerprint: [UInt8], at now: Timestamp, in store: any Queryable
    ) throws -> CertifiedGateway? {
        if self.isRevoked.withLock({ $0 }) || fingerprint.first != 1 { return nil }
        return CertifiedGateway(id: "second", group: "default")
    }
}

/// Knows no tokens.
private struct Nobody: Authenticator {
    func authenticate(bearer token: String, ip: String) async -> Caller? { nil }
}

/// By what gateways may call, as the settings say.
struct GatewayAuthenticatorTests {
    private static func harness(
        _ certificates: FixedCertificates, _ accepts: GatewayCredentials
    ) async throws -> (harness: ServiceHarness, token: String, authenticator: GatewayAuthenticator) {
        let harness: ServiceHarness = try await ServiceHarness(
            migrations: [CatalogService.migrations, PortalService.migrations, DeploymentsService.migrations],
            authenticator: { services, fixed, _ in
                GatewayAuthenticator(services: services, others: fixed, certificates: certificates, accepts: accepts)
            },
            make: { services in
                [
                    DeploymentsService(
                        services: services, catalog: CatalogQueries(), portal: PortalQueries(clock: services.clock),
                        traffic: CapturedTraffic(), revocations: NothingEnded(), certificates: certificates)
                ]
            })
        return (
            harness, try await DeploymentsFixture.gatewayToken(group: "default", harness),
            GatewayAuthenticator(
                services: harness.services, others: Nobody(), certificates: certificates, accepts: accepts)
        )
    }

    @Test(arguments: GatewayCredentials.allCases)
    func gatewaysAreKnownByWhatIsAccepted(_ accepts: GatewayCredentials) async throws {
        let certificates: FixedCertificates = FixedCertificates()
        let made = try await Self.harness(certificates, accepts)
        let byToken: Caller? = await made.authenticator.authenticate(bearer: made.token, ip: "")
        #expect(byToken?.kind == (accepts == .certificate ? .enrollingGateway : .gateway))
        #expect(byToken?.gateway == nil)
        let byCertificate: Caller? = await made.authenticator.authenticate(certificate: [1], ip: "")
        #expect((byCertificate == nil) == (accepts == .token))
        if accepts != .token {
            #expect(byCertificate?.kind == .gateway)
            #expect(byCertificate?.id == "default")
            #expect(byCertificate?.gateway == "second")
        }
        #expect(await made.authenticator.authenticate(certificate: [2], ip: "") == nil)
        #expect(try await !made.authenticator.isRevoked(certificate: [1]))
        certificates.isRevoked.withLock { $0 = true }
        // Whatever gateways call by: people and programs show certificates, too.
        #expect(try await made.authenticator.isRevoked(certificate: [1]))
        #expect(try await !made.authenticator.isRevoked(certificate: [2]))
        #expect(await made.authenticator.authenticate(certificate: [1], ip: "") == nil)
        await made.harness.stop()
    }

    @Test func aTokenEnrolsAndNothingElseWhereCertificatesAreWanted() async throws {
        let certificates: FixedCertificates = FixedCertificates()
        let made = try await Self.harness(certificates, .certificate)
        let path: String = "/v1/gateways/second"
        let refused: TestAnswer = try await made.harness.send("GET", "\(path)/snapshot", token: made.token)
        #expect(refused.status == 403)
        #expect(refused.detail.contains("certificate"))
        let body: JSONValue = .object(["request": "a request"])
        let answer: TestAnswer = try await made.harness.send("POST", "\(path)/certificate", token: made.token, body)
        #expect(answer.status == 201)
        #expect(answer.json["chain"]?.text == "chain")
        #expect(certificates.asked.withLock { $0 } == ["default/second enrols"])
        for token in ["admin", "devops@acme", "pgw_none"] {
            #expect(try await made.harness.send("POST", "\(path)/certificate", token: token, body).status >= 401)
        }
        let slash: TestAnswer = try await made.harness.send(
            "POST", "/v1/gateways/a%2Fb/certificate", token: made.token, body)
        #expect(slash.pointers == ["path:gateway"])
        await made.harness.stop()
    }
}
