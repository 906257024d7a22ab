import GatewayConfiguration

/// An API key, or another credential of an application, in the table.
struct Credential: BitwiseCopyable {
    var digest: KeyDigest
    /// -1: an empty slot.
    var tenant: Int32
    var application: Int32
    /// Place among the keys and other credentials of its application.
    var ordinal: Int32
    var kind: CredentialKind
    /// Place in `Snapshot.credentialDetails`; -1 for keys.
    var detail: Int32
    /// Seconds since 1970; the key is refused from then on.
    var expires: Int64

    static let never: Int64 = .max
}

/// Finds keys by digest within a tenant: an open-addressing table in one piece of memory, at most half full.
///
/// The same key may exist in two tenants; each opens only the APIs of its own. Digests are not secret, so comparing them needs
/// no constant time; it has it all the same.
final class CredentialTable: Sendable {
    private let slots: FlatArray<Credential>
    private let mask: Int

    /// Digests are distinct within a tenant.
    init(_ credentials: [Credential]) {
        var size: Int = 8
        while size < credentials.count * 2 { size *= 2 }
        let empty: Credential = Credential(
            digest: KeyDigest(words: (0, 0, 0, 0)), tenant: -1, application: -1, ordinal: -1, kind: .key, detail: -1,
            expires: 0)
        var slots: [Credential] = [Credential](repeating: empty, count: size)
        for credential in credentials {
            var index: Int = Self.start(credential.digest, credential.tenant) & (size - 1)
            while slots[index].tenant >= 0 { index = (index + 1) & (size - 1) }
            slots[index] = credential
        }
        self.slots = FlatArray(slots)
        self.mask = size - 1
    }

    /// The credential of this kind and digest among those of a tenant.
    func find(_ digest: KeyDigest, kind: CredentialKind = .key, tenant: Int32) -> Credential? {
        var index: Int = Self.start(digest, tenant) & self.mask
        while true {
            let slot: Credential = self.slots.base[index]
            if slot.tenant < 0 { return nil }
            if slot.tenant == tenant && slot.kind == kind && slot.digest == digest { return slot }
            index = (index + 1) & self.mask
        }
    }

    /// A digest is as good as random; the tenant is mixed in so that a key known to many tenants does not make a cluster.
    private static func start(_ digest: KeyDigest, _ tenant: Int32) -> Int {
        Int(truncatingIfNeeded: digest.words.0 ^ (UInt64(UInt32(bitPattern: tenant)) &* 0x9e37_79b9_7f4a_7c15))
    }
}

/// A subscription in the table.
struct SubscriptionRules: BitwiseCopyable, Sendable {
    var application: Int32
    /// -1: an empty slot.
    var api: Int32
    var isActive: Bool
    /// Place in `Snapshot.subscriptions`.
    var index: Int32
    var identity: IdentityNumber
    /// Places of the plan's limits in the table of limits and of their words, one behind the other.
    var planLimit: Int32
    var planWordStart: Int32
    var planCount: Int32
    /// Place of the first word of limits by application.
    var wordStart: Int32
    /// Place of the first word of its keys' limits, and words of one key.
    var keyWordStart: Int32
    var keyWords: Int32
}

/// Finds the subscription of an application to an API.
final class SubscriptionTable: Sendable {
    private let slots: FlatArray<SubscriptionRules>
    private let mask: Int

    init(_ subscriptions: [SubscriptionRules]) {
        var size: Int = 8
        while size < subscriptions.count * 2 { size *= 2 }
        let empty: SubscriptionRules = SubscriptionRules(
            application: -1, api: -1, isActive: false, index: -1, identity: .none, planLimit: -1, planWordStart: -1,
            planCount: 0,
            wordStart: 0,
            keyWordStart: 0, keyWords: 0)
        var slots: [SubscriptionRules] = [SubscriptionRules](repeating: empty, count: size)
        for subscription in subscriptions {
            var index: Int = Self.start(subscription.application, subscription.api) & (size - 1)
            while slots[index].api >= 0 { index = (index + 1) & (size - 1) }
            slots[index] = subscription
        }
        self.slots = FlatArray(slots)
        self.mask = size - 1
    }

    func find(application: Int32, api: Int32) -> SubscriptionRules? {
        var index: Int = Self.start(application, api) & self.mask
        while true {
            let slot: SubscriptionRules = self.slots.base[index]
            if slot.api < 0 { return nil }
            if slot.application == application && slot.api == api { return slot }
            index = (index + 1) & self.mask
        }
    }

    private static func start(_ application: Int32, _ api: Int32) -> Int {
        let pair: UInt64 = UInt64(UInt32(bitPattern: application)) << 32 | UInt64(UInt32(bitPattern: api))
        return Int(truncatingIfNeeded: ByteHash.mix(pair ^ 0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db))
    }
}
