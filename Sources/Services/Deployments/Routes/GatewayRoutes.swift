package import Contracts
import Crypto
import EventLog
import HTTP
import Identifiers
import JSON
package import REST
import Store
import Time

extension DeploymentsService {
    var gatewayRoutes: [Route] {
        [
            Route(
                "GET", "/v1/gateways", operationID: "listGateways", tag: Self.name,
                summary: "The gateways, what they run and whether they are heard",
                access: .platform(Permission("deployments", "gateway", "read")), query: QueryParameter.page,
                answers: [Answer(200, "Gateways by id")]
            ) { [self] context in
                let page: Page = try context.page()
                let latest: Int64 = await self.publisher.latestVersion
                let now: Int64 = self.time.milliseconds
                let found: [GatewayStatus] = self.directory.gateways().filter { $0.id > page.after ?? "" }
                return .json(page.envelope(found, key: { $0.id }, json: { $0.json(now: now, latest: latest) }))
            },
            Route(
                "DELETE", "/v1/gateways/{gateway}", operationID: "forgetGateway", tag: Self.name,
                summary: "Forgets a gateway that is away for good",
                access: .platform(Permission("deployments", "gateway", "write")), answers: [Answer(204, "Forgotten")]
            ) { [self] in try await self.forgetGateway($0) },
            Route(
                "POST", "/v1/gateways/tokens", operationID: "createGatewayToken", tag: Self.name,
                summary: "Makes a token with which gateways of a group call in, shown this once",
                access: .platform(Permission("deployments", "gateway", "write")), isCritical: true,
                body: .json(
                    Schema.object(["gateway_group": Schema.text(min: 1, max: 63)], required: ["gateway_group"])),
                answers: [Answer(201, "The token")]
            ) { try await Self.createToken($0) },
        ]
    }

    private func forgetGateway(_ context: RequestContext) async throws -> HTTPResponse {
        let id: String = context.parameter("gateway")
        guard let known: GatewayStatus = self.directory.gateways().first(where: { $0.id == id }) else {
            throw APIProblem.notFound("gateway", id)
        }
        guard !known.isLive(now: self.time.milliseconds) else {
            throw APIProblem.conflict("The gateway '\(id)' is live. Stop it first.")
        }
        let author: Author = context.author
        let answer: HTTPResponse = try await context.change { transaction in
            try GatewayTable.delete(id, in: transaction)
            try PurgeTable.forget(gateway: id, in: transaction)
            try author.audit(
                "gateway.forgotten", tenant: "", resource: AuditEntry.Resource(type: "gateway", id: id),
                changes: ["gateway_group": .string(known.group)], in: transaction)
            return .noContent
        }
        self.directory.forget(id)
        return answer
    }

    private static func createToken(_ context: RequestContext) async throws -> HTTPResponse {
        let group: String = context.body["gateway_group"]?.text ?? ""
        if let problem: String = Slug.validate(group) { throw APIProblem.invalid("/gateway_group", problem) }
        let token: String = Random.token(prefix: GatewayTokenTable.prefix, bytes: GatewayTokenTable.randomBytes)
        let hash: String = GatewayTokenTable.hash(token)
        let author: Author = context.author
        return try await context.changeShowingSecret { transaction in
            try Self.insertToken(hash: hash, group: group, author, in: transaction)
            let shown: JSONValue = .object(["gateway_group": .string(group), "token": .string(token)])
            let repeated: JSONValue = .object(["gateway_group": .string(group)])
            return (.json(shown, status: 201), .json(repeated, status: 201))
        }
    }

    private static func insertToken(hash: String, group: String, _ author: Author, in transaction: Transaction) throws {
        try GatewayTokenTable.insert(hash: hash, group: group, in: transaction)
        try author.audit(
            "gateway-token.created", tenant: "", resource: AuditEntry.Resource(type: "gateway-token", id: hash),
            changes: ["gateway_group": .string(group), "token_sha256": .string(hash)], in: transaction)
    }

    /// Makes sure that a token is known: the one the platform keeps in its data folder for gateways on the same machine.
    package func registerToken(_ token: String, group: String) async throws {
        let hash: String = GatewayTokenTable.hash(token)
        let author: Author = Author(caller: .platform("deployments"), trace: TraceContext.make())
        try await self.services.store.write { transaction in
            guard try GatewayTokenTable.group(ofHash: hash, in: transaction) == nil else { return }
            try Self.insertToken(hash: hash, group: group, author, in: transaction)
        }
    }

    /// A new gateway token's text.
    package static func makeToken() -> String {
        Random.token(prefix: GatewayTokenTable.prefix, bytes: GatewayTokenTable.randomBytes)
    }
}

/// By what gateways may call.
package enum GatewayCredentials: String, Sendable, CaseIterable {
    /// By a token of their group, or by a certificate that the platform's own authority issued to them.
    case either
    case token
    /// By their certificate; the token is for asking for the first one.
    case certificate
}

/// Knows gateways by their tokens and certificates, and hands every other token on.
package final class GatewayAuthenticator: Authenticator {
    private let services: ServiceEnvironment
    private let others: any Authenticator
    private let certificates: (any CertificatesOffer)?
    private let accepts: GatewayCredentials

    /// - Parameter certificates: what knows certificates of gateways; without it there are none.
    package init(
        services: ServiceEnvironment, others: any Authenticator, certificates: (any CertificatesOffer)? = nil,
        accepts: GatewayCredentials = .either
    ) {
        self.services = services
        self.others = others
        self.certificates = certificates
        self.accepts = accepts
    }

    /// Looked up for every call: what was revoked is refused from then on.
    package func authenticate(certificate fingerprint: [UInt8], ip: String) async -> Caller? {
        guard let certificates: any CertificatesOffer = self.certificates, self.accepts != .token else { return nil }
        let now: Timestamp = self.services.clock.now()
        let gateway: CertifiedGateway? = try? await self.services.store.read {
            try certificates.gateway(withCertificate: fingerprint, at: now, in: $0)
        }
        guard let gateway: CertifiedGateway else { return nil }
        return Caller(kind: .gateway, id: gateway.group, grants: [], ip: ip, gateway: gateway.id)
    }

    package func isRevoked(certificate fingerprint: [UInt8]) async throws -> Bool {
        guard let certificates: any CertificatesOffer = self.certificates else { return false }
        return try await self.services.store.read { try certificates.isRevoked(certificate: fingerprint, in: $0) }
    }

    package func isStepUpDue(for caller: Caller, enrolling: Bool) async -> Bool {
        await self.others.isStepUpDue(for: caller, enrolling: enrolling)
    }

    package func authenticate(bearer token: String, ip: String) async -> Caller? {
        guard token.hasPrefix(GatewayTokenTable.prefix) else {
            return await self.others.authenticate(bearer: token, ip: ip)
        }
        let hash: String = GatewayTokenTable.hash(token)
        let group: String? = try? await self.services.store.read { try GatewayTokenTable.group(ofHash: hash, in: $0) }
        guard let group: String else { return nil }
        return Caller(
            kind: self.accepts == .certificate ? .enrollingGateway : .gateway, id: group, grants: [], ip: ip)
    }
}
