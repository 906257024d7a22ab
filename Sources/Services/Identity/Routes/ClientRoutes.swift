import Contracts
import Crypto
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store

extension IdentityService {
    private static let read: Route.Access = .scoped(Permission("identity", "client", "read"))
    private static let write: Route.Access = .scoped(Permission("identity", "client", "write"))

    var clientRoutes: [Route] {
        let addresses: JSONValue = Schema.array(Schema.text(min: 1, max: 512), max: OAuthClient.addressesMax)
        return [
            Route(
                "POST", "/v1/oauth-clients", operationID: "createClient", tag: Self.name,
                summary: "Registers a client of the OpenID Connect issuer; its secret is shown this once",
                access: Self.write, isCritical: true, query: [.tenant],
                body: .json(
                    Schema.object(
                        [
                            "name": Schema.text(min: 1, max: 63), "confidential": Schema.boolean,
                            "redirect_uris": addresses, "post_logout_redirect_uris": addresses,
                            "grant_types": Schema.array(Schema.choice(OAuthClient.grantTypes), max: 8),
                            "scopes": Schema.array(Schema.choice(OAuthClient.scopes), max: 16),
                            "trusted": Schema.boolean, "service_account": Schema.text(min: 1, max: 63),
                        ], required: ["name", "confidential", "grant_types", "scopes"])),
                answers: [Answer(201, "The client and its secret")]
            ) { try await Self.createClient($0) },
            Route(
                "GET", "/v1/oauth-clients", operationID: "listClients", tag: Self.name,
                summary: "The clients of a tenant, or the platform's own when none is named", access: Self.read,
                query: [.tenant] + QueryParameter.page, answers: [Answer(200, "Clients by id")]
            ) { context in
                let page: Page = try context.page()
                let tenant: String = context.scope ?? ""
                let found: [OAuthClient] = try await context.read {
                    try OAuthClientTable.all(tenant: tenant, after: page.after ?? "", limit: page.limit + 1, in: $0)
                }
                return .json(page.envelope(found, key: { $0.id }, json: { $0.json }))
            },
            Route(
                "GET", "/v1/oauth-clients/{client}", operationID: "getClient", tag: Self.name, summary: "One client",
                access: Self.read, query: [.tenant], answers: [Answer(200, "The client")]
            ) { context in
                let client: OAuthClient = try await context.read { try Self.client(context, in: $0) }
                return .json(client.json, version: client.version)
            },
            Route(
                "DELETE", "/v1/oauth-clients/{client}", operationID: "deleteClient", tag: Self.name,
                summary: "Removes a client; every token it has ends at once", access: Self.write, query: [.tenant],
                answers: [Answer(204, "Removed")]
            ) { [self] in try await self.deleteClient($0) },
        ]
    }

    private static func client(_ context: RequestContext, in store: any Queryable) throws -> OAuthClient {
        let id: String = context.parameter("client")
        guard let client: OAuthClient = try OAuthClientTable.find(id, in: store), client.tenant == context.scope ?? ""
        else { throw APIProblem.notFound("client", id) }
        return client
    }

    private static func createClient(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        try GrantRules.requireSignIn(author.caller)
        let (body, tenant): (JSONValue, String) = (context.body, context.scope ?? "")
        @Sendable func texts(_ name: String) -> [String] { (body[name]?.elements ?? []).compactMap(\.text) }
        let grantTypes: [String] = texts("grant_types")
        var errors: [InvalidField] = []
        for name in ["redirect_uris", "post_logout_redirect_uris"] {
            for (index, address) in texts(name).enumerated() {
                if let problem: String = OAuthClient.problem(address: address) {
                    errors.append(InvalidField("/\(name)/\(index)", problem))
                }
            }
        }
        let isConfidential: Bool = body["confidential"]?.boolean ?? false
        if grantTypes.contains("authorization_code"), texts("redirect_uris").isEmpty {
            errors.append(InvalidField("/redirect_uris", "required for authorization_code"))
        }
        if grantTypes.contains("client_credentials"), !isConfidential || body["service_account"] == nil {
            errors.append(InvalidField("/service_account", "client_credentials needs a secret and a service account"))
        }
        guard errors.isEmpty else { throw APIProblem(.invalidRequest, "The client is not valid.", errors: errors) }
        // A trusted client asks nobody, and one with `platform` acts as its users: the platform administrator's business.
        if body["trusted"]?.boolean == true || texts("scopes").contains("platform"),
            !author.caller.decide(Permission("*", "*", "*"), tenant: nil).isAllowed
        {
            throw APIProblem(
                .forbidden, "Only platform administrators register trusted clients and the scope platform.")
        }
        let secret: String? =
            isConfidential ? Random.token(prefix: OAuthClient.secretPrefix, bytes: OAuthClient.secretBytes) : nil
        return try await context.changeShowingSecret { transaction in
            var account: String?
            if let reference: String = body["service_account"]?.text {
                guard
                    let found: ServiceAccount = try ServiceAccountTable.find(reference, tenant: tenant, in: transaction)
                else { throw APIProblem.invalid("/service_account", "there is no service account '\(reference)'") }
                // Who has the client's secret acts as the account.
                try GrantRules.requireAuthority(of: author.caller, from: [], to: found.grants)
                account = found.id
            }
            let client: OAuthClient = OAuthClient(
                tenant: tenant, id: Identifier.make("cli", now: transaction.now), name: body["name"]?.text ?? "",
                secretHash: secret.map { AccessToken.hash($0) }, redirectURIs: texts("redirect_uris"),
                logoutURIs: texts("post_logout_redirect_uris"), grantTypes: grantTypes, scopes: texts("scopes"),
                isTrusted: body["trusted"]?.boolean ?? false, account: account, createdAt: transaction.now, version: 1)
            try OAuthClientTable.insert(client, in: transaction)
            try Self.audit("oauth-client.created", client, author, in: transaction)
            var object: JSONObject = client.json.object ?? [:]
            let location: String = "/v1/oauth-clients/\(client.id)"
            let repeated: HTTPResponse = .created(.object(object), location: location, version: 1)
            if let secret: String { object["secret"] = .string(secret) }
            var answer: HTTPResponse = .created(.object(object), location: location, version: 1)
            answer.fields.append("Cache-Control", "no-store")
            return (answer, repeated)
        }
    }

    private func deleteClient(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let ended: [String] = try await self.services.store.write { transaction in
            let client: OAuthClient = try Self.client(context, in: transaction)
            try context.requireMatch(version: client.version)
            let grants: [String] = try OAuthGrantTable.revokeAll(ofClient: client.id, in: transaction)
            try ConsentTable.delete(client: client.id, in: transaction)
            try OAuthClientTable.delete(client, in: transaction)
            try Self.audit("oauth-client.deleted", client, author, in: transaction)
            return grants + [client.id]
        }
        self.tokens.revoke(ended)
        return .noContent
    }

    private static func audit(
        _ event: String, _ client: OAuthClient, _ author: Author, in transaction: Transaction
    ) throws {
        try author.audit(
            event, tenant: client.tenant,
            resource: AuditEntry.Resource(type: "oauth-client", id: client.id, version: client.version),
            changes: client.json.object ?? [:], in: transaction)
    }
}
