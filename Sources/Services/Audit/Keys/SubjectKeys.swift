import Contracts
import Crypto
import EventLog
import Identifiers
import JSON
import Store
import Synchronization
import Time

/// The keys that seal what audit entries have of people: one for a person and quarter, made with the first entry that needs it, in its
/// transaction.
///
/// A key is stored sealed by the platform's key ring. In memory it stays for a minute, so that an entry costs no query; that is also
/// how long another process may go on sealing under a key that was destroyed meanwhile, which nobody can open then.
final class SubjectKeys: AuditSealing {
    /// A key seals entries of so long; then the next is made. So keys can go when the entries they seal have gone.
    static let period: Duration = .seconds(92 * 86_400)
    static let rememberedFor: Duration = .seconds(60)
    /// Keys remembered at most; when full, all are forgotten: they come back with one query each.
    static let rememberedMax: Int = 10_000
    static let idPrefix: String = "sbk"
    /// The entry that says which keys were destroyed.
    static let erasedEvent: String = "personal-data.erased"

    /// An opened key.
    struct Key: Sendable {
        let id: String
        let bytes: [UInt8]
        let createdAt: Timestamp
        /// When it was read, in monotonic nanoseconds.
        let readAt: UInt64
    }

    private let sealer: any SecretSealer
    private let clock: any WallClock
    private let remembered: Mutex<[String: Key]> = Mutex([:])

    init(sealer: any SecretSealer, clock: any WallClock) {
        self.sealer = sealer
        self.clock = clock
    }

    func makeSealer() -> any AuditSealer { SubjectSealer(keys: self) }

    static func sealName(_ id: String) -> String { "audit/subject-key/\(id)" }

    /// Forgets what is remembered of somebody whose keys were destroyed.
    func forget(_ subject: String) { self.remembered.withLock { $0[subject] = nil } }

    func remember(_ keys: [String: Key]) {
        self.remembered.withLock { remembered in
            if remembered.count + keys.count > Self.rememberedMax { remembered.removeAll() }
            for (subject, key) in keys { remembered[subject] = key }
        }
    }

    /// The key to seal with now, if it is remembered.
    func remembered(_ subject: String, now: Timestamp) -> Key? {
        guard let key: Key = self.remembered.withLock({ $0[subject] }) else { return nil }
        let age: UInt64 = self.clock.monotonic() &- key.readAt
        guard age < UInt64(Self.rememberedFor.components.seconds) * 1_000_000_000, !Self.isWornOut(key.createdAt, now)
        else { return nil }
        return key
    }

    private static func isWornOut(_ createdAt: Timestamp, _ now: Timestamp) -> Bool { now - createdAt >= Self.period }

    /// The key to seal with now, from the store or new.
    func current(of subject: String, in transaction: Transaction) throws -> Key {
        if let stored: SubjectKeyTable.Stored = try SubjectKeyTable.newest(of: subject, in: transaction),
            !Self.isWornOut(stored.createdAt, transaction.now)
        {
            return try self.opened(stored)
        }
        let id: String = Identifier.make(Self.idPrefix, now: transaction.now)
        let bytes: [UInt8] = AESGCM.makeKey()
        try SubjectKeyTable.insert(
            SubjectKeyTable.Stored(
                id: id, subject: subject, sealed: try self.sealer.seal(bytes, name: Self.sealName(id)),
                createdAt: transaction.now), in: transaction)
        return Key(id: id, bytes: bytes, createdAt: transaction.now, readAt: self.clock.monotonic())
    }

    /// The keys with these ids that are still there. Never from memory: what was destroyed is gone at once.
    func bytes(of ids: some Collection<String>, in database: some Queryable) throws -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        for id in ids {
            guard let stored: SubjectKeyTable.Stored = try SubjectKeyTable.find(id, in: database) else { continue }
            found[id] = try self.opened(stored).bytes
        }
        return found
    }

    private func opened(_ stored: SubjectKeyTable.Stored) throws -> Key {
        Key(
            id: stored.id, bytes: try self.sealer.open(stored.sealed, name: Self.sealName(stored.id)),
            createdAt: stored.createdAt, readAt: self.clock.monotonic())
    }
}

/// What one writer thread seals with. Keys that are not committed yet are its own secret: they may come to nothing.
private final class SubjectSealer: AuditSealer {
    private let keys: SubjectKeys
    /// Looked up or made since the last commit.
    private var fresh: [String: SubjectKeys.Key] = [:]

    init(keys: SubjectKeys) { self.keys = keys }

    func seal(_ value: JSONValue, of subject: String, leaf: String, in transaction: Transaction) throws -> JSONObject {
        let key: SubjectKeys.Key = try self.key(of: subject, in: transaction)
        return try SealedValue.seal(value, key: key.id, bytes: key.bytes, leaf: leaf)
    }

    func standIn(for subject: String, in transaction: Transaction) throws -> String {
        try self.key(of: subject, in: transaction).id
    }

    private func key(of subject: String, in transaction: Transaction) throws -> SubjectKeys.Key {
        if let key: SubjectKeys.Key = self.fresh[subject] { return key }
        if let key: SubjectKeys.Key = self.keys.remembered(subject, now: transaction.now) { return key }
        let key: SubjectKeys.Key = try self.keys.current(of: subject, in: transaction)
        self.fresh[subject] = key
        return key
    }

    /// Whether a key was of this closure or of an earlier one of the group is not noted: all are looked up again.
    func rolledBack() { self.fresh.removeAll() }

    func committed() {
        if self.fresh.isEmpty { return }
        self.keys.remember(self.fresh)
        self.fresh.removeAll()
    }

    func aborted() { self.fresh.removeAll() }
}
