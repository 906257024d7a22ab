import Contracts
import Crypto
import JSON
import REST
import ServiceTestKit
import Store
import Synchronization
import TestKit
import Testing

@testable import Identity

/// Whoever guesses learns neither from answers nor from the time they take who is there. What takes the time is counted, not timed:
/// each attempt costs one hash of the same cost, and the same looks at the database.
struct EnumerationTests {
    /// Hashes that were checked, by what they cost.
    private final class Work: Sendable {
        private let hashes: Mutex<[String]> = Mutex([])

        /// Checks in clear what tests stored, and nothing else; real hashes are noted by their parameters.
        var passwords: PasswordChecker {
            PasswordChecker(
                verify: { password, hash in
                    let cost: String = hash.hasPrefix("plain:") ? Self.cost : Self.parameters(of: hash)
                    self.hashes.withLock { $0.append(cost) }
                    return hash == "plain:\(password)"
                }, hash: { "plain:\($0)" }, isOutdated: { _ in false })
        }

        /// What a stored hash costs.
        static let cost: String = "$argon2id$v=19$m=65536,t=3,p=1"

        static func parameters(of hash: String) -> String {
            "$" + hash.split(separator: "$").prefix(3).joined(separator: "$")
        }

        /// What was done since the last time.
        func take() -> [String] {
            self.hashes.withLock { hashes in
                defer { hashes = [] }
                return hashes
            }
        }
    }

    @Test func theHashOfNobodyCostsWhatOthersCost() throws {
        #expect(Work.parameters(of: Password.dummy) == Work.cost)
        #expect(Work.parameters(of: try Password.hash("a long password")) == Work.cost)
        #expect(try !Password.verify("", against: Password.dummy))
    }

    /// What the last request read of what somebody is found by.
    private static func reads(_ fixture: IdentityFixture) throws -> [String] {
        let tables: [String] = ["users", "grants", "group", "oauth_", "passkey", "factor", "recovery", "sessions"]
        var (reads, kind): ([String], String) = ([], "")
        let statements: [JSONValue] = try #require(fixture.log.entries("request").last?["statements"]?.elements)
        for text in statements.compactMap(\.text) {
            if ["read", "write"].contains(text) {
                kind = text
            } else if kind == "read", tables.contains(where: { text.contains($0) }) {
                reads.append(text)
            }
        }
        return reads
    }

    private static func fixture(_ work: Work) async throws -> IdentityFixture {
        let fixture: IdentityFixture = try await IdentityFixture(passwords: work.passwords)
        let id: String = try await fixture.makeUser("ada", ["devops@acme"])
        let off: String = try await fixture.makeUser("off")
        _ = try await fixture.send("PATCH", "/v1/users/\(off)", .object(["state": "disabled"]))
        let federated: String = try await fixture.makeUser("eve@staff")
        try await fixture.harness.services.store.write { transaction in
            try transaction.execute(
                "UPDATE users SET password_hash = $1 WHERE user_id = $2", .text(User.noPassword), .text(federated))
        }
        #expect(id.hasPrefix(User.idPrefix))
        return fixture
    }

    /// Unknown, wrong, disabled, of a provider, by the id.
    private static func attempts(_ fixture: IdentityFixture) async throws -> [(name: String, password: String)] {
        let users: [JSONValue] = try await fixture.send("GET", "/v1/users").items
        let id: String = users.first { $0["name"]?.text == "ada" }?["id"]?.text ?? ""
        return [
            ("ada", "wrong password 1"), ("nobody", IdentityFixture.password), ("off", IdentityFixture.password),
            ("eve@staff", IdentityFixture.password), ("eve@staff", ""), (id, IdentityFixture.password),
            ("ADA", "wrong password 1"), ("ada\u{301}", IdentityFixture.password),
        ].filter { !$0.1.isEmpty }
    }

    @Test func eachAttemptAtSigningInCostsOneHash() async throws {
        let work: Work = Work()
        let fixture: IdentityFixture = try await Self.fixture(work)
        var answers: Set<String> = []
        var looks: Set<[String]> = []
        for (name, password) in try await Self.attempts(fixture) {
            _ = work.take()
            let answer: TestAnswer = try await fixture.send(
                "POST", "/v1/sessions", token: nil, IdentityFixture.credentials(name, password))
            #expect(answer.status == 401 && work.take() == [Work.cost], "\(name)")
            looks.insert(try Self.reads(fixture))
            var body: JSONObject = try #require(answer.json.object)
            body["trace_id"] = nil
            answers.insert(JSONValue.object(body).jsonText)
        }
        #expect(answers.count == 1)
        #expect(looks.count == 1 && looks.first?.count == 1, "\(looks)")
    }

    @Test func eachAttemptAtThePageCostsOneHash() async throws {
        let work: Work = Work()
        let fixture: IdentityFixture = try await Self.fixture(work)
        var looks: Set<[String]> = []
        for (name, password) in try await Self.attempts(fixture) {
            let browser: Browser = Browser(fixture)
            let page: TestAnswer = try await browser.get("/oauth2/device?user_code=BBBB-BBBB")
            _ = work.take()
            let answer: TestAnswer = try await browser.post(
                "/oauth2/login", Browser.hidden(page) + [("user", name), ("password", password)])
            #expect(answer.status == 401 && work.take() == [Work.cost], "\(name)")
            looks.insert(try Self.reads(fixture))
        }
        #expect(looks.count == 1, "\(looks)")
    }

    /// With a second factor or without, an unknown one or a known one: who has not shown the password learns nothing of it.
    @Test func aSecondFactorShowsToNobodyWithoutThePassword() async throws {
        let work: Work = Work()
        let fixture: IdentityFixture = try await Self.fixture(work)
        let owner: String = try await fixture.makeUser("olga", ["devops@acme"])
        let sealed: [UInt8] = try FixedSealer().seal(Array(repeating: 7, count: 20), name: SecondFactor.sealName(owner))
        try await fixture.harness.services.store.write { transaction in
            try transaction.execute(
                """
                INSERT INTO second_factors (user_id, sealed, confirmed_at, last_step, created_at)
                VALUES ($1, $2, 0, 0, 0)
                """, .text(owner), .bytes(sealed))
        }
        var answers: Set<String> = []
        for (name, code) in [("olga", "123456"), ("ada", "123456"), ("nobody", "123456"), ("olga", ""), ("nobody", "")]
        {
            _ = work.take()
            var body: JSONObject = try #require(IdentityFixture.credentials(name, "wrong password 1").object)
            if !code.isEmpty { body["code"] = .string(code) }
            let answer: TestAnswer = try await fixture.send("POST", "/v1/sessions", token: nil, .object(body))
            var shown: JSONObject = try #require(answer.json.object)
            shown["trace_id"] = nil
            let reads: [String] = try Self.reads(fixture)
            answers.insert("\(answer.status) \(JSONValue.object(shown).jsonText) \(work.take()) \(reads)")
        }
        #expect(answers.count == 1, "\(answers)")
    }

    /// A client that nobody has registered, and one whose secret is another: at each endpoint that asks for it.
    @Test(arguments: ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"])
    func unknownClientsLookLikeWrongSecrets(path: String) async throws {
        let work: Work = Work()
        let fixture: IdentityFixture = try await Self.fixture(work)
        let made: TestAnswer = try await fixture.send(
            "POST", "/v1/oauth-clients",
            .object([
                "name": "Shop", "confidential": true, "redirect_uris": ["http://127.0.0.1:9/cb"],
                "grant_types": ["authorization_code"], "scopes": ["openid"],
            ]))
        let client: String = try #require(made.json["id"]?.text)
        var answers: Set<String> = []
        for id in [client, "cli_0190a5c2-7d1e-7000-8000-000000000000", "nobody"] {
            let answer: TestAnswer = try await fixture.harness.submit(
                "POST", path,
                form: "grant_type=authorization_code&code=x&token=x&client_id=\(id)&client_secret=pcs_wrong")
            #expect(answer.json["error"]?.text == "invalid_client")
            answers.insert("\(answer.status) \(answer.json.jsonText) \(try Self.reads(fixture))")
        }
        #expect(answers.count == 1, "\(answers)")
    }

    /// The page offers a passkey before anybody has said who they are; one that nobody has registered is asked about once.
    @Test func passkeysAreOfferedToEverybodyAlike() async throws {
        let work: Work = Work()
        let fixture: IdentityFixture = try await IdentityFixture(
            passwords: work.passwords, issuer: IdentityFixture.namedIssuer)
        try await fixture.makeUser("ada", ["devops@acme"])
        var pages: Set<String> = []
        for name in ["ada", "nobody"] {
            let browser: Browser = Browser(fixture)
            let page: TestAnswer = try await browser.get("/oauth2/device?user_code=BBBB-BBBB")
            let again: TestAnswer = try await browser.post(
                "/oauth2/login", Browser.hidden(page) + [("user", name), ("password", "wrong password 1")])
            #expect(again.text.contains("/oauth2/passkey"))
            #expect(!again.text.unescaped.contains("allowCredentials\":[{"), "it names no passkey of anybody")
            pages.insert(
                again.text.pieces("<form method=\"post\" action=\"/oauth2/passkey\"", "</form>").joined()
                    .pieces("name=\"", "\"").joined(separator: " "))
        }
        #expect(pages.count == 1, "\(pages)")
    }

    /// Beyond the limit nobody is checked: neither who is there nor who is not.
    @Test func whoeverIsSlowedDownIsSlowedDownByName() async throws {
        for name in ["ada", "nobody", "off"] {
            let work: Work = Work()
            let fixture: IdentityFixture = try await Self.fixture(work)
            func attempt() async throws -> Int {
                try await fixture.send("POST", "/v1/sessions", token: nil, IdentityFixture.credentials(name, "wrong"))
                    .status
            }
            for _ in 0..<SignInThrottle.accountFailuresMax { #expect(try await attempt() == 401) }
            _ = work.take()
            #expect(try await attempt() == 429)
            #expect(work.take().isEmpty)
        }
    }

    /// A device's code is asked about by who has signed in only; wrong ones look like those that are too old.
    @Test func devicesAreToldOfToNobodyWhoIsNotSignedIn() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let begun: TestAnswer = try await fixture.harness.submit(
            "POST", "/oauth2/device_authorization", form: "client_id=passerelle-cli&scope=platform")
        let code: String = try #require(begun.json["user_code"]?.text)
        var (pages, looks): (Set<String>, Set<[String]>) = ([], [])
        for typed in [code, "BBBB-BBBB"] {
            let page: TestAnswer = try await Browser(fixture).get("/oauth2/device?user_code=\(typed)")
            #expect(page.status == 200)
            let key: String = Browser.hidden(page).first { $0.0 == "form" }?.1 ?? ""
            pages.insert(page.text.replacing(typed, with: "CODE").replacing(key, with: "KEY"))
            looks.insert(try Self.reads(fixture))
        }
        #expect(pages.count == 1)
        #expect(looks.count == 1)
    }

    /// Of other users nobody learns more than that they cannot be seen, whether they are there or not.
    @Test func usersOutOfReachAreNotThere() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("gina", ["viewer@globex"])
        for (method, path, body) in [
            ("GET", "/v1/users/NAME", nil), ("PUT", "/v1/users/NAME/grants", .object(["grants": []])),
            ("PUT", "/v1/users/NAME/password", .object(["password": "another long password"])),
            ("POST", "/v1/permissions/check", .object(["user": "NAME", "permission": "catalog:api:read"])),
        ] as [(String, String, JSONValue?)] {
            var answers: Set<String> = []
            for name in ["gina", "nobody"] {
                let sent: JSONValue? = try body.map {
                    try JSONReader.parse(Array($0.jsonText.replacing("NAME", with: name).utf8))
                }
                let answer: TestAnswer = try await fixture.send(
                    method, path.replacing("NAME", with: name), token: "cpi-tenant@acme", sent)
                var shown: JSONObject = try #require(answer.json.object)
                shown["trace_id"] = nil
                answers.insert("\(answer.status) \(JSONValue.object(shown).jsonText.replacing(name, with: "NAME"))")
            }
            #expect(answers.count == 1 && answers.first?.hasPrefix("404") == true, "\(method) \(path): \(answers)")
        }
    }
}
