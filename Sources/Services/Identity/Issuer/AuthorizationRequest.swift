import HTTP

/// What a client asks for when it sends a user to sign in (OpenID Connect Core section 3.1.2.1, RFC 7636).
struct AuthorizationRequest: Sendable {
    /// Longest `state` and `nonce`, bytes.
    static let echoBytesMax: Int = 1_024
    /// Longest request by a form, bytes: it goes on in an address.
    static let formBytesMax: Int = 7_168

    enum Refusal: Error {
        /// Told to the user: the address to send people back to cannot be trusted.
        case page(String)
        /// Told to the client, at its address.
        case client(String, code: String, description: String)
    }

    let client: OAuthClient
    let redirectURI: String
    let scopes: [String]
    let state: String?
    let nonce: String?
    /// SHA-256 of the verifier, as sent.
    let challenge: String
    let prompts: Set<String>
    /// Seconds since the user last showed who they are, at most.
    let maxAge: Int64?
    /// Whether one factor is not enough (RFC 9470 section 5).
    let wantsTwoFactors: Bool
    /// The name that the client thinks the user signs in with; empty when it says none.
    let loginHint: String
    /// An id token of the user whom the client means.
    let userHint: String?

    /// Reads the parameters. Unknown ones are ignored, as the standard asks; known ones must be there once.
    init(_ parameters: QueryParameters, client found: OAuthClient?) throws(Refusal) {
        guard parameters.all("client_id").count == 1, let client: OAuthClient = found else {
            throw .page("There is no such client.")
        }
        let addresses: [String] = parameters.all("redirect_uri")
        guard addresses.count == 1, client.isRegistered(addresses[0]) else {
            throw .page("The client is not registered for the address it wants to send you back to.")
        }
        self.client = client
        self.redirectURI = addresses[0]
        let states: [String] = parameters.all("state")
        self.state = states.count == 1 && states[0].utf8.count <= Self.echoBytesMax ? states[0] : nil
        let address: String = addresses[0]
        func refuse(_ code: String, _ description: String) -> Refusal {
            .client(address, code: code, description: description)
        }
        for name in [
            "response_type", "response_mode", "scope", "state", "nonce", "code_challenge", "code_challenge_method",
            "prompt", "max_age", "acr_values", "request", "request_uri", "login_hint", "id_token_hint",
        ] where parameters.all(name).count > 1 { throw refuse("invalid_request", "\(name) must be there once.") }
        for name in ["request", "request_uri"] where parameters[name] != nil {
            throw refuse("\(name)_not_supported", "Send the parameters themselves.")
        }
        guard client.grantTypes.contains("authorization_code") else {
            throw refuse("unauthorized_client", "The client is not registered for authorization_code.")
        }
        guard parameters["response_type"] == "code" else {
            throw refuse("unsupported_response_type", "response_type must be code.")
        }
        guard ["query", nil].contains(parameters["response_mode"]) else {
            throw refuse("invalid_request", "response_mode must be query.")
        }
        guard parameters["code_challenge_method"] == "S256", let challenge: String = parameters["code_challenge"],
            challenge.utf8.count == 43, challenge.utf8.allSatisfy(Self.isURLSafe)
        else { throw refuse("invalid_request", "PKCE is required: code_challenge with code_challenge_method S256.") }
        self.challenge = challenge
        guard let scopes: [String] = Self.scopes(parameters["scope"], of: client) else {
            throw refuse("invalid_scope", "The client may ask for: \(client.scopes.joined(separator: " ")).")
        }
        self.scopes = scopes
        guard (parameters["nonce"] ?? "").utf8.count <= Self.echoBytesMax, states.first == self.state else {
            throw refuse("invalid_request", "state and nonce have at most \(Self.echoBytesMax) bytes.")
        }
        self.nonce = parameters["nonce"]
        let prompts: Set<String> = Set((parameters["prompt"] ?? "").split(separator: " ").map(String.init))
        guard prompts.isSubset(of: ["none", "login", "consent", "select_account"]),
            !prompts.contains("none") || prompts.count == 1
        else { throw refuse("invalid_request", "prompt must be none alone, or of login, consent, select_account.") }
        self.prompts = prompts
        let contexts: [Substring] = (parameters["acr_values"] ?? "").split(separator: " ")
        self.wantsTwoFactors =
            contexts.contains { $0 == Session.twoFactors } && !contexts.contains { $0 == Session.oneFactor }
        self.loginHint = String((parameters["login_hint"] ?? "").prefix(User.nameLengthMax))
        self.userHint = parameters["id_token_hint"]
        if let text: String = parameters["max_age"] {
            guard let seconds: Int64 = Int64(text), seconds >= 0 else {
                throw refuse("invalid_request", "max_age must be a number of seconds.")
            }
            self.maxAge = seconds
        } else {
            self.maxAge = nil
        }
    }

    /// The scopes asked for; nil when one is among them that the client may not ask for. Those that nobody knows are ignored, as
    /// the standard asks (OpenID Connect Core section 3.1.2.1): many clients ask for `email` or `offline_access` by themselves.
    static func scopes(_ text: String?, of client: OAuthClient) -> [String]? {
        var scopes: [String] = []
        for scope in (text ?? "").split(separator: " ") where OAuthClient.scopes.contains(String(scope)) {
            guard client.scopes.contains(String(scope)) else { return nil }
            if !scopes.contains(String(scope)) { scopes.append(String(scope)) }
        }
        return scopes
    }

    /// The address of the client with an answer: `code` or `error`, and what binds it to the request and to us (RFC 9207).
    static func answer(_ address: String, _ members: [(String, String)], state: String?, issuer: String) -> String {
        var parameters: QueryParameters = QueryParameters()
        for (name, value) in members { parameters.append(name, value) }
        if let state: String { parameters.append("state", state) }
        parameters.append("iss", issuer)
        return address + (address.contains("?") ? "&" : "?") + parameters.encoded
    }

    /// Whether `verifier` has the form of one (RFC 7636 section 4.1).
    static func isVerifier(_ verifier: String) -> Bool {
        (43...128).contains(verifier.utf8.count)
            && verifier.utf8.allSatisfy { Self.isURLSafe($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "~") }
    }

    private static func isURLSafe(_ byte: UInt8) -> Bool {
        (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122) || byte == 45
            || byte == 95
    }
}
