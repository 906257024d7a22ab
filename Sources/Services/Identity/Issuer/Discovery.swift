import Contracts
import HTTP
import JSON
import REST

extension IdentityService {
    /// The issuer's operations that need no credentials of the platform's: they have their own.
    var issuerRoutes: [Route] {
        self.discoveryRoutes + self.authorizationRoutes + self.tokenEndpointRoutes + self.deviceRoutes
            + self.logoutRoutes + self.challengeRoutes + self.factorRoutes
    }

    private var discoveryRoutes: [Route] {
        [
            Route(
                "GET", "/.well-known/openid-configuration", operationID: "issuerMetadata", tag: Self.name,
                summary: "What the OpenID Connect issuer offers, and where", access: .anyone,
                answers: [Answer(200, "OpenID provider metadata")]
            ) { [keys] _ in
                Self.metadataAnswer(issuer: keys.issuer)
            },
            Route(
                "GET", "/.well-known/oauth-authorization-server", operationID: "authorizationServerMetadata",
                tag: Self.name, summary: "The same, for clients of OAuth that know nothing of OpenID (RFC 8414)",
                access: .anyone, answers: [Answer(200, "Authorization server metadata")]
            ) { [keys] _ in
                Self.metadataAnswer(issuer: keys.issuer)
            },
            Route(
                "POST", "/v1/signing-keys", operationID: "rotateSigningKey", tag: Self.name,
                summary: "Makes the next signing key: published now, used when everybody knows it",
                access: .platform(Permission("identity", "signing-key", "write")), isCritical: true,
                answers: [Answer(201, "The key's id")]
            ) { [keys] context in
                let id: String = try await keys.rotate(context.author)
                return .created(.object(["id": .string(id)]), location: "/.well-known/jwks.json")
            },
        ]
    }

    private static func metadataAnswer(issuer: String) -> HTTPResponse {
        var response: HTTPResponse = .json(Self.metadata(issuer: issuer))
        response.fields.append("Cache-Control", "public, max-age=\(SigningKeys.cacheSeconds)")
        return response
    }

    private static func metadata(issuer: String) -> JSONValue {
        func texts(_ values: [String]) -> JSONValue { .array(values.map { JSONValue.string($0) }) }
        let clientMethods: JSONValue = texts(["client_secret_basic", "client_secret_post", "none"])
        return .object([
            "issuer": .string(issuer), "authorization_endpoint": .string("\(issuer)/oauth2/authorize"),
            "token_endpoint": .string("\(issuer)/oauth2/token"), "jwks_uri": .string("\(issuer)/.well-known/jwks.json"),
            "userinfo_endpoint": .string("\(issuer)/oauth2/userinfo"),
            "introspection_endpoint": .string("\(issuer)/oauth2/introspect"),
            "revocation_endpoint": .string("\(issuer)/oauth2/revoke"),
            "device_authorization_endpoint": .string("\(issuer)/oauth2/device_authorization"),
            "end_session_endpoint": .string("\(issuer)/oauth2/logout"), "scopes_supported": texts(OAuthClient.scopes),
            "response_types_supported": texts(["code"]), "response_modes_supported": texts(["query"]),
            "grant_types_supported": texts(OAuthClient.grantTypes), "subject_types_supported": texts(["public"]),
            "id_token_signing_alg_values_supported": texts(["RS256"]),
            "token_endpoint_auth_methods_supported": clientMethods,
            "introspection_endpoint_auth_methods_supported": texts(["client_secret_basic", "client_secret_post"]),
            "revocation_endpoint_auth_methods_supported": clientMethods,
            "code_challenge_methods_supported": texts(["S256"]),
            "acr_values_supported": texts([Session.twoFactors, Session.oneFactor]),
            "claims_supported": texts([
                "sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "sid", "amr", "acr",
                "preferred_username", "groups", "roles",
            ]), "ui_locales_supported": texts(["en", "fr"]),
            "prompt_values_supported": texts(["none", "login", "consent", "select_account"]),
            "authorization_response_iss_parameter_supported": true,
            "request_parameter_supported": false, "request_uri_parameter_supported": false,
            "claims_parameter_supported": false,
        ])
    }
}
