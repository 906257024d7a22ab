import AuthenticatorKit
import Bytes
import Contracts
import Crypto
import JSON
import ServiceTestKit
import TestKit
import Testing

@testable import Identity

/// Somebody with a browser, an authenticator, and an account at an issuer that has passkeys.
struct PasskeyPlace {
    let fixture: IdentityFixture
    let browser: Browser
    let client: TestClient
    let authenticator: SoftwareAuthenticator
    let user: String

    init(_ kind: KeyKind = .p256, _ roles: [String] = ["devops@acme"]) async throws {
        self.fixture = try await IdentityFixture(issuer: IdentityFixture.namedIssuer)
        self.browser = Browser(self.fixture)
        self.client = try await TestClient.register(self.fixture, ["trusted": true])
        self.user = try await self.fixture.makeUser("ada", roles)
        self.authenticator = try Self.authenticator(kind)
    }

    static func authenticator(_ kind: KeyKind = .p256) throws -> SoftwareAuthenticator {
        try SoftwareAuthenticator(kind, origin: IdentityFixture.namedIssuer, relyingPartyID: "localhost")
    }

    var clock: ManualClock { self.fixture.harness.clock }

    // MARK: Over REST

    func token() async throws -> String { try await self.fixture.signIn("ada") }

    /// Makes a passkey. - Returns: the answer; `recovery_codes` with the first one.
    func register(_ token: String, _ authenticator: SoftwareAuthenticator? = nil) async throws -> TestAnswer {
        let begun: TestAnswer = try await self.fixture.send("POST", "/v1/me/passkeys/options", token: token)
        try #require(begun.status == 200, "\(begun.json)")
        let made: JSONValue = try (authenticator ?? self.authenticator).register(begun.json["public_key"] ?? .null)
        return try await self.fixture.send(
            "POST", "/v1/me/passkeys", token: token,
            .object(["name": "Phone", "challenge": begun.json["challenge"] ?? .null, "credential": made]))
    }

    /// Shows the passkey in a session of REST.
    func stepUp(_ token: String) async throws -> TestAnswer {
        let begun: TestAnswer = try await self.fixture.send("POST", "/v1/me/second-factor/options", token: token)
        try #require(begun.status == 200, "\(begun.json)")
        return try await self.fixture.send(
            "POST", "/v1/me/second-factor/passkey", token: token,
            .object([
                "challenge": begun.json["challenge"] ?? .null,
                "credential": try self.authenticator.sign(begun.json["public_key"] ?? .null),
            ]))
    }

    // MARK: On pages

    /// What a page's passkey form holds, as the script finds it.
    static func passkeyForm(_ page: TestAnswer) throws -> (fields: [(String, String)], options: JSONValue) {
        let start: Range<String.Index> = try #require(page.text.range(of: "data-passkey"), "\(page.text)")
        let form: Substring =
            try #require(page.text[start.lowerBound...].range(of: "</form>")).lowerBound > start.lowerBound
            ? page.text[start.lowerBound...] : ""
        let end: String.Index = try #require(form.range(of: "</form>")).lowerBound
        let text: String = String(form[..<end])
        let options: String = try #require(text.pieces("data-options=\"", "\"").first)
        var fields: [(String, String)] = []
        for piece in text.pieces("<input type=\"hidden\" ", ">") where !piece.contains("name=\"credential\"") {
            fields.append((piece.pieces("name=\"", "\"")[0], piece.pieces("value=\"", "\"")[0].unescaped))
        }
        return (fields, try JSONReader.parse(options.unescaped))
    }

    /// Presses the button of the passkey form.
    func press(_ page: TestAnswer, at path: String, _ more: [(String, String)] = []) async throws -> TestAnswer {
        let (fields, options): ([(String, String)], JSONValue) = try Self.passkeyForm(page)
        let answer: JSONValue =
            options["user"] == nil ? try self.authenticator.sign(options) : try self.authenticator.register(options)
        return try await self.browser.post(path, fields + more + [("credential", answer.jsonText)])
    }

    /// The form of a page with this action among its hidden fields.
    static func form(_ page: TestAnswer, _ action: String) throws -> [(String, String)] {
        for form in page.text.pieces("<form", "</form>") where form.contains("value=\"\(action)\"") {
            return form.pieces("<input type=\"hidden\" ", ">").map {
                ($0.pieces("name=\"", "\"")[0], $0.pieces("value=\"", "\"")[0].unescaped)
            }
        }
        return try #require(nil, "no form \(action): \(page.text)")
    }
}

extension String {
    /// What stands between two texts, each time.
    func pieces(_ start: String, _ end: String) -> [String] {
        var found: [String] = []
        var rest: Substring = self[...]
        while let from: Range<String.Index> = rest.range(of: start) {
            rest = rest[from.upperBound...]
            guard let to: Range<String.Index> = rest.range(of: end) else { break }
            found.append(String(rest[..<to.lowerBound]))
        }
        return found
    }

    var unescaped: String {
        var text: String = self
        for (from, to) in [("&quot;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")] {
            text = text.split(separator: from, omittingEmptySubsequences: false).joined(separator: to)
        }
        return text
    }
}

extension StringProtocol {
    /// The first place of a text.
    fileprivate func range(of text: String) -> Range<Index>? {
        var start: Index = self.startIndex
        while start < self.endIndex {
            if self[start...].hasPrefix(text) { return start..<self.index(start, offsetBy: text.count) }
            start = self.index(after: start)
        }
        return nil
    }
}
