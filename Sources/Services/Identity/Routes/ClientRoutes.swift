import Contracts
import Crypto
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store
import Time

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
                "PATCH", "/v1/oauth-clients/{client}", operationID: "updateClient", tag: Self.name,
                summary: "Changes a client; what it may do less ends at once", access: Self.write, isCritical: true,
                query: [.tenant],
                body: .json(
                    Schema.object([
                        "name": Schema.text(min: 1, max: 63), "redirect_uris": addresses,
                        "post_logout_redirect_uris": addresses,
                        "grant_types": Schema.array(Schema.choice(OAuthClient.grantTypes), max: 8),
                        "scopes": Schema.array(Schema.choice(OAuthClient.scopes), max: 16),
                        "trusted": Schema.boolean, "service_account": Schema.text(min: 1, max: 63),
                    ])), answers: [Answer(200, "The client")]
            ) { [self] in try await self.updateClient($0) },
            Route(
                "POST", "/v1/oauth-clients/{client}/secret", operationID: "rotateClientSecret", tag: Self.name,
                summary: "Makes a new secret, shown this once; the one before works on for a while",
                access: Self.write, isCritical: true, query: [.tenant],
                body: .json(
                    Schema.object(["expires_old_after_seconds": Schema.integer(0...OAuthClient.overlapMax)])),
                answers: [Answer(200, "The client and its secret")]
            ) { [self] in try await self.rotateSecret($0) },
            Route(
                "DELETE", "/v1/oauth-clients/{client}", operationID: "deleteClient", tag: Self.name,
                summary: "Removes a client; every token it has ends at once", access: Self.write, isCritical: true,
                query: [.tenant],
                answers: [Answer(204, "Removed")]
            ) { [self] in try await self.deleteClient($0) },
        ]
    }

    private static func client(_ context: RequestContext, in store: any Queryable) throws -> OAuthClient {
        let id: String = context.parameter("client")
        guard let client: OAuthClient = try OAuthClientTable.find(id, in: store), client.tenant == context.scope ?? "",
            client.id != OAuthClient.commandLine.id
        else { throw APIProblem.notFound("client", id) }
        return client
    }

    /// What a body says about a client, checked; what it leaves out is as in `old`.
    private struct Draft: Sendable {
        let name: String
        let redirectURIs: [String]
        let logoutURIs: [String]
        let grantTypes: [String]
        let scopes: [String]
        let isTrusted: Bool
        /// Name or id; nil: as before.
        let account: String?

        init(_ body: JSONValue, isConfidential: Bool, old: OAuthClient?, _ caller: Caller) throws {
            func texts(_ name: String, _ old: [String]?) -> [String] {
                body[name]?.elements.map { $0.compactMap(\.text) } ?? old ?? []
            }
            self.name = body["name"]?.text ?? old?.name ?? ""
            self.redirectURIs = texts("redirect_uris", old?.redirectURIs)
            self.logoutURIs = texts("post_logout_redirect_uris", old?.logoutURIs)
            self.grantTypes = texts("grant_types", old?.grantTypes)
            self.scopes = texts("scopes", old?.scopes)
            self.isTrusted = body["trusted"]?.boolean ?? old?.isTrusted ?? false
            self.account = body["service_account"]?.text
            var errors: [InvalidField] = []
            for (name, addresses) in [
                ("redirect_uris", self.redirectURIs), ("post_logout_redirect_uris", self.logoutURIs),
            ] {
                for (index, address) in addresses.enumerated() {
                    if let problem: String = OAuthClient.problem(address: address) {
                        errors.append(InvalidField("/\(name)/\(index)", problem))
                    }
                }
            }
            if self.grantTypes.contains("authorization_code"), self.redirectURIs.isEmpty {
                errors.append(InvalidField("/redirect_uris", "required for authorization_code"))
            }
            if self.grantTypes.contains("client_credentials"),
                !isConfidential || (self.account == nil && old?.account == nil)
            {
                errors.append(
                    InvalidField("/service_account", "client_credentials needs a secret and a service account"))
            }
            guard errors.isEmpty else { throw APIProblem(.invalidRequest, "The client is not valid.", errors: errors) }
            // A trusted client asks nobody, and one with `platform` acts as its users: the platform administrator's business, and
            // so is everything about a client that is so already.
            let isPowerful: Bool =
                self.isTrusted || self.scopes.contains("platform") || old?.isTrusted == true
                || old?.scopes.contains("platform") == true
            if isPowerful, !caller.decide(Permission("*", "*", "*"), tenant: nil).isAllowed {
                throw APIProblem(
                    .forbidden,
                    "Only platform administrators register and change trusted clients and those with the scope platform."
                )
            }
        }

        /// The service account's id. Who has the client's secret acts as the account, so it must be one the caller decides over.
        func accountID(
            tenant: String, old: String?, _ caller: Caller, in transaction: Transaction
        ) throws -> String? {
            guard let reference: String = self.account ?? old else { return nil }
            guard let found: ServiceAccount = try ServiceAccountTable.find(reference, tenant: tenant, in: transaction)
            else { throw APIProblem.invalid("/service_account", "there is no service account '\(reference)'") }
            try GrantRules.requireAuthority(of: caller, from: [], to: found.grants)
            return found.id
        }
    }

    private static func makeSecret() -> String {
        Random.token(prefix: OAuthClient.secretPrefix, bytes: OAuthClient.secretBytes)
    }

    private static func createClient(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        try GrantRules.requireSignIn(author.caller)
        let tenant: String = context.scope ?? ""
        let isConfidential: Bool = context.body["confidential"]?.boolean ?? false
        let draft: Draft = try Draft(context.body, isConfidential: isConfidential, old: nil, author.caller)
        let secret: String? = isConfidential ? Self.makeSecret() : nil
        return try await context.changeShowingSecret { transaction in
            let client: OAuthClient = OAuthClient(
                tenant: tenant, id: Identifier.make("cli", now: transaction.now), name: draft.name,
                secretHash: secret.map { AccessToken.hash($0) }, redirectURIs: draft.redirectURIs,
                logoutURIs: draft.logoutURIs, grantTypes: draft.grantTypes, scopes: draft.scopes,
                isTrusted: draft.isTrusted,
                account: try draft.accountID(tenant: tenant, old: nil, author.caller, in: transaction),
                createdAt: transaction.now, version: 1)
            try OAuthClientTable.insert(client, in: transaction)
            try Self.audit("oauth-client.created", client, author, in: transaction)
            return Self.showing(secret, of: client, status: 201)
        }
    }

    /// The answer with a secret, and the one that a repeat of the request gets.
    private static func showing(
        _ secret: String?, of client: OAuthClient, status: Int
    ) -> (answer: HTTPResponse, repeated: HTTPResponse) {
        var object: JSONObject = client.json.object ?? [:]
        let location: String = "/v1/oauth-clients/\(client.id)"
        let repeated: HTTPResponse = .json(
            .object(object), status: status, version: client.version, location: location)
        if let secret: String { object["secret"] = .string(secret) }
        var answer: HTTPResponse = .json(.object(object), status: status, version: client.version, location: location)
        answer.fields.append("Cache-Control", "no-store")
        return (answer, repeated)
    }

    /// Changes a client. What it may do less, it does less at once: grants with a scope that is gone end.
    private func updateClient(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        try GrantRules.requireSignIn(author.caller)
        let body: JSONValue = context.body
        let (answer, ended): (HTTPResponse, [String]) = try await self.services.store.write { transaction in
            let old: OAuthClient = try Self.client(context, in: transaction)
            try context.requireMatch(version: old.version)
            let draft: Draft = try Draft(body, isConfidential: old.secretHash != nil, old: old, author.caller)
            var client: OAuthClient = OAuthClient(
                tenant: old.tenant, id: old.id, name: draft.name, secretHash: old.secretHash,
                redirectURIs: draft.redirectURIs, logoutURIs: draft.logoutURIs, grantTypes: draft.grantTypes,
                scopes: draft.scopes, isTrusted: draft.isTrusted,
                account: try draft.accountID(
                    tenant: old.tenant, old: old.account, author.caller, in: transaction), createdAt: old.createdAt,
                version: old.version + 1)
            client.oldSecret = old.oldSecret
            try OAuthClientTable.update(client, in: transaction)
            var ended: [String] = []
            if !Set(old.scopes).isSubset(of: client.scopes) || !Set(old.grantTypes).isSubset(of: client.grantTypes) {
                ended = try OAuthGrantTable.revokeAll(ofClient: client.id, in: transaction) + [client.id]
                try RevocationTable.add(ended, in: transaction)
                try ConsentTable.delete(client: client.id, in: transaction)
            }
            try Self.audit("oauth-client.updated", client, author, in: transaction)
            return (.json(client.json, version: client.version), ended)
        }
        self.tokens.revoke(ended)
        return answer
    }

    /// A new secret, shown this once; the one before works on for a while, or ends at once together with what was got by it.
    private func rotateSecret(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        try GrantRules.requireSignIn(author.caller)
        let seconds: Int64 = context.body["expires_old_after_seconds"]?.integer ?? OAuthClient.overlapDefault
        let secret: String = Self.makeSecret()
        let answer: HTTPResponse = try await context.changeShowingSecret { transaction in
            let old: OAuthClient = try Self.client(context, in: transaction)
            try context.requireMatch(version: old.version)
            guard let oldHash: String = old.secretHash else {
                throw APIProblem.conflict("The client is in the hands of its users and has no secret.")
            }
            if old.isTrusted || old.scopes.contains("platform"),
                !author.caller.decide(Permission("*", "*", "*"), tenant: nil).isAllowed
            {
                throw APIProblem(.forbidden, "Only platform administrators make secrets of such a client.")
            }
            if let account: String = old.account,
                let found: ServiceAccount = try ServiceAccountTable.find(account, tenant: old.tenant, in: transaction)
            {
                try GrantRules.requireAuthority(of: author.caller, from: [], to: found.grants)
            }
            var client: OAuthClient = OAuthClient(
                tenant: old.tenant, id: old.id, name: old.name, secretHash: AccessToken.hash(secret),
                redirectURIs: old.redirectURIs, logoutURIs: old.logoutURIs, grantTypes: old.grantTypes,
                scopes: old.scopes, isTrusted: old.isTrusted, account: old.account, createdAt: old.createdAt,
                version: old.version + 1)
            if seconds > 0 {
                client.oldSecret = (oldHash, transaction.now.adding(.seconds(seconds)))
            } else {
                try RevocationTable.add([client.id], in: transaction)
            }
            try OAuthClientTable.update(client, in: transaction)
            try Self.audit("oauth-client.secret-rotated", client, author, in: transaction)
            return Self.showing(secret, of: client, status: 200)
        }
        if seconds == 0, !answer.wasRepeated { self.tokens.revoke([context.parameter("client")]) }
        return answer
    }

    private func deleteClient(_ context: RequestContext) async throws -> HTTPResponse {
        let author: Author = context.author
        let ended: [String] = try await self.services.store.write { transaction in
            let client: OAuthClient = try Self.client(context, in: transaction)
            try context.requireMatch(version: client.version)
            return try Self.end(client, author, in: transaction)
        }
        self.tokens.revoke(ended)
        return .noContent
    }

    /// Deletes a client. - Returns: what ends with it.
    static func end(_ client: OAuthClient, _ author: Author, in transaction: Transaction) throws -> [String] {
        let grants: [String] = try OAuthGrantTable.revokeAll(ofClient: client.id, in: transaction)
        try ConsentTable.delete(client: client.id, in: transaction)
        try OAuthClientTable.delete(client, in: transaction)
        try Self.audit("oauth-client.deleted", client, author, in: transaction)
        return grants + [client.id]
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
