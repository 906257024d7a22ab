import Contracts

/// What a caller is told who must show a second factor first (RFC 9470).
enum StepUp {
    /// What `acr_values` asks for, and `acr` says where it was shown.
    private static let context: String = "urn:passerelle:acr:two-factors"

    /// A critical operation.
    static func isDue(for caller: Caller) -> APIProblem {
        guard caller.withheld.isEmpty else { return Self.isMissing(caller.withheld) }
        return Self.problem(
            "Show your second factor again: POST /v1/me/second-factor/verify. Who has none signs in again. Then repeat this.",
            more: ", max_age=\"600\"")
    }

    /// An operation that only these roles allow.
    static func isMissing(_ withheld: [Grant]) -> APIProblem {
        let roles: String = withheld.map(\.description).joined(separator: ", ")
        return Self.problem(
            """
            A policy asks for a second factor: \(roles). Show yours (POST /v1/me/second-factor/verify), or set one up: on the \
            sign-in pages at /oauth2/factors, or by POST /v1/me/second-factor.
            """, more: "")
    }

    private static func problem(_ detail: String, more: String) -> APIProblem {
        var problem: APIProblem = APIProblem(.stepUpRequired, detail)
        problem.fields.append(
            (
                name: "WWW-Authenticate",
                value:
                    "Bearer realm=\"passerelle\", error=\"insufficient_user_authentication\", acr_values=\"\(Self.context)\"\(more)"
            ))
        return problem
    }
}
