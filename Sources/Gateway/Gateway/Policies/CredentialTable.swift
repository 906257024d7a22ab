import GatewayConfiguration

/// An API key, or another credential of an application, in the table.
struct Credential: BitwiseCopyable {
    var digest: KeyDigest
    /// -1: an empty slot, -2: a vacant one.
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

extension Credential: KeyedSlot {
    static let empty: Credential = Credential(
        digest: KeyDigest(words: (0, 0, 0, 0)), tenant: -1, application: -1, ordinal: -1, kind: .key, detail: -1,
        expires: 0)

    var isEmpty: Bool { self.tenant == -1 }
    var isVacant: Bool { self.tenant < 0 }
    var home: Int { Self.home(self.digest, self.tenant) }

    /// A digest is as good as random; the tenant is mixed in so that a key known to many tenants does not make a cluster.
    static func home(_ digest: KeyDigest, _ tenant: Int32) -> Int {
        Int(truncatingIfNeeded: digest.words.0 ^ (UInt64(UInt32(bitPattern: tenant)) &* 0x9e37_79b9_7f4a_7c15))
    }

    mutating func vacate() { self.tenant = -2 }
}

/// Finds keys by digest within a tenant: an open-addressing table, at most half full.
///
/// The same key may exist in two tenants; each opens only the APIs of its own. Digests are not secret, so comparing them needs
/// no constant time; it has it all the same. Digests are distinct within a tenant.
final class CredentialTable: Sendable {
    private let slots: SharedPages<Credential>
    private let mask: Int

    init(_ slots: SharedPages<Credential>) {
        self.slots = slots
        self.mask = slots.count - 1
    }

    /// The credential of this kind and digest among those of a tenant.
    func find(_ digest: KeyDigest, kind: CredentialKind = .key, tenant: Int32) -> Credential? {
        var index: Int = Credential.home(digest, tenant) & self.mask
        while true {
            let slot: Credential = self.slots[index]
            if slot.isEmpty { return nil }
            if slot.tenant == tenant && slot.kind == kind && slot.digest == digest { return slot }
            index = (index + 1) & self.mask
        }
    }
}

/// A subscription in the table.
struct SubscriptionRules: BitwiseCopyable, Sendable {
    var application: Int32
    /// The place of the API. -1: an empty slot, -2: a vacant one.
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
    /// Id of its plan; empty: none.
    var plan: TextRange
}

extension SubscriptionRules: KeyedSlot {
    static let empty: SubscriptionRules = SubscriptionRules(
        application: -1, api: -1, isActive: false, index: -1, identity: .none, planLimit: -1, planWordStart: -1,
        planCount: 0, wordStart: 0, keyWordStart: 0, keyWords: 0, plan: TextRange())

    var isEmpty: Bool { self.api == -1 }
    var isVacant: Bool { self.api < 0 }
    var home: Int { Self.home(self.application, self.api) }

    static func home(_ application: Int32, _ api: Int32) -> Int {
        let pair: UInt64 = UInt64(UInt32(bitPattern: application)) << 32 | UInt64(UInt32(bitPattern: api))
        return Int(truncatingIfNeeded: ByteHash.mix(pair ^ 0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db))
    }

    mutating func vacate() { self.api = -2 }
}

/// Finds the subscription of an application to an API.
final class SubscriptionTable: Sendable {
    private let slots: SharedPages<SubscriptionRules>
    private let mask: Int

    init(_ slots: SharedPages<SubscriptionRules>) {
        self.slots = slots
        self.mask = slots.count - 1
    }

    func find(application: Int32, api: Int32) -> SubscriptionRules? {
        var index: Int = SubscriptionRules.home(application, api) & self.mask
        while true {
            let slot: SubscriptionRules = self.slots[index]
            if slot.isEmpty { return nil }
            if slot.application == application && slot.api == api { return slot }
            index = (index + 1) & self.mask
        }
    }
}

/// A slot of a table that is left again.
protocol KeyedSlot: BitwiseCopyable {
    static var empty: Self { get }
    /// Never used: a search ends here.
    var isEmpty: Bool { get }
    /// Holds nothing: empty, or left.
    var isVacant: Bool { get }
    /// Where a search for its key begins.
    var home: Int { get }
    mutating func vacate()
}

/// An open-addressing table over pages, at most half full, whose slots come and go.
struct PagedSlots<Slot: KeyedSlot> {
    private var slots: PagedArray<Slot> = PagedArray(filler: .empty, count: 8)
    /// Slots that are not empty, vacant ones included.
    private var used: Int = 0
    private var live: Int = 0

    /// Adds a slot whose key is known not to be there.
    mutating func insert(_ slot: Slot) {
        if (self.used + 1) * 2 > self.slots.count { self.rebuild() }
        self.used += 1
        self.live += 1
        Self.place(slot, in: &self.slots)
    }

    /// Twice as large as what is there needs, so that it takes a while until the next time.
    private mutating func rebuild() {
        var size: Int = 8
        while size < (self.live + 1) * 4 { size *= 2 }
        var larger: PagedArray<Slot> = PagedArray(filler: .empty, count: size)
        for index in 0..<self.slots.count {
            let slot: Slot = self.slots[index]
            if !slot.isVacant { Self.place(slot, in: &larger) }
        }
        self.slots = larger
        self.used = self.live
    }

    private static func place(_ slot: Slot, in slots: inout PagedArray<Slot>) {
        let mask: Int = slots.count - 1
        var index: Int = slot.home & mask
        while !slots[index].isEmpty { index = (index + 1) & mask }
        slots[index] = slot
    }

    /// Takes out the slot at this home that `isMeant` is true of.
    mutating func remove(home: Int, _ isMeant: (Slot) -> Bool) {
        let mask: Int = self.slots.count - 1
        var index: Int = home & mask
        while true {
            var slot: Slot = self.slots[index]
            if slot.isEmpty { return }
            if !slot.isVacant && isMeant(slot) {
                slot.vacate()
                self.slots[index] = slot
                self.live -= 1
                return
            }
            index = (index + 1) & mask
        }
    }

    mutating func share() -> SharedPages<Slot> { self.slots.share() }
}
