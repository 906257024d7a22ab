import JSON
import Time

/// The token a command shows, kept fresh: a login by a device code has tokens of some minutes, renewed before they end.
///
/// Each renewal gets another refresh token (RFC 6749 section 6, RFC 9700 section 4.14), saved before anything else is done.
struct Credential: Sendable {
    enum Source: Sendable {
        case none
        /// Of the environment, or of a login with name and password.
        case fixed(String)
        /// Of a login by a device code, at this address.
        case saved(url: String)
    }

    /// How long before its end a token is renewed: what a request may take until it is checked.
    private static let renewedBefore: Duration = .seconds(30)

    let source: Source

    /// The token that `PASSERELLE_TOKEN` or what `login` saved for this address give.
    static func find(url: String, saved: Login?) -> Credential {
        if let token: String = Login.environment("PASSERELLE_TOKEN") { return Credential(source: .fixed(token)) }
        guard let saved: Login, saved.url == url else { return Credential(source: .none) }
        return Credential(source: saved.renewal == nil ? .fixed(saved.token) : .saved(url: url))
    }

    /// The token to show now.
    func token(_ issuer: IssuerClient) async throws -> String? {
        switch self.source {
        case .none: return nil
        case .fixed(let token): return token
        case .saved(let url):
            guard let login: Login = Self.login(at: url) else { throw Self.loggedOut }
            if Self.isFresh(login) { return login.token }
            return try await Self.renew(url, issuer)
        }
    }

    private static func login(at url: String) -> Login? {
        Login.saved().flatMap { $0.url == url ? $0 : nil }
    }

    private static func isFresh(_ login: Login) -> Bool {
        guard let renewal: Login.Renewal = login.renewal else { return true }
        return SystemClock().now().adding(Self.renewedBefore) < renewal.expiresAt
    }

    private static func renew(_ url: String, _ issuer: IssuerClient) async throws -> String {
        let lock: LoginLock = try await LoginLock.take()
        // Somebody else may have done it while this command waited, or signed out.
        guard var login: Login = Self.login(at: url) else { throw Self.loggedOut }
        if Self.isFresh(login) { return login.token }
        guard let renewal: Login.Renewal = login.renewal else { return login.token }
        switch try await issuer.token([
            ("grant_type", "refresh_token"), ("refresh_token", renewal.refreshToken),
        ]) {
        case .refused: throw CommandError.failed("Your sign-in has ended. Run: passerelle login --url \(url)")
        case .granted(let granted):
            login.token = granted.token
            login.renewal = granted.renewal
            try login.save()
        }
        _ = lock
        return login.token
    }

    private static var loggedOut: CommandError { .failed("You have signed out. Run: passerelle login") }
}
