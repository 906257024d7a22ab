import Bytes
import Contracts
import Crypto
import JSON
import REST
import Store
import Synchronization
import Time
import Tokens

/// Turns access tokens into callers: signature, expiry, session, then the roles as they are now.
///
/// What was verified is remembered by the token's SHA-256, roles by user; both are bounded and forgotten when something changes.
/// On a database that other processes change, too, session and roles are looked up again after `sharedAgeMax`.
final class TokenAuthenticator: Authenticator {
    /// Tokens and users remembered at most; when full, all are forgotten: they come back with one check each.
    static let rememberedMax: Int = 10_000

    /// For how long a session that another process has revoked, or roles it has changed, may still count here.
    static let sharedAgeMax: Duration = .seconds(1)

    private struct Known: Sendable {
        let userID: String
        let sessionID: String
        let expiresAt: Timestamp
    }

    private struct State: Sendable {
        var tokens: [[UInt8]: Known] = [:]
        var grants: [String: [Grant]] = [:]
        var revoked: Set<String> = []
        /// When a session and its user's roles were looked up last, in monotonic nanoseconds; on a shared database only.
        var lookedUp: [String: UInt64] = [:]
        /// Grows with every change: a read that began before a change must not be remembered after it.
        var changes: Int = 0
    }

    private let keys: SigningKeys
    private let services: ServiceEnvironment
    private let state: Mutex<State> = Mutex(State())

    init(keys: SigningKeys, services: ServiceEnvironment) {
        self.keys = keys
        self.services = services
    }

    /// Learns which sessions were revoked, at start; later it forgets those that have expired meanwhile. What is revoked while it
    /// reads is not lost: then the next time does it.
    func loadRevocations() async throws {
        let now: Timestamp = self.services.clock.now()
        let changes: Int = self.state.withLock { $0.changes }
        let revoked: [String] = try await self.services.store.read { try SessionTable.revoked(now: now, in: $0) }
        self.state.withLock { if $0.changes == changes { $0.revoked = Set(revoked) } }
    }

    /// Sessions known as revoked.
    var revokedCount: Int { self.state.withLock { $0.revoked.count } }

    func authenticate(bearer token: String, ip: String) async -> Caller? {
        guard token.utf8.count <= JWT.bytesMax, let known: Known = self.known(token) else { return nil }
        guard known.expiresAt > self.services.clock.now() else { return nil }
        if self.services.store.kind == .postgresql { await self.lookUp(known) }
        let isRevoked: Bool = self.state.withLock { $0.revoked.contains(known.sessionID) }
        guard !isRevoked, let grants: [Grant] = await self.grants(of: known.userID) else { return nil }
        return Caller(kind: .user, id: known.userID, grants: grants, sessionID: known.sessionID, ip: ip)
    }

    /// Learns what other processes have changed about a session and its user. While the store cannot be read, what is
    /// remembered stands.
    private func lookUp(_ known: Known) async {
        let now: UInt64 = self.services.clock.monotonic()
        let age: UInt64 = UInt64(clamping: Self.sharedAgeMax.nanosecondsClamped)
        let (isFresh, changes): (Bool, Int) = self.state.withLock { state in
            (state.lookedUp[known.sessionID].map { now &- $0 < age } ?? false, state.changes)
        }
        if isFresh { return }
        let found: (session: Session?, user: User?)? = try? await self.services.store.read { reader in
            (try SessionTable.find(known.sessionID, in: reader), try UserTable.find(known.userID, in: reader))
        }
        guard let found else { return }
        self.state.withLock { state in
            // A change of this process that came between has the last word; the next request looks again.
            guard state.changes == changes else { return }
            if state.lookedUp.count >= Self.rememberedMax { state.lookedUp.removeAll() }
            state.lookedUp[known.sessionID] = now
            if found.session?.isRevoked == true { state.revoked.insert(known.sessionID) }
            state.grants[known.userID] = found.user.flatMap { $0.state == .active ? $0.grants : nil }
        }
    }

    private func known(_ token: String) -> Known? {
        let hash: [UInt8] = SHA256.hash(token)
        if let known: Known = self.state.withLock({ $0.tokens[hash] }) { return known }
        guard let verified: VerifiedToken = try? self.keys.verify(token), let user: String = verified.subject,
            let session: String = verified.claims["sid"]?.text
        else { return nil }
        let known: Known = Known(userID: user, sessionID: session, expiresAt: verified.expiresAt)
        self.state.withLock { state in
            if state.tokens.count >= Self.rememberedMax { state.tokens.removeAll() }
            state.tokens[hash] = known
        }
        return known
    }

    /// The user's roles; nil when there is no such active user any more, or the store cannot say.
    private func grants(of userID: String) async -> [Grant]? {
        let (remembered, changes): ([Grant]?, Int) = self.state.withLock { ($0.grants[userID], $0.changes) }
        if let remembered: [Grant] { return remembered }
        let found: User? = try? await self.services.store.read { try UserTable.find(userID, in: $0) }
        guard let user: User = found, user.state == .active else { return nil }
        self.state.withLock { state in
            guard state.changes == changes else { return }
            if state.grants.count >= Self.rememberedMax { state.grants.removeAll() }
            state.grants[userID] = user.grants
        }
        return user.grants
    }

    /// Called after a committed change of the user's roles or state.
    func forget(userID: String) {
        self.state.withLock { state in
            state.grants[userID] = nil
            state.changes += 1
        }
    }

    /// Called after committed revocations.
    func revoke(sessions: [String]) {
        self.state.withLock { state in
            for id in sessions { state.revoked.insert(id) }
            state.changes += 1
        }
    }
}
