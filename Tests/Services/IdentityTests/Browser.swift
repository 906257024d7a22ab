import Bytes
import Crypto
import HTTP
import JSON
import ServiceTestKit
import Testing

@testable import Identity

/// A browser: keeps cookies, fills forms, and stops at addresses that are not ours.
final class Browser {
    let fixture: IdentityFixture
    var cookies: [String: String] = [:]
    /// What browsers say of the page a form comes from.
    var origin: String?

    init(_ fixture: IdentityFixture) {
        self.fixture = fixture
        self.origin = fixture.issuerName
    }

    private func fields(_ more: [(String, String)] = []) -> [(String, String)] {
        let jar: String = self.cookies.map { "\($0.key)=\($0.value)" }.sorted().joined(separator: "; ")
        return (jar.isEmpty ? [] : [("Cookie", jar)]) + more
    }

    private func keep(_ answer: TestAnswer) {
        for line in answer.fields.all("Set-Cookie") {
            let pair: Substring = line.split(separator: ";")[0]
            let parts: [Substring] = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            self.cookies[String(parts[0])] = parts[1].isEmpty ? nil : String(parts[1])
        }
    }

    func get(_ target: String, language: String = "en") async throws -> TestAnswer {
        let answer: TestAnswer = try await self.fixture.harness.submit(
            "GET", target, fields: self.fields([("Accept-Language", language)]))
        self.keep(answer)
        return answer
    }

    func post(
        _ target: String, _ values: [(String, String)], language: String = "en"
    ) async throws -> TestAnswer {
        var more: [(String, String)] = [("Accept-Language", language)]
        if let origin: String = self.origin { more.append(("Origin", origin)) }
        let answer: TestAnswer = try await self.fixture.harness.submit(
            "POST", target, form: Self.form(values), fields: self.fields(more))
        self.keep(answer)
        return answer
    }

    static func form(_ values: [(String, String)]) -> String {
        var parameters: QueryParameters = QueryParameters()
        for value in values { parameters.append(value.0, value.1) }
        return parameters.encoded
    }

    /// The hidden fields of a page's form.
    static func hidden(_ page: TestAnswer) -> [(String, String)] {
        var fields: [(String, String)] = []
        let form: Substring = page.text.split(separator: "</form>").first ?? ""
        for part in form.split(separator: "<input type=\"hidden\" name=\"").dropFirst() {
            let pieces: [Substring] = part.split(separator: "\"", omittingEmptySubsequences: false)
            let value: String = pieces[2].split(separator: "&amp;", omittingEmptySubsequences: false).joined(
                separator: "&")
            fields.append((String(pieces[0]), value))
        }
        return fields
    }

    func signIn(on page: TestAnswer, _ name: String, _ password: String = IdentityFixture.password) async throws
        -> TestAnswer
    {
        try await self.post("/oauth2/login", Self.hidden(page) + [("user", name), ("password", password)])
    }
}

extension TestAnswer {
    var text: String { String(decoding: self.bytes, as: UTF8.self) }

    var location: String { self.fields["Location"] ?? "" }

    /// A parameter of the address that the answer leads to.
    func sent(_ name: String) -> String? {
        guard let query: Substring = self.location.split(separator: "?", maxSplits: 1).last else { return nil }
        return (try? QueryParameters.parse(String(query)))?[name]
    }
}

/// A client of the issuer, registered for a test, and the flow it runs.
struct TestClient {
    static let redirectURI: String = "http://127.0.0.1:9999/cb"
    static let verifier: String = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    static let challenge: String = Base64.encodeURL(SHA256.hash(verifier))

    let fixture: IdentityFixture
    let id: String
    let secret: String?

    static func register(_ fixture: IdentityFixture, _ changes: JSONObject = [:]) async throws -> TestClient {
        var body: JSONObject = [
            "name": "Shop", "confidential": true, "redirect_uris": .array([.string(Self.redirectURI)]),
            "post_logout_redirect_uris": .array(["http://127.0.0.1:9999/out"]),
            "grant_types": .array(["authorization_code", "refresh_token", .string(OAuthClient.deviceGrant)]),
            "scopes": .array(["openid", "profile", "roles", "groups"]),
        ]
        for member in changes.members { body[member.key] = member.value }
        let made: TestAnswer = try await fixture.send("POST", "/v1/oauth-clients", .object(body))
        try #require(made.status == 201, "\(made.json)")
        return TestClient(
            fixture: fixture, id: made.json["id"]?.text ?? "", secret: made.json["secret"]?.text)
    }

    /// The address a client sends users to. A value of nil leaves the parameter out.
    func address(_ changes: [String: String?] = [:]) -> String {
        var values: [(String, String)] = []
        let standard: [(String, String)] = [
            ("response_type", "code"), ("client_id", self.id), ("redirect_uri", Self.redirectURI),
            ("scope", "openid profile"), ("state", "s-1"), ("nonce", "n-1"), ("code_challenge", Self.challenge),
            ("code_challenge_method", "S256"),
        ]
        for (name, value) in standard {
            if let change: String? = changes[name] {
                if let change: String { values.append((name, change)) }
            } else {
                values.append((name, value))
            }
        }
        for (name, value) in changes where !standard.contains(where: { $0.0 == name }) {
            if let value: String { values.append((name, value)) }
        }
        return "/oauth2/authorize?" + Browser.form(values)
    }

    /// Signs in and agrees. - Returns: the answer that leads back to the client.
    func authorize(
        _ browser: Browser, _ name: String = "ada", _ changes: [String: String?] = [:]
    ) async throws -> TestAnswer {
        var answer: TestAnswer = try await browser.get(self.address(changes))
        if answer.text.contains("name=\"password\"") {
            answer = try await browser.get(try await browser.signIn(on: answer, name).location)
        }
        if answer.text.contains("value=\"allow\"") {
            answer = try await browser.post("/oauth2/consent", Browser.hidden(answer) + [("decision", "allow")])
            answer = try await browser.get(answer.location)
        }
        return answer
    }

    func ask(_ path: String, _ values: [(String, String)], secret: String? = nil) async throws -> TestAnswer {
        var fields: [(String, String)] = []
        var form: [(String, String)] = values
        if let shown: String = secret ?? self.secret {
            fields = [("Authorization", "Basic " + Base64.encode(Array("\(self.id):\(shown)".utf8)))]
        } else {
            form.append(("client_id", self.id))
        }
        return try await self.fixture.harness.submit("POST", path, form: Browser.form(form), fields: fields)
    }

    func exchange(_ code: String, _ changes: [String: String] = [:]) async throws -> TestAnswer {
        try await self.ask(
            "/oauth2/token",
            [
                ("grant_type", "authorization_code"), ("code", code),
                ("redirect_uri", changes["redirect_uri"] ?? Self.redirectURI),
                ("code_verifier", changes["code_verifier"] ?? Self.verifier),
            ])
    }

    func refresh(_ token: String) async throws -> TestAnswer {
        try await self.ask("/oauth2/token", [("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    /// The whole flow. - Returns: the answer of the token endpoint.
    func tokens(_ browser: Browser, _ name: String = "ada", _ changes: [String: String?] = [:]) async throws
        -> TestAnswer
    {
        let code: String = try #require(try await self.authorize(browser, name, changes).sent("code"))
        let answer: TestAnswer = try await self.exchange(code)
        try #require(answer.status == 200, "\(answer.json)")
        return answer
    }

    func userinfo(_ token: String) async throws -> TestAnswer {
        try await self.fixture.harness.submit(
            "GET", "/oauth2/userinfo", fields: [("Authorization", "Bearer \(token)")])
    }

    func introspect(_ token: String) async throws -> JSONValue {
        try await self.ask("/oauth2/introspect", [("token", token)]).json
    }
}

extension JSONValue {
    /// The claims of a token in this member, unchecked.
    func claims(_ member: String) throws -> JSONValue {
        let parts: [Substring] = (self[member]?.text ?? "").split(separator: ".")
        return try JSONReader.parse(try #require(Base64.decodeURL(String(parts[1]))))
    }
}
