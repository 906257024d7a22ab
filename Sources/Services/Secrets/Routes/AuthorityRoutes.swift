import Contracts
import Crypto
import EventLog
import HTTP
import JSON
import REST
import Store
import Time

/// The authorities themselves, and what anybody may fetch of them.
extension SecretsService {
    private static let writePlatform: Route.Access = .platform(Permission("secrets", "platform-certificate", "write"))
    private static let readPlatform: Route.Access = .platform(Permission("secrets", "platform-certificate", "read"))

    private static let authority: JSONValue = {
        let one: JSONValue = Schema.object([
            "id": Schema.text(max: 64), "generation": Schema.integer(0...Int64.max), "not_after": Schema.time,
            "fingerprint": Schema.text(max: 64), "certificate": Schema.text(max: pemMax),
            "revocation_list": Schema.text(max: 2_200), "created_at": Schema.time,
        ])
        return Schema.object([
            "tenant": Schema.optional(Schema.text(max: 63)), "root": Schema.optional(one),
            "issuing": Schema.array(one), "allowed_names": Schema.array(Schema.text(max: 255)),
        ])
    }()

    var authorityRoutes: [Route] {
        let tenants: String = "/v1/tenants/{tenant}/certificate-authority"
        let shown: [Answer] = [Answer(200, "The authority", schema: Self.authority)]
        return [
            Route(
                "GET", tenants, operationID: "getCertificateAuthority", tag: Self.name,
                summary: "The tenant's authority: its root, what issues, the names it may issue for",
                access: .tenant(Permission("secrets", "certificate", "read")), answers: shown
            ) { [self] in try await self.getAuthority($0) },
            Route(
                "POST", tenants, operationID: "rotateCertificateAuthority", tag: Self.name,
                summary: "Makes the tenant's authority, or the next generation of what issues",
                access: .tenant(Permission("secrets", "certificate", "write")),
                answers: [Answer(201, "The authority", schema: Self.authority)]
            ) { [self] in try await self.rotateAuthority($0) },
            Route(
                "PUT", tenants, operationID: "allowCertificateNames", tag: Self.name,
                summary:
                    "Sets the domains and ranges of addresses a tenant may have certificates for; what issues from then on is constrained to them",
                access: Self.writePlatform, isCritical: true,
                body: .json(
                    Schema.object(
                        [
                            "allowed_names": Schema.array(
                                Schema.text(min: 1, max: 255), max: CertificateRules.allowedMax)
                        ], required: ["allowed_names"])), answers: shown
            ) { [self] in try await self.allowNames($0) },
            Route(
                "GET", "/v1/certificate-authority", operationID: "getPlatformCertificateAuthority", tag: Self.name,
                summary: "The platform's own authority: its root and what issues", access: Self.readPlatform,
                answers: shown
            ) { [self] in try await self.getAuthority($0) },
            Route(
                "POST", "/v1/certificate-authority", operationID: "rotatePlatformCertificateAuthority", tag: Self.name,
                summary: "Makes the platform's own authority, or the next generation of what issues",
                access: Self.writePlatform, isCritical: true,
                answers: [Answer(201, "The authority", schema: Self.authority)]
            ) { [self] in try await self.rotateAuthority($0) },
            Route(
                "GET", "/v1/pki/{authority}/crl", operationID: "getRevocationList", tag: Self.name,
                summary: "The list of certificates an authority has revoked (RFC 5280), for those who check them",
                access: .anyone,
                answers: [
                    Answer(200, "The list in DER", mediaType: "application/pkix-crl"),
                    Answer(304, "The list is the one that If-None-Match names"),
                ]
            ) { try await Self.getList($0) },
            Route(
                "GET", "/v1/pki/{authority}/certificate", operationID: "getAuthorityCertificate", tag: Self.name,
                summary: "The certificate of an authority, for those who check what it issued", access: .anyone,
                answers: [Answer(200, "The certificate in DER", mediaType: "application/pkix-cert")]
            ) { try await Self.getCertificate($0) },
        ]
    }

    private func shown(tenant: String, in store: any Queryable) throws -> JSONValue {
        let pki: PKI = self.pki
        let root: AuthorityRecord? = try AuthorityTable.root(tenant: tenant, in: store)
        let issuing: [AuthorityRecord] = try AuthorityTable.issuing(tenant: tenant, in: store)
        let allowed: [String] = try AuthorityTable.allowed(tenant: tenant, in: store)
        return .object([
            "tenant": tenant.isEmpty ? .null : .string(tenant), "root": root?.json(url: pki.url) ?? .null,
            "issuing": .array(issuing.map { $0.json(url: pki.url) }),
            "allowed_names": .array(allowed.map { .string($0) }),
        ])
    }

    private func getAuthority(_ context: RequestContext) async throws -> HTTPResponse {
        try await context.read { .json(try self.shown(tenant: context.tenant, in: $0)) }
    }

    private func rotateAuthority(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        return try await context.change { transaction in
            _ = try self.pki.nextIssuing(context.tenant, author, in: transaction)
            return .json(try self.shown(tenant: context.tenant, in: transaction), status: 201)
        }
    }

    private func allowNames(_ context: RequestContext) async throws -> HTTPResponse {
        let names: [String] = (context.body["allowed_names"]?.elements ?? []).compactMap(\.text)
        var errors: [InvalidField] = []
        for (index, name) in names.enumerated() {
            if let problem: String = CertificateRules.problem(allowed: name) {
                errors.append(InvalidField("/allowed_names/\(index)", problem))
            }
        }
        guard errors.isEmpty else {
            throw APIProblem(.invalidRequest, "The names cannot be allowed.", errors: errors)
        }
        let author: Author = context.author
        let tenant: String = context.tenant
        return try await context.change { transaction in
            guard try AuthorityTable.allowed(tenant: tenant, in: transaction) != names else {
                return .json(try self.shown(tenant: tenant, in: transaction))
            }
            try AuthorityTable.setAllowed(names, tenant: tenant, in: transaction)
            try author.audit(
                "certificate-authority.names-allowed", tenant: tenant,
                resource: AuditEntry.Resource(type: "certificate-authority", id: tenant),
                changes: ["allowed_names": .array(names.map { .string($0) })], in: transaction)
            // What issued until now is constrained to what was allowed then.
            _ = try self.pki.nextIssuing(tenant, author, in: transaction)
            return .json(try self.shown(tenant: tenant, in: transaction))
        }
    }

    // MARK: For those who check

    private static func getList(_ context: RequestContext) async throws -> HTTPResponse {
        let id: String = context.parameter("authority")
        let found = try await context.read { try AuthorityTable.list(id, in: $0) }
        guard let found else { throw APIProblem.notFound("authority", id) }
        let tag: String = "\"\(found.number)\""
        var fields: HTTPFields = HTTPFields()
        fields.append("ETag", tag)
        fields.append("Cache-Control", "public, max-age=\(CertificateRules.listCached)")
        fields.append("Last-Modified", Timestamp(seconds: found.at).httpDate)
        if context.request.fields["If-None-Match"] == tag {
            return HTTPResponse(status: 304, fields: fields, body: .bytes([]))
        }
        fields.append("Content-Type", "application/pkix-crl")
        return HTTPResponse(status: 200, fields: fields, body: .bytes(found.bytes))
    }

    private static func getCertificate(_ context: RequestContext) async throws -> HTTPResponse {
        let id: String = context.parameter("authority")
        guard let pem: String = try await context.read({ try AuthorityTable.certificate(id, in: $0) }),
            let certificate: Certificate = try Certificate.chain(pem: pem).first
        else { throw APIProblem.notFound("authority", id) }
        var fields: HTTPFields = HTTPFields()
        fields.append("Content-Type", "application/pkix-cert")
        fields.append("Cache-Control", "public, max-age=86400")
        return HTTPResponse(status: 200, fields: fields, body: .bytes(try certificate.der()))
    }
}
