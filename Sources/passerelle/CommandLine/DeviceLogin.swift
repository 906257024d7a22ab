import JSON
import Time

/// A sign-in with a browser that may be elsewhere (RFC 8628): shows an address and a code, and asks until the user has decided.
struct DeviceLogin: Sendable {
    /// Asked every so often when the issuer does not say, and by how much longer after each `slow_down` (section 3.5).
    private static let intervalDefault: Int64 = 5
    /// A pause that grows beyond this no more while the control plane does not answer.
    private static let intervalMax: Int64 = 60

    let issuer: IssuerClient
    let console: Console

    /// - Returns: the tokens, once the user has allowed it.
    func run() async throws -> IssuerClient.Granted {
        let (status, begun): (Int, JSONValue) = try await self.issuer.submit(
            "/oauth2/device_authorization", [("scope", "platform profile")])
        guard status < 400, let code: String = begun["device_code"]?.text, let typed: String = begun["user_code"]?.text,
            let address: String = begun["verification_uri"]?.text
        else {
            throw CommandError.failed(
                "The control plane at \(self.issuer.url) answered \(status): \(begun["error_description"]?.text ?? "no sign-in by device code there"). With name and password: passerelle login --user NAME"
            )
        }
        let direct: String = begun["verification_uri_complete"]?.text ?? address
        self.console.progress(
            "Open \(direct)\nsign in, and allow the code \(typed) if it is the one that is shown there.", isFinal: true)
        let seconds: Int64 = begun["expires_in"]?.integer ?? 600
        return try await self.poll(
            code, every: max(1, begun["interval"]?.integer ?? Self.intervalDefault),
            until: SystemClock().now().adding(.seconds(seconds)))
    }

    private func poll(_ code: String, every first: Int64, until end: Timestamp) async throws -> IssuerClient.Granted {
        let clock: SystemClock = SystemClock()
        var interval: Int64 = first
        while clock.now() < end {
            try await clock.sleep(for: .seconds(interval))
            let answer: IssuerClient.Answer
            do {
                answer = try await self.issuer.token([
                    ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code),
                ])
            } catch CommandError.failed {
                // Nobody answers: less often then (section 3.5), until the code ends.
                interval = min(interval * 2, Self.intervalMax)
                continue
            }
            switch answer {
            case .granted(let granted): return granted
            case .refused(code: "authorization_pending", _): continue
            case .refused(code: "slow_down", _): interval += Self.intervalDefault
            case .refused(code: "temporarily_unavailable", _): interval = min(interval * 2, Self.intervalMax)
            case .refused(code: "access_denied", _): throw CommandError.failed("The sign-in was not allowed.")
            case .refused(code: "expired_token", _): throw Self.tooLate
            case .refused(let code, let description):
                throw CommandError.failed("The control plane refuses: \(description) (\(code))")
            }
        }
        throw Self.tooLate
    }

    private static var tooLate: CommandError {
        .failed("Nobody allowed the code in time. Run passerelle login again.")
    }
}
