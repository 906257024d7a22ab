import Contracts
import Crypto
import Identifiers
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing
import Time

@testable import Secrets

/// What the platform's own authority does for gateways and for the control plane.
struct PlatformCertificatesTests {
    private static let gateway: CertifiedGateway = CertifiedGateway(id: "second", group: "default")

    private static func certificates(_ fixture: SecretsFixture) -> PlatformCertificates {
        PlatformCertificates(
            sealer: KeyRingSealer(keys: fixture.keys), publicURL: "http://127.0.0.1", lifetime: .seconds(9_000))
    }

    /// Enrols or renews. - Returns: the certificate's fingerprint.
    private static func issue(_ fixture: SecretsFixture, tokenMadeAt: Timestamp?) async throws -> [UInt8] {
        let certificates: PlatformCertificates = Self.certificates(fixture)
        let request: String = try SigningRequest.make(for: .generate(.p256), commonName: "ignored")
        let author: Author = Author(caller: .platform("test"), trace: .make())
        let issued: GatewayCertificate = try await fixture.harness.services.store.write {
            try certificates.issueGateway(
                request: request, to: Self.gateway, tokenMadeAt: tokenMadeAt, author: author, in: $0)
        }
        let chain: [Certificate] = try Certificate.chain(pem: issued.chain)
        #expect(chain.count == 2)
        #expect(chain[0].commonName == "second")
        #expect(chain[0].uris == ["urn:passerelle:gateway:default:second"])
        return chain[0].fingerprint
    }

    private static func known(_ fixture: SecretsFixture, _ fingerprint: [UInt8]) async throws -> CertifiedGateway? {
        let certificates: PlatformCertificates = Self.certificates(fixture)
        let now: Timestamp = fixture.harness.clock.now()
        return try await fixture.harness.services.store.read {
            try certificates.gateway(withCertificate: fingerprint, at: now, in: $0)
        }
    }

    @Test func gatewaysEnrolRenewAndAreKnown() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        let first: [UInt8] = try await Self.issue(fixture, tokenMadeAt: fixture.harness.clock.now())
        #expect(try await Self.known(fixture, first) == Self.gateway)
        #expect(try await Self.known(fixture, [UInt8](repeating: 1, count: 32)) == nil)
        fixture.harness.clock.advance(by: .seconds(6_100))
        let second: [UInt8] = try await Self.issue(fixture, tokenMadeAt: nil)
        #expect(try await Self.known(fixture, first) == Self.gateway)
        #expect(try await Self.known(fixture, second) == Self.gateway)
        fixture.harness.clock.advance(by: .seconds(3_000))
        #expect(try await Self.known(fixture, first) == nil)
        #expect(try await Self.known(fixture, second) == Self.gateway)
    }

    @Test func aRevokedGatewayComesBackByANewTokenOnly() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        let token: Timestamp = fixture.harness.clock.now()
        let first: [UInt8] = try await Self.issue(fixture, tokenMadeAt: token)
        let listed: TestAnswer = try await fixture.send("GET", "/v1/certificates", "admin")
        #expect(listed.items("purpose") == ["gateway"])
        let path: String = "/v1/certificates/\(listed.items("id")[0])"
        // It renews by itself.
        #expect(try await fixture.send("POST", "\(path)/renewal", "admin", .object([:])).status == 409)
        fixture.harness.clock.advance(by: .seconds(1))
        #expect(try await fixture.send("POST", "\(path)/revocation", "admin", .object([:])).status == 200)
        #expect(try await Self.known(fixture, first) == nil)
        await #expect(throws: APIProblem.self) { try await Self.issue(fixture, tokenMadeAt: token) }
        await #expect(throws: APIProblem.self) { try await Self.issue(fixture, tokenMadeAt: nil) }
        fixture.harness.clock.advance(by: .seconds(1))
        let next: [UInt8] = try await Self.issue(fixture, tokenMadeAt: fixture.harness.clock.now())
        #expect(try await Self.known(fixture, next) == Self.gateway)
    }

    @Test func theControlPlanesCertificateIsRenewedAtTwoThirds() async throws {
        let fixture: SecretsFixture = try await SecretsFixture()
        let certificates: PlatformCertificates = Self.certificates(fixture)
        func own() async throws -> PlatformCertificates.Own {
            try await certificates.own(names: ["localhost", "127.0.0.1"], in: fixture.harness.services.store)
        }
        let first: PlatformCertificates.Own = try await own()
        #expect(try await own().chain == first.chain)
        #expect(try Certificate.chain(pem: first.chain)[0].belongs(to: first.key))
        fixture.harness.clock.advance(by: .seconds(6_100))
        let next: PlatformCertificates.Own = try await own()
        #expect(next.chain != first.chain)
        #expect(next.root == first.root)
        #expect(try await own().chain == next.chain)
        // What was revoked is shown no longer.
        let listed: TestAnswer = try await fixture.send("GET", "/v1/certificates", "admin")
        let path: String = "/v1/certificates/\(listed.items("id")[0])/revocation"
        #expect(try await fixture.send("POST", path, "admin", .object([:])).status == 200)
        #expect(try await own().chain != next.chain)
    }
}
