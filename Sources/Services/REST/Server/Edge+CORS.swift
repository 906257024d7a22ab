import GatewayConfiguration
import HTTP

/// The origins whose pages are programs that get tokens here. Offered by identity, used by the REST layer.
package protocol ClientOrigins: Sendable {
    /// - Parameter origin: as browsers send it, in lower case.
    func contains(origin: String) async -> Bool
}

/// What the answer to a request says to browsers (the Fetch standard's CORS protocol), by the rules of the gateway's `cors` policy.
enum Sharing: Sendable {
    case fields([CORSGrants.Field])
    /// The request asks whether another one may be sent: this is the answer.
    case preflight([CORSGrants.Field])
}

/// Whose pages may read what a path answers.
private enum SharedWith {
    /// Pages of sign-in, which carry what only their own origin may read, and what is not for browsers.
    case nobody
    /// Those of the settings.
    case configured
    /// Those, and the pages of programs that get tokens here.
    case clients
    /// Documents that are everybody's.
    case everybody

    init(path: String) {
        switch path {
        case "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/.well-known/jwks.json":
            self = .everybody
        case "/oauth2/token", "/oauth2/userinfo", "/oauth2/revoke": self = .clients
        case "/openapi.json": self = .configured
        default: self = path.hasPrefix("/v1/") ? .configured : .nobody
        }
    }
}

extension Edge {
    /// Longest `Origin` that is looked at, bytes.
    private static let originBytesMax: Int = 512
    private static let documents: CORSGrants = CORSGrants(CORSPolicy(origins: nil, methods: ["GET", "HEAD"]))
    private static let tokens: CORSGrants = CORSGrants(
        CORSPolicy(origins: [], methods: ["GET", "POST"], exposed: ["www-authenticate", "retry-after"]))

    /// Cost: without an `Origin` a comparison of paths; of other origins' requests for tokens perhaps a look at the store.
    func sharing(_ request: HTTPRequest) async -> Sharing {
        let grants: CORSGrants
        var origin: String? = request.fields["Origin"]
        if let long: String = origin, long.utf8.count > Self.originBytesMax { origin = nil }
        switch SharedWith(path: request.path) {
        case .nobody: return .fields([])
        case .everybody: grants = Self.documents
        case .configured:
            // Without the setting everything is as if the protocol were not known.
            guard let configured: CORSGrants = self.cors else { return .fields([]) }
            grants = configured
            if let named: String = origin, !configured.allows(named) { origin = nil }
        case .clients:
            guard self.cors != nil || self.clientOrigins != nil else { return .fields([]) }
            grants = Self.tokens
            if let named: String = origin, !(await self.isClient(named)) { origin = nil }
        }
        guard request.method == .options, request.fields.contains("Origin"),
            request.fields.contains("Access-Control-Request-Method")
        else { return .fields(grants.answer(allowed: origin)) }
        return .preflight(
            grants.preflight(
                allowed: origin, headers: request.fields["Access-Control-Request-Headers"],
                asksForPrivateNetwork: request.fields["Access-Control-Request-Private-Network"] == "true"))
    }

    private func isClient(_ origin: String) async -> Bool {
        if let configured: CORSGrants = self.cors, configured.allows(origin) { return true }
        return await self.clientOrigins?.contains(origin: origin.lowercased()) ?? false
    }
}
