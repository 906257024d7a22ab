import Contracts
import Crypto
import HTTP
import JSON
import REST
import Store
import Time

/// Certificates of tenants at `/v1/tenants/{tenant}/certificates`, of the platform itself at `/v1/certificates`.
extension SecretsService {
    static let pemMax: Int = 64 << 10

    static let certificateSchema: JSONObject = [
        "id": Schema.text(max: 64), "tenant": Schema.optional(Schema.text(max: 63)), "authority": Schema.text(max: 64),
        "serial": Schema.text(max: 40), "fingerprint": Schema.text(max: 64), "common_name": Schema.text(max: 64),
        "names": Schema.array(Schema.text(max: 255), max: CertificateRules.namesMax),
        "usage": Schema.choice(IssuingAuthority.Usage.allCases.map(\.rawValue)),
        "purpose": Schema.choice(["general", "gateway", "control-plane"]),
        "state": Schema.choice(CertificateRecord.State.allCases.map(\.rawValue)), "not_before": Schema.time,
        "not_after": Schema.time, "renews": Schema.optional(Schema.text(max: 64)),
        "renewed_by": Schema.optional(Schema.text(max: 64)), "revoked_at": Schema.optional(Schema.time),
        "revocation_reason": Schema.optional(Schema.choice(RevocationReason.allCases.map(\.rawValue))),
        "created_at": Schema.time, "created_by": Schema.text(max: 64),
    ]

    private static let issuedSchema: JSONValue = {
        var schema: JSONObject = certificateSchema
        for name in ["certificate", "chain", "private_key"] { schema[name] = Schema.text(max: pemMax) }
        return Schema.object(schema)
    }()

    private static let lifetime: JSONValue = Schema.integer(CertificateRules.lifetimes)

    private static let order: JSONValue = Schema.object(
        [
            "common_name": Schema.text(min: 1, max: CertificateRules.commonNameMax),
            "names": Schema.array(Schema.text(min: 1, max: 255), max: CertificateRules.namesMax),
            "usage": Schema.choice(IssuingAuthority.Usage.allCases.map(\.rawValue)), "lifetime_seconds": lifetime,
            "request": Schema.text(min: 1, max: SigningRequest.bytesMax), "key": Schema.choice(keyKinds),
        ], required: ["usage"])

    private static let keyKinds: [String] = ["p256", "p384", "ed25519", "rsa"]

    var certificateRoutes: [Route] {
        OwnerScope.both("certificates", resource: "certificate").flatMap { self.certificateRoutes($0) }
    }

    private func certificateRoutes(_ scope: OwnerScope) -> [Route] {
        let certificate: JSONValue = Schema.object(Self.certificateSchema)
        let issued: Answer = Answer(
            201, "The certificate, and its private key where it was made here: shown this once",
            schema: Self.issuedSchema)
        return [
            Route(
                "GET", scope.path, operationID: "list\(scope.word)Certificates", tag: Self.name,
                summary: "Certificates of \(scope.whose) authority and their states, the newest first",
                access: scope.read,
                query: [
                    QueryParameter(
                        "state", .oneOf(CertificateRecord.State.allCases.map(\.rawValue)), "Only those in this state."),
                    QueryParameter(
                        "ends_within_days", .integer(0...36_500),
                        "Only those that end within so many days, or have ended."),
                ] + QueryParameter.page, answers: [Answer(200, "Certificates", schema: Schema.page(certificate))]
            ) { try await Self.listCertificates($0) },
            Route(
                "POST", scope.path, operationID: "issue\(scope.word)Certificate", tag: Self.name,
                summary:
                    "Issues a certificate of \(scope.whose) authority: for a certificate request, or with a key that is shown this once",
                access: scope.write, isCritical: scope.isCritical, body: .json(Self.order, bytesMax: 256 << 10),
                answers: [issued]
            ) { [self] in try await self.issueCertificate($0) },
            Route(
                "GET", "\(scope.path)/{certificate}", operationID: "get\(scope.word)Certificate", tag: Self.name,
                summary: "A certificate with its chain", access: scope.read,
                answers: [Answer(200, "The certificate", schema: Self.issuedSchema)]
            ) { context in
                try await context.read { reader in
                    let record: CertificateRecord = try Self.certificate(context, in: reader)
                    return .json(try Self.shown(record, at: context.now, in: reader))
                }
            },
            Route(
                "POST", "\(scope.path)/{certificate}/renewal", operationID: "renew\(scope.word)Certificate",
                tag: Self.name,
                summary:
                    "Issues the one that follows a certificate; both are good until the earlier one ends or is revoked",
                access: scope.write, isCritical: scope.isCritical,
                body: .json(
                    Schema.object([
                        "request": Schema.text(min: 1, max: SigningRequest.bytesMax),
                        "key": Schema.choice(Self.keyKinds), "lifetime_seconds": Self.lifetime,
                    ]), bytesMax: 256 << 10), answers: [issued]
            ) { [self] in try await self.renewCertificate($0) },
            Route(
                "POST", "\(scope.path)/{certificate}/revocation", operationID: "revoke\(scope.word)Certificate",
                tag: Self.name, summary: "Revokes a certificate at once: the next list that anybody gets names it",
                access: scope.write, isCritical: scope.isCritical,
                body: .json(
                    Schema.object(["reason": Schema.choice(RevocationReason.allCases.map(\.rawValue))])),
                answers: [Answer(200, "The certificate", schema: certificate)]
            ) { [self] in try await self.revokeCertificate($0) },
        ]
    }

    // MARK: Reading

    private static func certificate(_ context: RequestContext, in store: any Queryable) throws -> CertificateRecord {
        let id: String = context.parameter("certificate")
        guard let record: CertificateRecord = try IssuedTable.find(id, tenant: context.tenant, in: store) else {
            throw APIProblem.notFound("certificate", id)
        }
        return record
    }

    private static func shown(
        _ record: CertificateRecord, at now: Timestamp, in store: any Queryable
    ) throws -> JSONValue {
        var object: JSONObject = record.object(at: now)
        object["certificate"] = .string(record.pem)
        let issuer: String = try AuthorityTable.certificate(record.authority, in: store) ?? ""
        object["chain"] = .string(record.pem + issuer)
        return .object(object)
    }

    private static func listCertificates(_ context: RequestContext) async throws -> HTTPResponse {
        let page: Page = try context.page()
        let now: Timestamp = context.now
        let filter: IssuedTable.Filter = IssuedTable.Filter(
            state: context.query["state"].flatMap { CertificateRecord.State(rawValue: $0) },
            endsBefore: context.integer("ends_within_days").map { now.seconds + Int64($0) * 86_400 })
        let found: [CertificateRecord] = try await context.read {
            try IssuedTable.all(
                tenant: context.tenant, before: page.after, filter, now: now, limit: page.limit + 1, in: $0)
        }
        return .json(page.envelope(found, key: { $0.id }, json: { .object($0.object(at: now)) }))
    }

    // MARK: Issuing

    /// The key of a certificate: of the request, or a fresh one.
    private enum Key: Sendable {
        case requested(SigningRequest)
        case made(PrivateKey, PublicKey)

        var publicKey: PublicKey {
            switch self {
            case .requested(let request): request.publicKey
            case .made(_, let key): key
            }
        }
    }

    private static func key(_ context: RequestContext) async throws -> Key {
        if let text: String = context.body["request"]?.text {
            if context.body["key"] != nil { throw APIProblem.invalid("/key", "expected none beside /request") }
            do throws(CryptoError) {
                return .requested(try SigningRequest(pem: text))
            } catch {
                throw APIProblem.invalid("/request", "\(error)")
            }
        }
        let kind: KeyKind =
            switch context.body["key"]?.text {
            case "p384": .p384
            case "ed25519": .ed25519
            case "rsa": .rsa
            default: .p256
            }
        let key: PrivateKey = try await .make(kind)
        return .made(key, try key.publicKey())
    }

    private static func lifetime(_ context: RequestContext, default absent: Int64) -> Int64 {
        context.body["lifetime_seconds"]?.integer ?? absent
    }

    private func issueCertificate(_ context: RequestContext) async throws -> HTTPResponse {
        let key: Key = try await Self.key(context)
        var names: [String] = (context.body["names"]?.elements ?? []).compactMap(\.text)
        var commonName: String? = context.body["common_name"]?.text
        if case .requested(let request) = key {
            if context.body["names"] == nil { names = request.names.map { $0.lowercased() } }
            commonName = commonName ?? request.commonName
        }
        let usage: IssuingAuthority.Usage =
            IssuingAuthority.Usage(rawValue: context.body["usage"]?.text ?? "") ?? .client
        let order: PKI.Order = PKI.Order(
            key: key.publicKey, commonName: try Self.commonName(commonName, names: names), names: names, usage: usage,
            lifetime: Self.lifetime(context, default: CertificateRules.lifetimeDefault))
        try Self.check(order)
        return try await self.issue(key, context) { _ in order }
    }

    private static func commonName(_ given: String?, names: [String]) throws -> String {
        if let given: String {
            if let problem: String = CertificateRules.problem(commonName: given) {
                throw APIProblem.invalid("/common_name", problem)
            }
            return given
        }
        guard let first: String = names.first else {
            throw APIProblem.invalid("/common_name", "required where there are no names")
        }
        // A name cut short would be another name.
        return first.utf8.count <= CertificateRules.commonNameMax ? first : "server"
    }

    /// What can be said without the tenant's allowed names.
    private static func check(_ order: PKI.Order) throws {
        var errors: [InvalidField] = []
        if order.names.count > CertificateRules.namesMax {
            errors.append(InvalidField("/names", "expected at most \(CertificateRules.namesMax)"))
        }
        for (index, name) in order.names.enumerated() {
            if let problem: String = CertificateRules.problem(name: name) {
                errors.append(InvalidField("/names/\(index)", problem))
            }
        }
        if order.usage != .client, order.names.isEmpty {
            errors.append(InvalidField("/names", "expected the names of the server, one at least"))
        }
        guard errors.isEmpty else {
            throw APIProblem(.invalidRequest, "The certificate cannot be issued like that.", errors: errors)
        }
    }

    /// Names outside of what a tenant may have certificates for.
    private static func checkAllowed(_ order: PKI.Order, tenant: String, in store: any Queryable) throws {
        if tenant == PKI.platform { return }
        let constraints: NameConstraints = CertificateRules.constraints(
            try AuthorityTable.allowed(tenant: tenant, in: store))
        let expected: String =
            "not among the names the tenant may have certificates for; an administrator of the platform allows them: PUT /v1/tenants/\(tenant)/certificate-authority"
        var errors: [InvalidField] = []
        for (index, name) in order.names.enumerated() where !constraints.allow(name) {
            errors.append(InvalidField("/names/\(index)", expected))
        }
        // Without names, a common name with a dot is taken for one by those who check.
        if order.names.isEmpty, order.commonName.contains("."), !constraints.allow(order.commonName.lowercased()) {
            errors.append(InvalidField("/common_name", "reads like a DNS name, and is \(expected)"))
        }
        guard errors.isEmpty else {
            throw APIProblem(.invalidRequest, "The tenant may not have this certificate.", errors: errors)
        }
    }

    /// - Parameter order: made in the transaction that carries it out: what it is made of has not changed meanwhile.
    private func issue(
        _ key: Key, _ context: RequestContext, _ order: @escaping @Sendable (Transaction) throws -> PKI.Order
    ) async throws -> HTTPResponse {
        let author: Author = context.author
        let pki: PKI = self.pki
        let tenant: String = context.tenant
        return try await context.changeShowingSecret { transaction in
            let order: PKI.Order = try order(transaction)
            try Self.checkAllowed(order, tenant: tenant, in: transaction)
            let issued: PKI.Issued = try pki.issue(order, tenant: tenant, author, in: transaction)
            let repeated: JSONObject =
                try Self.shown(issued.record, at: transaction.now, in: transaction).object ?? [:]
            var object: JSONObject = repeated
            if case .made(let key, _) = key { object["private_key"] = .string(try key.pem()) }
            let location: String = OwnerScope.location("certificates", issued.record.id, tenant: tenant)
            return (
                .created(.object(object), location: location), .created(.object(repeated), location: location)
            )
        }
    }

    // MARK: Renewing and revoking

    private func renewCertificate(_ context: RequestContext) async throws -> HTTPResponse {
        let key: Key = try await Self.key(context)
        return try await self.issue(key, context) { transaction in
            let old: CertificateRecord = try Self.renewable(context, in: transaction)
            return PKI.Order(
                key: key.publicKey, commonName: old.commonName, names: old.names, usage: old.usage,
                lifetime: Self.lifetime(
                    context, default: old.notAfter - old.notBefore - CertificateRules.backdated), renews: old.id)
        }
    }

    /// The certificate of the path, if another one may follow it.
    private static func renewable(_ context: RequestContext, in transaction: Transaction) throws -> CertificateRecord {
        let old: CertificateRecord = try Self.certificate(context, in: transaction)
        switch old.state(at: transaction.now) {
        case .valid: break
        case .revoked: throw APIProblem.conflict("The certificate is revoked. Issue another one.")
        case .expired: throw APIProblem.conflict("The certificate has ended. Issue another one.")
        }
        guard old.purpose == .general else {
            throw APIProblem.conflict("The platform renews this certificate by itself.")
        }
        if let next: String = old.renewedBy {
            throw APIProblem.conflict("The certificate is renewed already, by '\(next)'. Renew that one.")
        }
        return old
    }

    private func revokeCertificate(_ context: RequestContext) async throws -> HTTPResponse {
        let reason: RevocationReason =
            RevocationReason(rawValue: context.body["reason"]?.text ?? "") ?? .unspecified
        let author: Author = context.author
        let pki: PKI = self.pki
        return try await context.change { transaction in
            let record: CertificateRecord = try Self.certificate(context, in: transaction)
            switch record.state(at: transaction.now) {
            case .valid: break
            case .revoked: throw APIProblem.conflict("The certificate is revoked already.")
            case .expired: throw APIProblem.conflict("The certificate has ended.")
            }
            let revoked: CertificateRecord = try pki.revoke(record, reason, author, in: transaction)
            return .json(.object(revoked.object(at: transaction.now)))
        }
    }
}
