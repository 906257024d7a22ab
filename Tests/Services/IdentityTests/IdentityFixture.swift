import Contracts
import Crypto
import JSON
import REST
import ServiceTestKit
import Store
import Telemetry
import TestKit
import Testing

@testable import Identity

/// A signing key made once for all tests.
enum TestSigningKey {
    static let key: Result<PrivateKey, any Error> = Result { try PrivateKey.generate(.rsa) }
    /// Somebody else's.
    static let other: Result<PrivateKey, any Error> = Result { try PrivateKey.generate(.rsa) }

    static func store(in store: Store) async throws {
        let key: PrivateKey = try Self.key.get()
        let id: String = try key.publicKey().thumbprint()
        let sealed: [UInt8] = try FixedSealer().seal(Array(try key.pem().utf8), name: "signing-key/\(id)")
        try await store.write { transaction in
            try transaction.execute(
                "INSERT INTO signing_keys (key_id, sealed, created_at) VALUES ($1, $2, 0)", .text(id), .bytes(sealed))
        }
    }
}

/// The identity service on a real store. Passwords are checked at once unless a test asks for the real cost.
struct IdentityFixture {
    static let issuer: String = "http://127.0.0.1:8001"
    static let password: String = "correct horse battery"

    let harness: ServiceHarness
    let identity: IdentityService
    let log: CapturedLog
    /// What the issuer is called here.
    let issuerName: String

    /// One that has passkeys: they are for host names.
    static let namedIssuer: String = "http://localhost:8001"

    /// Compares in clear: for tests that are not about the cost of passwords.
    static func plainPasswords() -> PasswordChecker {
        PasswordChecker(
            verify: { $1 == "plain:\($0)" }, hash: { "plain:\($0)" }, isOutdated: { !$0.hasPrefix("plain:") })
    }

    /// - Parameter hasKey: whether the store holds a signing key already; making one takes a quarter of a second.
    init(
        passwords: PasswordChecker = Self.plainPasswords(), hasKey: Bool = true, clock: ManualClock = ManualClock(),
        providers: [IdentityProviderSettings] = [], calls: (any OutgoingCalls)? = nil, issuer: String = Self.issuer,
        catalog: (any CatalogOffer)? = nil
    ) async throws {
        let log: CapturedLog = CapturedLog()
        let harness: ServiceHarness = try await ServiceHarness(
            migrations: [IdentityService.migrations], clock: clock, logger: log.logger(clock: clock),
            authenticator: { _, fixed, services in ChainedAuthenticator([fixed] + Self.authenticators(services)) }
        ) { services in
            if hasKey { try await TestSigningKey.store(in: services.store) }
            return [
                try await IdentityService.open(
                    services: services, sealer: FixedSealer(), issuer: issuer, passwords: passwords, catalog: catalog,
                    providers: providers, calls: calls)
            ]
        }
        self.harness = harness
        self.identity = try #require(harness.running.first as? IdentityService)
        self.log = log
        self.issuerName = issuer
    }

    private init(harness: ServiceHarness, log: CapturedLog) throws {
        self.issuerName = Self.issuer
        self.harness = harness
        self.identity = try #require(harness.running.first as? IdentityService)
        self.log = log
    }

    private static func authenticators(_ services: [any PlatformService]) -> [any Authenticator] {
        var found: [any Authenticator] = []
        for service in services {
            if let identity = service as? IdentityService { found.append(identity.authenticator) }
        }
        return found
    }

    /// As after a restart of the platform.
    func restarted(
        providers: [IdentityProviderSettings] = [], calls: (any OutgoingCalls)? = nil
    ) async throws -> IdentityFixture {
        let next: ServiceHarness = try await self.harness.restarted { services in
            [
                try await IdentityService.open(
                    services: services, sealer: FixedSealer(), issuer: Self.issuer, passwords: Self.plainPasswords(),
                    providers: providers, calls: calls)
            ]
        }
        return try IdentityFixture(harness: next, log: self.log)
    }

    func send(
        _ method: String, _ target: String, token: String? = "admin", _ body: JSONValue? = nil,
        fields: [(String, String)] = []
    ) async throws -> TestAnswer {
        try await self.harness.send(method, target, token: token, body, fields: fields)
    }

    /// Creates a user with these roles, each `role` or `role@tenant`. - Returns: the user's id.
    @discardableResult
    func makeUser(_ name: String, _ roles: [String] = []) async throws -> String {
        let body: JSONValue = .object([
            "name": .string(name), "password": .string(Self.password), "grants": Self.grants(roles),
        ])
        let answer: TestAnswer = try await self.send("POST", "/v1/users", body)
        try #require(answer.status == 201, "\(answer.json)")
        return answer.json["id"]?.text ?? ""
    }

    static func grants(_ roles: [String]) -> JSONValue {
        var grants: [JSONValue] = []
        for role in roles {
            let parts: [Substring] = role.split(separator: "@")
            var grant: JSONObject = ["role": .string(String(parts[0]))]
            if parts.count > 1 { grant["tenant"] = .string(String(parts[1])) }
            grants.append(.object(grant))
        }
        return .array(grants)
    }

    static func credentials(_ name: String, _ password: String = Self.password) -> JSONValue {
        .object(["user": .string(name), "password": .string(password)])
    }

    /// Signs in. - Returns: the token.
    func signIn(_ name: String, _ password: String = Self.password) async throws -> String {
        let answer: TestAnswer = try await self.send(
            "POST", "/v1/sessions", token: nil, Self.credentials(name, password))
        try #require(answer.status == 201, "\(answer.json)")
        return try #require(answer.json["access_token"]?.text)
    }

    /// The roles an answer shows, as `makeUser` takes them.
    static func roles(_ user: JSONValue) -> [String] {
        (user["grants"]?.elements ?? []).map { grant in
            let role: String = grant["role"]?.text ?? ""
            return grant["tenant"]?.text.map { "\(role)@\($0)" } ?? role
        }
    }
}
