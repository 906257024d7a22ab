import HTTP
import JSON
import Time

/// The command line as a client of the control plane's OpenID Connect issuer: forms in, tokens out.
struct IssuerClient: Sendable {
    /// What the platform knows the command line as.
    static let clientID: String = "passerelle-cli"
    private static let answerBytesMax: Int = 1 << 20

    struct Granted: Sendable {
        let token: String
        /// Nil when the issuer gave no refresh token.
        let renewal: Login.Renewal?
    }

    enum Answer: Sendable {
        case granted(Granted)
        /// The error's code (RFC 6749 section 5.2, RFC 8628 section 3.5), and what the issuer says about it.
        case refused(code: String, description: String)
    }

    let url: String
    let client: HTTPClient
    let trust: ControlPlaneTrust

    /// Asks the token endpoint.
    func token(_ form: [(String, String)]) async throws -> Answer {
        let asked: Timestamp = SystemClock().now()
        let (status, answer): (Int, JSONValue) = try await self.submit("/oauth2/token", form)
        if status < 400, let token: String = answer["access_token"]?.text {
            let seconds: Int64 = answer["expires_in"]?.integer ?? 0
            let renewal: Login.Renewal? = answer["refresh_token"]?.text.map {
                Login.Renewal(refreshToken: $0, expiresAt: asked.adding(.seconds(seconds)))
            }
            return .granted(Granted(token: token, renewal: renewal))
        }
        guard let code: String = answer["error"]?.text else {
            throw CommandError.failed("The control plane at \(self.url) answered \(status).")
        }
        return .refused(code: code, description: answer["error_description"]?.text ?? "")
    }

    /// Sends a form as this client. - Returns: status and body; null for a body that is not JSON.
    func submit(_ path: String, _ form: [(String, String)]) async throws -> (Int, JSONValue) {
        guard let url: URLParts = URLParts(self.url + path) else {
            throw CommandError.usage("'\(self.url)' is not a URL.")
        }
        var parameters: QueryParameters = QueryParameters()
        parameters.append("client_id", Self.clientID)
        for (name, value) in form { parameters.append(name, value) }
        var fields: HTTPFields = HTTPFields()
        fields.append("Content-Type", "application/x-www-form-urlencoded")
        fields.append("Accept", "application/json")
        do {
            let response: HTTPClientResponse = try await self.client.send(
                HTTPClientRequest(method: .post, url: url, fields: fields, body: Array(parameters.encoded.utf8)))
            let bytes: [UInt8] = try await response.body.collect(max: Self.answerBytesMax)
            return (response.status, (try? JSONReader.parse(bytes)) ?? .null)
        } catch {
            throw CommandError.failed(
                "The control plane at \(self.url) does not answer: \(error)\(self.trust.hint(about: error))")
        }
    }
}
