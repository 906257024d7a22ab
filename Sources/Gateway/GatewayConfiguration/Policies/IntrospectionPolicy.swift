import Documents
import JSON
package import Tokens

/// `introspection`: a caller brings a token that only its issuer understands; the issuer is asked (RFC 7662), and the answer kept.
package struct IntrospectionPolicy: Sendable, Equatable {
    /// The introspection endpoint, http or https. Required.
    package var endpoint: String
    /// How the gateway identifies itself there, by HTTP Basic (RFC 6749 section 2.3.1). Required.
    package var clientID: String
    package var clientSecret: String
    /// The token's audiences must hold one of these. Default: any.
    package var audiences: [String]
    /// The issuer, when the answer names one. Default: any.
    package var issuer: String?
    /// Scopes that every token must have; else 403. Default: none.
    package var scopes: [String]
    /// How long an answer is kept at most, 0 to 1 h; never longer than the token lives. Default 60 s.
    package var cacheFor: Duration
    /// How long "not active" is kept, 0 to 60 s. Default 5 s.
    package var cacheInactiveFor: Duration
    /// For the whole call, 10 ms to 30 s. Default 2 s.
    package var timeout: Duration
    package var clientClaims: [ClaimPath]
    package var groupsClaim: ClaimPath
    package var requiresApplication: Bool
    package var forwardsToken: Bool

    package init(
        endpoint: String, clientID: String, clientSecret: String, audiences: [String] = [], issuer: String? = nil,
        scopes: [String] = [], cacheFor: Duration = .seconds(60), cacheInactiveFor: Duration = .seconds(5),
        timeout: Duration = .seconds(2), clientClaims: [ClaimPath] = JWTPolicy.clientClaimsDefault,
        groupsClaim: ClaimPath = JWTPolicy.groupsClaimDefault, requiresApplication: Bool = false,
        forwardsToken: Bool = false
    ) {
        self.endpoint = endpoint
        self.clientID = clientID
        self.clientSecret = clientSecret
        self.audiences = audiences
        self.issuer = issuer
        self.scopes = scopes
        self.cacheFor = cacheFor
        self.cacheInactiveFor = cacheInactiveFor
        self.timeout = timeout
        self.clientClaims = clientClaims
        self.groupsClaim = groupsClaim
        self.requiresApplication = requiresApplication
        self.forwardsToken = forwardsToken
    }
}

extension IntrospectionPolicy {
    static func read(_ decoder: NodeDecoder) -> IntrospectionPolicy? {
        let known: [String] = [
            "endpoint", "client_id", "client_secret", "audiences", "issuer", "scopes", "cache", "cache_inactive",
            "timeout", "client_claims", "groups_claim", "application", "forward_token",
        ]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let endpoint: String? = fields.required("endpoint")?.parsed("a URL with http or https") {
            KeySource.isURL($0) ? $0 : nil
        }
        let clientID: String? = fields.string("client_id", length: 1...512)
        let clientSecret: String? = fields.string("client_secret", length: 1...512)
        let audiences: [String]? = fields.list("audiences", count: 0...JWTIssuer.audiencesMax) {
            $0.string(length: 1...JWTIssuer.textBytesMax)
        }
        let issuer: String?? = fields.optional("issuer") { $0.string(length: 1...JWTIssuer.textBytesMax) }
        let scopes: [String]? = fields.list("scopes", count: 0...JWTPolicy.scopesMax) { $0.scope() }
        let cacheFor: Duration? = fields.duration("cache", default: .seconds(60), in: .zero ... .seconds(3600))
        let inactive: Duration? = fields.duration("cache_inactive", default: .seconds(5), in: .zero ... .seconds(60))
        let timeout: Duration? = fields.duration(
            "timeout", default: .seconds(2), in: .milliseconds(10) ... .seconds(30))
        let clientClaims: [ClaimPath]? =
            fields["client_claims"] == nil
            ? JWTPolicy.clientClaimsDefault : fields.list("client_claims", count: 1...8) { $0.claimPath() }
        let groups: ClaimPath? = fields.value("groups_claim", default: JWTPolicy.groupsClaimDefault) { $0.claimPath() }
        let application: Bool? = fields.choice("application", default: false, ["required": true, "optional": false])
        let forwards: Bool? = fields.boolean("forward_token", default: false)
        guard let endpoint, let clientID, let clientSecret, let audiences, let issuer, let scopes, let cacheFor,
            let inactive, let timeout, let clientClaims, let groups, let application, let forwards
        else { return nil }
        return IntrospectionPolicy(
            endpoint: endpoint, clientID: clientID, clientSecret: clientSecret, audiences: audiences, issuer: issuer,
            scopes: scopes, cacheFor: cacheFor, cacheInactiveFor: inactive, timeout: timeout,
            clientClaims: clientClaims, groupsClaim: groups, requiresApplication: application, forwardsToken: forwards)
    }

    func write(_ body: inout DefinitionWriter) {
        body.set("endpoint", .string(self.endpoint))
        body.set("client_id", .string(self.clientID))
        body.set("client_secret", .string(self.clientSecret))
        body.set("audiences", list: self.audiences.map { .string($0) })
        body.set("issuer", self.issuer.map { .string($0) })
        body.set("scopes", list: self.scopes.map { .string($0) })
        body.set("cache", self.cacheFor, unless: .seconds(60))
        body.set("cache_inactive", self.cacheInactiveFor, unless: .seconds(5))
        body.set("timeout", self.timeout, unless: .seconds(2))
        if self.clientClaims != JWTPolicy.clientClaimsDefault {
            body.set("client_claims", list: self.clientClaims.map { .string($0.text) })
        }
        if self.groupsClaim != JWTPolicy.groupsClaimDefault {
            body.set("groups_claim", .string(self.groupsClaim.text))
        }
        if self.requiresApplication { body.set("application", "required") }
        if self.forwardsToken { body.set("forward_token", true) }
    }
}
