import Bytes
import Crypto
import GatewayConfiguration
import JSON
import Synchronization

/// One thing that tokens name and that was ended: a session, a grant, a client or a subject; or a certificate (`certificate:` and its
/// fingerprint).
package struct RevokedTokens: Sendable, Equatable {
    package let id: String
    /// Tokens made until this second since 1970 are refused.
    package let at: Int64
    /// The second after which no such token works anyway.
    package let ends: Int64

    package init(id: String, at: Int64, ends: Int64) {
        self.id = id
        self.at = at
        self.ends = ends
    }
}

/// What the control plane has ended, for tokens that are good otherwise. Shared by all loops.
///
/// A credential that was found good is looked up here once, and again when something was ended since: in between, the check is two
/// loads. Looking up costs a microsecond.
final class TokenRevocations: Sendable {
    private struct Ended {
        let at: Int64
        let ends: Int64
    }

    private let ended: Mutex<[String: Ended]> = Mutex([:])
    /// From the listener's files, for certificates of authorities elsewhere.
    private let lists: Mutex<RevocationLists?> = Mutex(nil)
    /// Moves with every addition; 0: nothing was ever ended.
    private let moves: Atomic<UInt64> = Atomic(0)

    var version: UInt64 { self.moves.load(ordering: .acquiring) }
    var count: Int { self.ended.withLock { $0.count } }

    func add(_ revoked: [RevokedTokens], now: Int64) {
        if revoked.isEmpty { return }
        self.ended.withLock { ended in
            for one in revoked where one.ends > now { ended[one.id] = Ended(at: one.at, ends: one.ends) }
        }
        self.moves.wrappingAdd(1, ordering: .releasing)
    }

    /// Forgets what no token can be about any more.
    func prune(now: Int64) {
        self.ended.withLock { ended in ended = ended.filter { $0.value.ends > now } }
    }

    /// All of it, to be kept on disk.
    var all: [RevokedTokens] {
        self.ended.withLock { ended in
            ended.map { RevokedTokens(id: $0.key, at: $0.value.at, ends: $0.value.ends) }
        }
    }

    /// The claims that name what may be ended.
    private static let claims: [String] = ["sid", "grant", "client_id", "sub"]

    func refuses(_ claims: JSONObject) -> Bool {
        let made: Int64 = claims["iat"]?.integer ?? 0
        return self.ended.withLock { ended in
            for name in Self.claims {
                guard let id: String = claims[name]?.text, let found: Ended = ended[id] else { continue }
                if made <= found.at { return true }
            }
            return false
        }
    }

    /// Looks certificates up in these lists too, from now on.
    func use(_ lists: RevocationLists) {
        self.lists.withLock { $0 = lists }
        self.moves.wrappingAdd(1, ordering: .releasing)
    }

    /// Whether a certificate was revoked: by the control plane that issued it, or by a list of its issuer.
    func refuses(_ certificate: Certificate) -> Bool {
        let id: String = "certificate:\(Hex.encode(certificate.fingerprint))"
        if self.ended.withLock({ $0[id] != nil }) { return true }
        return self.lists.withLock { $0?.name(certificate) ?? false }
    }

    /// Whether a credential that was found good is so still.
    func refuses(_ known: CachedIdentity) -> Bool {
        let version: UInt64 = self.version
        if version == 0 || known.revocationsSeen.load(ordering: .relaxed) == version { return false }
        guard let claims: JSONObject = known.identity?.claims else { return false }
        if self.refuses(claims) { return true }
        known.revocationsSeen.store(version, ordering: .relaxed)
        return false
    }
}
