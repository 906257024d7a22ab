import Bytes
import Contracts
import Crypto
import Identifiers
import JSON
import REST
import Store
import Synchronization
import Telemetry
import Time
import Tokens

/// Turns tokens into callers: signed ones of a session (signature, expiry, session), those that an identity provider has made for the
/// control plane, and opaque ones of people and service accounts (by their hash); then come the roles as they are now.
///
/// What was verified is remembered by the token's SHA-256, roles by user; both are bounded and forgotten when something changes.
/// On a database that other processes change, too, session and roles are looked up again after `sharedAgeMax`.
final class TokenAuthenticator: Authenticator {
    /// Tokens and users remembered at most; when full, all are forgotten: they come back with one check each.
    static let rememberedMax: Int = 10_000

    /// For how long a session that another process has revoked, or roles it has changed, may still count here.
    static let sharedAgeMax: Duration = .seconds(1)

    private struct Known: Sendable {
        let ownerID: String
        /// The session, or the opaque token: what is revoked.
        let credentialID: String
        /// What came of a user's consent to a client ends with that, too.
        var grantID: String?
        /// The client that an issued token was made for, and when: what is ended of a client is what it had by then.
        var client: (id: String, issuedAt: Timestamp)?
        let expiresAt: Timestamp
        /// What a token that stands in place of a sign-in is limited to.
        let limits: TokenLimits?
        /// Whether it is one of those that the platform keeps the hash of.
        var isOpaque: Bool = false
        /// When an identity provider made the token; nil for our own.
        var madeAt: Timestamp?
        /// Whether the provider says that a second factor was shown.
        var hasSecondFactor: Bool = false
    }

    private struct State: Sendable {
        var tokens: [[UInt8]: Known] = [:]
        var grants: [String: [Grant]] = [:]
        var revoked: Set<String> = []
        /// Until when tokens of a client, or of a service account, were ended: those made later work.
        var ended: [String: Timestamp] = [:]
        /// Since when tokens of identity providers work for a user, where somebody has ended those before.
        var tokensAfter: [String: Timestamp] = [:]
        /// When a session and its user's roles were looked up last, in monotonic nanoseconds; on a shared database only.
        var lookedUp: [String: UInt64] = [:]
        /// Which roles count only where a second factor was shown, and in which sessions it was.
        var policies: SecondFactorPolicies = SecondFactorPolicies()
        var shown: Set<String> = []
        /// Readings of the policies that have begun, and the latest of which something is known.
        var policyReadings: (begun: Int, known: Int) = (0, 0)
        /// Grows with every change: a read that began before a change must not be remembered after it.
        var changes: Int = 0
    }

    private let keys: SigningKeys
    private let services: ServiceEnvironment
    /// Those whose access tokens are taken here.
    private let providers: [IdentityProvider]
    private let state: Mutex<State> = Mutex(State())

    init(keys: SigningKeys, services: ServiceEnvironment, providers: [IdentityProvider]) {
        self.keys = keys
        self.services = services
        self.providers = providers.filter { !$0.settings.audiences.isEmpty }
    }

    /// Learns which sessions were revoked, at start; later it forgets those that have expired meanwhile. What is revoked while it
    /// reads is not lost: then the next time does it.
    func loadRevocations() async throws {
        let now: Timestamp = self.services.clock.now()
        let changes: Int = self.state.withLock { $0.changes }
        let (revoked, ended): ([String], [String: Timestamp]) = try await self.services.store.read { reader in
            (
                try SessionTable.revoked(now: now, in: reader) + AccessTokenTable.revoked(now: now, in: reader)
                    + OAuthGrantTable.revoked(now: now, in: reader),
                try RevocationTable.endedClientsAndAccounts(now: now, in: reader)
            )
        }
        self.state.withLock { state in
            guard state.changes == changes else { return }
            state.revoked = Set(revoked)
            state.ended = ended
        }
    }

    /// Learns which roles ask for a second factor, at start and after a change.
    func loadPolicies() async throws {
        let reading: Int = self.state.withLock { state in
            state.policyReadings.begun += 1
            return state.policyReadings.begun
        }
        let policies: SecondFactorPolicies = try await self.services.store.read {
            try SecondFactorPolicyTable.all(in: $0)
        }
        self.state.withLock { state in
            // One that began later has seen more.
            guard reading > state.policyReadings.known else { return }
            state.policyReadings.known = reading
            state.policies = policies
        }
    }

    /// The roles that count now, and those that wait for a second factor. Personal tokens do not wait: nobody made them without
    /// one.
    private func split(_ grants: [Grant], _ known: Known) async -> (held: [Grant], withheld: [Grant]) {
        let (policies, isShown): (SecondFactorPolicies, Bool) = self.state.withLock {
            ($0.policies, $0.shown.contains(known.credentialID))
        }
        if policies.isEmpty || isShown || known.hasSecondFactor { return (grants, []) }
        guard !known.isOpaque, known.ownerID.hasPrefix(User.idPrefix),
            grants.contains(where: { policies.concern($0) })
        else { return (grants, []) }
        if known.madeAt == nil, await self.hasShown(known.credentialID) { return (grants, []) }
        return (grants.filter { !policies.concern($0) }, grants.filter { policies.concern($0) })
    }

    /// Whether a second factor was shown in a session: remembered once it was.
    private func hasShown(_ session: String) async -> Bool {
        let found: Session?? = try? await self.services.store.read { try SessionTable.find(session, in: $0) }
        guard let found, found?.secondFactorAt != nil else { return false }
        self.state.withLock { state in
            if state.shown.count >= Self.rememberedMax { state.shown.removeAll() }
            state.shown.insert(session)
        }
        return true
    }

    /// Sessions and tokens known as revoked.
    var revokedCount: Int { self.state.withLock { $0.revoked.count } }

    func authenticate(bearer token: String, ip: String) async -> Caller? {
        guard token.utf8.count <= JWT.bytesMax, let known: Known = await self.known(token, ip: ip) else { return nil }
        guard known.expiresAt > self.services.clock.now() else { return nil }
        if self.services.store.kind == .postgresql { await self.lookUp(known) }
        let isRevoked: Bool = self.state.withLock { state in
            if let madeAt: Timestamp = known.madeAt, let after: Timestamp = state.tokensAfter[known.ownerID] {
                return madeAt < after
            }
            if let client = known.client,
                [client.id, known.ownerID].contains(where: { state.ended[$0].map { client.issuedAt <= $0 } ?? false })
            {
                return true
            }
            return state.revoked.contains(known.credentialID)
                || known.grantID.map { state.revoked.contains($0) } ?? false
        }
        guard !isRevoked, let all: [Grant] = await self.grants(of: known.ownerID) else { return nil }
        let (grants, withheld): ([Grant], [Grant]) = await self.split(all, known)
        return Caller(
            kind: known.ownerID.hasPrefix(ServiceAccount.idPrefix) ? .serviceAccount : .user, id: known.ownerID,
            grants: grants, sessionID: known.limits == nil ? known.credentialID : nil, ip: ip, token: known.limits,
            withheld: withheld)
    }

    /// What other processes may have changed.
    private struct LookedUp: Sendable {
        let revoked: [String]
        var ended: [String: Timestamp] = [:]
        let grants: [Grant]?
        let after: Timestamp?
        let policies: SecondFactorPolicies
    }

    /// Learns what other processes have changed about a session and its user. While the store cannot be read, what is
    /// remembered stands.
    private func lookUp(_ known: Known) async {
        let now: UInt64 = self.services.clock.monotonic()
        let age: UInt64 = UInt64(clamping: Self.sharedAgeMax.nanosecondsClamped)
        let (isFresh, changes): (Bool, Int) = self.state.withLock { state in
            (state.lookedUp[known.credentialID].map { now &- $0 < age } ?? false, state.changes)
        }
        if isFresh { return }
        let found: LookedUp? = try? await self.services.store.read {
            reader in
            if known.madeAt != nil {
                return LookedUp(
                    revoked: [], grants: try Self.grants(of: known.ownerID, in: reader),
                    after: try ProviderTable.tokensAfter(user: known.ownerID, in: reader),
                    policies: try SecondFactorPolicyTable.all(in: reader))
            }
            let isRevoked: Bool =
                known.isOpaque
                ? try AccessTokenTable.isRevoked(known.credentialID, in: reader)
                : try SessionTable.find(known.credentialID, in: reader)?.isRevoked == true
            var revoked: [String] = isRevoked ? [known.credentialID] : []
            if let grant: String = known.grantID, try OAuthGrantTable.find(grant, in: reader)?.isRevoked != false {
                revoked.append(grant)
            }
            var found: LookedUp = LookedUp(
                revoked: revoked, grants: try Self.grants(of: known.ownerID, in: reader), after: nil,
                policies: try SecondFactorPolicyTable.all(in: reader))
            for id in known.client.map({ [$0.id, known.ownerID] }) ?? [] {
                found.ended[id] = try RevocationTable.endedAt(id, in: reader)
            }
            return found
        }
        guard let found: LookedUp else { return }
        self.state.withLock { state in
            // A change of this process that came between has the last word; the next request looks again.
            guard state.changes == changes else { return }
            if state.lookedUp.count >= Self.rememberedMax { state.lookedUp.removeAll() }
            state.lookedUp[known.credentialID] = now
            state.revoked.formUnion(found.revoked)
            state.ended.merge(found.ended) { max($0, $1) }
            state.grants[known.ownerID] = found.grants
            state.policies = found.policies
            if let after: Timestamp = found.after { state.tokensAfter[known.ownerID] = after }
        }
    }

    private func known(_ token: String, ip: String) async -> Known? {
        let hash: [UInt8] = SHA256.hash(token)
        if let known: Known = self.state.withLock({ $0.tokens[hash] }) { return known }
        let found: Known?
        if token.hasPrefix(AccessToken.prefix) {
            found = await self.opaque(Hex.encode(hash))
        } else if let provider: IdentityProvider = self.provider(of: token) {
            found = await self.federated(token, of: provider, hash: Hex.encode(hash), ip: ip)
        } else {
            found = self.signed(token)
        }
        guard let known: Known = found else { return nil }
        self.state.withLock { state in
            if state.tokens.count >= Self.rememberedMax { state.tokens.removeAll() }
            state.tokens[hash] = known
        }
        return known
    }

    private func signed(_ token: String) -> Known? {
        guard let verified: VerifiedToken = try? self.keys.verify(token), let user: String = verified.subject else {
            return nil
        }
        // A client that acts for itself has no session: its tokens end with it.
        let credential: String? =
            user.hasPrefix(ServiceAccount.idPrefix) ? verified.claims["client_id"]?.text : verified.claims["sid"]?.text
        guard let credential: String else { return nil }
        return Known(
            ownerID: user, credentialID: credential, grantID: verified.claims["grant"]?.text,
            client: Self.client(of: verified), expiresAt: verified.expiresAt, limits: Self.limits(of: verified))
    }

    private static func client(of token: VerifiedToken) -> (id: String, issuedAt: Timestamp)? {
        guard let id: String = token.claims["client_id"]?.text, let seconds: Int64 = token.claims["iat"]?.integer else {
            return nil
        }
        return (id, Timestamp(milliseconds: seconds * 1_000))
    }

    /// A client of others may do what its user may, and nothing that outlives what the user has agreed to: it is no sign-in.
    private static func limits(of token: VerifiedToken) -> TokenLimits? {
        guard let client: String = token.claims["client_id"]?.text,
            token.claims[IdentityService.firstPartyClaim]?.boolean != true
        else { return nil }
        return TokenLimits(id: "of the client \(client)", scopes: [Permission("*", "*", "*")])
    }

    /// Whose token it says it is: only the choice of whom to ask about it.
    private func provider(of token: String) -> IdentityProvider? {
        if self.providers.isEmpty { return nil }
        guard let parts: UnverifiedToken = try? UnverifiedToken(Array(token.utf8)),
            let issuer: String = parts.claimedIssuer
        else { return nil }
        return self.providers.first { $0.settings.issuer == issuer }
    }

    /// A token of an identity provider: whoever it is about becomes or is a user, with the roles that it says.
    private func federated(_ token: String, of provider: IdentityProvider, hash: String, ip: String) async -> Known? {
        let person: ProviderPerson
        do throws(ProviderError) {
            person = try await provider.verify(accessToken: token)
        } catch {
            if error.isTransient {
                self.services.logger.log(
                    .warning, "a token of an identity provider could not be checked",
                    ["provider": .string(provider.settings.name), "error": .string("\(error)")])
            }
            return nil
        }
        let makesUsers: Bool = provider.settings.makesUsers
        let admission: ProviderAdmission? = try? await self.services.store.write { transaction in
            try ProviderAdmission.admit(
                person, makesUsers: makesUsers, isSignIn: false, ip: ip, trace: TraceContext.make(), in: transaction)
        }
        guard let admission, case .user(let user, let isChanged) = admission else { return nil }
        if isChanged { self.forget(userID: user.id) }
        // As with every token in place of a sign-in: nobody makes longer-lived ones with it.
        let limits: TokenLimits = TokenLimits(
            id: "of identity provider \(provider.settings.name)", scopes: [Permission("*", "*", "*")])
        return Known(
            ownerID: user.id, credentialID: "provider/\(hash)", expiresAt: person.expiresAt, limits: limits,
            madeAt: person.saidAt, hasSecondFactor: person.hasSecondFactor)
    }

    private func opaque(_ hash: String) async -> Known? {
        let now: Timestamp = self.services.clock.now()
        let found: AccessToken? = try? await self.services.store.read {
            try AccessTokenTable.find(sha256: hash, now: now, in: $0)
        }
        guard let token: AccessToken = found else { return nil }
        return Known(
            ownerID: token.ownerID, credentialID: token.id, expiresAt: token.expiresAt,
            limits: TokenLimits(id: token.id, scopes: token.scopes), isOpaque: true)
    }

    /// What somebody holds; nil when there is no such active user or service account.
    private static func grants(of id: String, in store: any Queryable) throws -> [Grant]? {
        if id.hasPrefix(ServiceAccount.idPrefix) {
            guard let account: ServiceAccount = try ServiceAccountTable.find(id: id, in: store) else { return nil }
            return account.state == .active ? account.grants : nil
        }
        guard let user: User = try UserTable.find(id, in: store) else { return nil }
        return user.state == .active ? user.effective : nil
    }

    /// The roles; nil when there is no such active user any more, or the store cannot say.
    private func grants(of userID: String) async -> [Grant]? {
        let (remembered, changes): ([Grant]?, Int) = self.state.withLock { ($0.grants[userID], $0.changes) }
        if let remembered: [Grant] { return remembered }
        let found: [Grant]? = try? await self.services.store.read { try Self.grants(of: userID, in: $0) }
        guard let grants: [Grant] = found else { return nil }
        self.state.withLock { state in
            guard state.changes == changes else { return }
            if state.grants.count >= Self.rememberedMax { state.grants.removeAll() }
            state.grants[userID] = grants
        }
        return grants
    }

    /// While the store cannot be read, it is due: the operation could not be made anyway.
    func isStepUpDue(for caller: Caller, enrolling: Bool) async -> Bool {
        guard caller.kind == .user else { return false }
        let now: Timestamp = self.services.clock.now()
        let isDue: Bool? = try? await self.services.store.read { reader in
            let session: Session? = try caller.sessionID.flatMap { try SessionTable.find($0, in: reader) }
            let isAsked: Bool = try SecondFactors.of(caller.id, in: reader).exist
            if !isAsked, !enrolling { return !caller.withheld.isEmpty }
            return !SecondFactorRules.isRecent(session, hasFactors: isAsked, now: now)
        }
        return isDue ?? true
    }

    /// Called after a committed change of the user's roles or state.
    func forget(userID: String) {
        self.state.withLock { state in
            state.grants[userID] = nil
            state.changes += 1
        }
    }

    /// Called after a committed change of what many hold: a group's roles, a custom role.
    func forgetAllGrants() {
        self.state.withLock { state in
            state.grants.removeAll()
            state.changes += 1
        }
    }

    /// Called after committed revocations of all that lets a user in: tokens of identity providers made before do not work any more.
    func endTokens(ofUser user: String) {
        let now: Timestamp = self.services.clock.now()
        self.state.withLock { state in
            if state.tokensAfter.count >= Self.rememberedMax {
                // Forgotten together with what they are about: the next check reads both from the store.
                state.tokensAfter.removeAll()
                state.tokens.removeAll()
            }
            state.tokensAfter[user] = now
            state.grants[user] = nil
            state.changes += 1
        }
    }

    /// Called after committed revocations, with the ids of sessions, grants and tokens; and of clients and service accounts, of which
    /// it ends what they have by now.
    func revoke(_ ids: [String]) {
        let now: Timestamp = self.services.clock.now()
        self.state.withLock { state in
            for id in ids {
                if id.hasPrefix(OAuthClient.idPrefix) || id.hasPrefix(ServiceAccount.idPrefix) {
                    state.ended[id] = now
                } else {
                    state.revoked.insert(id)
                }
            }
            state.changes += 1
        }
    }
}
