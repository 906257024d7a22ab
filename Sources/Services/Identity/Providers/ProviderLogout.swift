import Bytes
import Contracts
import HTTP
import JSON
import REST
import Store
import Time

/// Where a user goes after signing out at a provider: kept by the provider as `state`, sealed.
struct ProviderLogout: Sendable {
    static let lifetime: Duration = .seconds(600)
    private static let sealName: String = "provider-logout"

    static func sealed(back: String?, now: Timestamp, _ sealer: any SecretSealer) throws -> String {
        let value: JSONValue = .object([
            "b": back.map { .string($0) } ?? .null, "e": .int(now.adding(Self.lifetime).milliseconds),
        ])
        return Base64.encodeURL(try sealer.seal(value.serialized(), name: Self.sealName))
    }

    /// - Returns: the address of the client that wanted it; nil when there is none, or it is not ours to say.
    static func back(_ state: String, now: Timestamp, _ sealer: any SecretSealer) -> String? {
        guard let bytes: [UInt8] = Base64.decodeURL(state), let opened = try? sealer.open(bytes, name: Self.sealName),
            let value: JSONValue = try? JSONReader.parse(opened), let end: Int64 = value["e"]?.integer,
            now < Timestamp(milliseconds: end)
        else { return nil }
        return value["b"]?.text
    }
}

extension IdentityService {
    static let signedOutPath: String = "/oauth2/signed-out"

    var providerLogoutRoute: Route {
        Route(
            "GET", Self.signedOutPath, operationID: "signedOut", tag: Self.name,
            summary: "Where an identity provider sends browsers back to after signing out", access: .anyone,
            readsRawQuery: true,
            answers: [Answer(200, "A page", mediaType: "text/html"), Answer(303, "Back to the client")]
        ) { [self] context in
            let query: QueryParameters? = try? QueryParameters.parse(context.request.query ?? "")
            let back: String? = query?["state"].flatMap { ProviderLogout.back($0, now: context.now, self.sealer) }
            return back.map { .redirect($0) } ?? self.notePage(.signOut, .signedOut, context)
        }
    }

    /// The provider that has opened a session, when users can sign out there.
    func logoutProvider(of session: Session) async -> (provider: IdentityProvider, endpoint: URLParts)? {
        guard let name: String = session.provider,
            let provider: IdentityProvider = self.providers.first(where: { $0.settings.name == name }),
            let endpoint: URLParts = (try? await provider.metadata())?.endSessionEndpoint
        else { return nil }
        return (provider, endpoint)
    }

    /// Where the user of a session signs out at its provider (OpenID Connect RP-Initiated Logout section 2); nil where nobody can,
    /// or the provider does not answer: then the session here ends all the same.
    func providerLogout(of session: Session, back: String?, _ context: RequestContext) async throws -> String? {
        guard let found = await self.logoutProvider(of: session) else { return nil }
        let endpoint: URLParts = found.endpoint
        let sealer: any SecretSealer = self.sealer
        let hint: String? = try await context.read { try ProviderHintTable.idToken(of: session.id, sealer, in: $0) }
        var parameters: QueryParameters = QueryParameters()
        if let hint: String { parameters.append("id_token_hint", hint) }
        if let client: String = found.provider.settings.clientID { parameters.append("client_id", client) }
        parameters.append("post_logout_redirect_uri", "\(self.keys.issuer)\(Self.signedOutPath)")
        parameters.append("state", try ProviderLogout.sealed(back: back, now: context.now, sealer))
        parameters.append("ui_locales", context.language.rawValue)
        return endpoint.text + (endpoint.query == nil ? "?" : "&") + parameters.encoded
    }
}
