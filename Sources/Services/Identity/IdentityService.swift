package import Contracts
import Crypto
import EventLog
import Identifiers
import JSON
package import REST
import Store
import Synchronization
import Telemetry
import Time
import WebAuthn

/// Owns users, their roles, sessions and the keys that sign tokens.
///
/// Publishes `identity-events`. Offers the platform's `Authenticator`.
package final class IdentityService: PlatformService {
    package static let name: String = "identity"

    let services: ServiceEnvironment
    let keys: SigningKeys
    let tokens: TokenAuthenticator
    let passwords: PasswordChecker
    let refusals: RefusalRecorder
    let throttle: SignInThrottle
    let sealer: any SecretSealer
    /// Whom passkeys are for; nil where the issuer has no host name.
    let relyingParty: RelyingParty?
    /// In the order of the settings.
    let providers: [IdentityProvider]
    /// Knows the labels of APIs, by which roles may have conditions; nil: no API can be asked about.
    let catalog: (any CatalogOffer)?
    private let tasks: Mutex<[Task<Void, Never>]> = Mutex([])

    private init(
        services: ServiceEnvironment, keys: SigningKeys, passwords: PasswordChecker, sealer: any SecretSealer,
        providers: [IdentityProvider], catalog: (any CatalogOffer)?
    ) {
        self.catalog = catalog
        self.sealer = sealer
        self.relyingParty = RelyingParty(issuer: keys.issuer)
        self.providers = providers
        self.services = services
        self.keys = keys
        self.passwords = passwords
        self.tokens = TokenAuthenticator(keys: keys, services: services, providers: providers)
        self.refusals = RefusalRecorder(services: services)
        self.throttle = SignInThrottle(clock: services.clock)
    }

    /// Loads the signing keys, or makes them.
    ///
    /// - Parameters:
    ///   - issuer: the control plane's URL: what tokens name as their issuer.
    ///   - providers: identity providers of others, and how they are called.
    package static func open(
        services: ServiceEnvironment, sealer: any SecretSealer, issuer: String,
        catalog: (any CatalogOffer)? = nil, providers: [IdentityProviderSettings] = [],
        calls: (any OutgoingCalls)? = nil
    ) async throws -> IdentityService {
        try await Self.open(
            services: services, sealer: sealer, issuer: issuer, passwords: PasswordChecker(), catalog: catalog,
            providers: providers, calls: calls)
    }

    static func open(
        services: ServiceEnvironment, sealer: any SecretSealer, issuer: String, passwords: PasswordChecker,
        catalog: (any CatalogOffer)? = nil, providers: [IdentityProviderSettings] = [],
        calls: (any OutgoingCalls)? = nil
    ) async throws -> IdentityService {
        let keys: SigningKeys = try await SigningKeys.load(services: services, sealer: sealer, issuer: issuer)
        var known: [IdentityProvider] = []
        if let calls { known = providers.map { IdentityProvider($0, calls: calls, clock: services.clock) } }
        return IdentityService(
            services: services, keys: keys, passwords: passwords, sealer: sealer, providers: known,
            catalog: catalog)
    }

    package var authenticator: any Authenticator { self.tokens }

    /// Where programs in browsers run that get tokens here.
    package var clientOrigins: any ClientOrigins { BrowserClients(services: self.services) }

    package var routes: [Route] {
        self.sessionRoutes + self.meRoutes + self.userRoutes + self.roleRoutes + self.tokenRoutes
            + self.serviceAccountRoutes + self.groupRoutes + self.customRoleRoutes
            + self.clientRoutes + self.issuerRoutes + self.secondFactorRoutes + self.providerRoutes
            + self.passkeyRoutes + self.secondFactorPolicyRoutes
    }

    package func start() async throws {
        try await self.endMissingProviders()
        try await self.tokens.loadRevocations()
        try await self.tokens.loadPolicies()
        let keeper: Task<Void, Never> = Task {
            while (try? await self.services.clock.sleep(for: Self.housekeepingEvery)) != nil { await self.keepHouse() }
        }
        self.tasks.withLock { $0.append(keeper) }
    }

    /// Takes the roles and ends the sessions that came from providers which are in the settings no more.
    private func endMissingProviders() async throws {
        let names: Set<String> = Set(self.providers.map(\.settings.name))
        let author: Author = Author(caller: .platform("identity"), trace: TraceContext.make())
        try await self.services.store.write { transaction in
            for gone in try ProviderTable.missing(from: names, in: transaction) {
                try ProviderTable.setRoles([], of: gone.user, provider: gone.provider, in: transaction)
                let ended: [String] = try SessionTable.revokeAll(
                    ofUser: gone.user, provider: gone.provider, in: transaction)
                try Self.recordRevocation(of: ended, userID: gone.user, author, in: transaction)
                try author.audit(
                    "user.roles-mapped", tenant: "",
                    resource: AuditEntry.Resource(type: "provider-roles", id: "\(gone.provider)/\(gone.user)"),
                    changes: [
                        "user_id": .string(gone.user), "provider": .string(gone.provider), "roles": .array([]),
                    ], in: transaction)
            }
        }
    }

    /// How often sums of refusals are written and what has expired is forgotten.
    static let housekeepingEvery: Duration = .seconds(60)

    func keepHouse() async {
        await self.refusals.flush()
        do {
            try await ExpiredRows.delete(from: self.services.store)
            try await self.tokens.loadRevocations()
            try await self.tokens.loadPolicies()
            try await self.keys.reload()
            if self.keys.isDue {
                _ = try await self.keys.rotate(Author(caller: .platform("identity"), trace: TraceContext.make()))
            }
        } catch {
            self.services.logger.log(
                .warning, "what has expired could not be removed, or keys not be renewed",
                ["error": .string("\(error)")])
        }
    }

    package func stop() async {
        let tasks: [Task<Void, Never>] = self.tasks.withLock { $0 }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        await self.refusals.flush()
    }

    /// Makes the first administrator when there is no user yet.
    ///
    /// - Parameter show: gets name and one-time password *before* the administrator is written: whatever ends the process
    ///   meanwhile, there is never an administrator whose password nobody saw. What it throws leaves no administrator.
    /// - Returns: name and password; nil when there are users.
    @discardableResult
    package func firstAdministrator(
        show: (_ name: String, _ password: String) throws -> Void = { _, _ in }
    ) async throws -> (name: String, password: String)? {
        guard try await self.services.store.read({ try UserTable.isEmpty(in: $0) }) else { return nil }
        let password: String = Random.token(prefix: "", bytes: 18)
        let hash: String = try await self.passwords.hash(password)
        try show("admin", password)
        let author: Author = Author(caller: .platform("identity"), trace: TraceContext.make())
        let made: Bool = try await self.services.store.write { transaction in
            guard try UserTable.isEmpty(in: transaction) else { return false }
            let user: User = User(
                id: Identifier.make("usr", now: transaction.now), name: "admin", passwordHash: hash, state: .active,
                grants: [Grant(role: .platformAdmin, tenant: nil)], createdAt: transaction.now, version: 1)
            try UserTable.insert(user, in: transaction)
            try Self.record("user-created", audit: "user.created", user, author, in: transaction)
            return true
        }
        return made ? ("admin", password) : nil
    }

    /// What every change of a user owes: the topic and the audit log.
    ///
    /// One event and one entry for each tenant that is concerned, each with that tenant's roles only: what a user is elsewhere
    /// is no business of a tenant's auditors. Platform-wide roles go to the platform's own, under no tenant.
    ///
    /// - Parameter grants: the roles that the change is about; all of the user's when left out.
    static func record(
        _ event: String, audit: String, _ user: User, about grants: [Grant]? = nil, _ author: Author,
        in transaction: Transaction
    ) throws {
        for tenant in User.tenants(of: grants ?? user.grants) {
            try author.publish(
                Topics.identityEvents, key: user.id, tenant: tenant,
                [
                    "event": .string(event), "user_id": .string(user.id), "tenant": .string(tenant),
                    "by": .string(author.caller.id),
                ], in: transaction)
            try author.audit(
                audit, tenant: tenant,
                resource: AuditEntry.Resource(type: "user", id: user.id, version: user.version),
                changes: user.audited(in: tenant), in: transaction)
        }
    }
}
