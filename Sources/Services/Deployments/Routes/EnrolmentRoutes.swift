import Contracts
import Crypto
import HTTP
import JSON
import REST
import Store
import Time

/// How a gateway gets the certificate it shows on its link: once by its token, then by the certificate it has.
extension DeploymentsService {
    private static let requestBytesMax: Int = 16 << 10

    var enrolmentRoute: Route {
        Route(
            "POST", "/v1/gateways/{gateway}/certificate", operationID: "certifyGateway", tag: Self.name,
            summary:
                "Issues the gateway's certificate for its certificate request: the first by its token, those after by the one it has",
            access: .enrolment,
            body: .json(
                Schema.object(["request": Schema.text(min: 1, max: Self.requestBytesMax)], required: ["request"])),
            answers: [Answer(201, "The certificate with its chain, and the root")]
        ) { [self] in try await self.certify($0) }
    }

    private func certify(_ context: RequestContext) async throws -> HTTPResponse {
        guard let certificates: any CertificatesOffer = self.certificates else {
            throw APIProblem.conflict("This control plane issues no certificates to gateways: they call by token.")
        }
        let id: String = try Self.gatewayID(context)
        guard !id.isEmpty, !id.contains("/") else {
            throw APIProblem.invalid("path:gateway", "expected an id without slashes")
        }
        let request: String = context.body["request"]?.text ?? ""
        let gateway: CertifiedGateway = CertifiedGateway(id: id, group: context.caller.id)
        let author: Author = context.author
        let hash: String? = context.caller.gateway == nil ? Self.tokenHash(context) : nil
        return try await context.change { transaction in
            let madeAt: Timestamp? = try hash.flatMap { try GatewayTokenTable.madeAt(hash: $0, in: transaction) }
            if context.caller.gateway == nil, madeAt == nil {
                throw APIProblem(.unauthenticated, "The token is not known any more.")
            }
            let issued: GatewayCertificate = try certificates.issueGateway(
                request: request, to: gateway, tokenMadeAt: madeAt, author: author, in: transaction)
            return .json(
                .object([
                    "gateway": .string(id), "chain": .string(issued.chain), "root": .string(issued.root),
                    "not_after": .string(issued.notAfter.rfc3339),
                ]), status: 201)
        }
    }

    private static func tokenHash(_ context: RequestContext) -> String? {
        guard let header: String = context.request.fields["Authorization"],
            case .bearer(let token) = AuthorizationField(header)
        else { return nil }
        return GatewayTokenTable.hash(token)
    }

    /// Asked again after a wait: a certificate that was revoked meanwhile gets nothing more.
    func requireStillKnown(_ context: RequestContext) async throws {
        guard context.caller.gateway != nil, let certificates: any CertificatesOffer = self.certificates,
            let fingerprint: [UInt8] = context.request.clientCertificate?.fingerprint
        else { return }
        let now: Timestamp = context.now
        let known: CertifiedGateway? = try await context.read {
            try certificates.gateway(withCertificate: fingerprint, at: now, in: $0)
        }
        guard known != nil else {
            throw APIProblem(.unauthenticated, "The certificate has ended or was revoked.")
        }
    }
}
