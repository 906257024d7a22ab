import GatewayConfiguration
import Tokens

/// The tables of a snapshot while they change. Everything that a request looks at is here or in the router's.
struct SnapshotTables {
    var apis: PagedArray<PlacedAPI?> = PagedArray(filler: nil)
    var routes: PagedArray<CompiledRoute?> = PagedArray(filler: nil)
    var rules: PagedArray<RouteRules> = PagedArray(filler: .none)
    var apiRules: PagedArray<APIRules> = PagedArray(filler: APIRules(realm: TextRange()))
    var blocks: PagedArray<CompiledBlock?> = PagedArray(filler: nil)
    var accessRules: PagedArray<AccessRule> = PagedArray(filler: .none)
    var accessNames: PagedArray<TextRange> = PagedArray(filler: TextRange())
    var limits: PagedArray<CompiledLimit> = PagedArray(filler: .none)
    var words: PagedArray<UnsafeMutablePointer<LimitWord>?> = PagedArray(filler: nil)
    var claimPaths: PagedArray<ClaimPath> = PagedArray(filler: .named("sub"))
    var applications: PagedArray<EntryKey> = PagedArray(filler: EntryKey(tenant: "", id: ""))
    var applicationRules: PagedArray<ApplicationRules> = PagedArray(
        filler: ApplicationRules(identity: .none, isActive: false))
    var credentials: PagedSlots<Credential> = PagedSlots()
    var credentialDetails: PagedArray<CredentialDefinition.Kind?> = PagedArray(filler: nil)
    var subscriptionNames: PagedArray<SubscriptionName> = PagedArray(filler: .none)
    var subscriptions: PagedSlots<SubscriptionRules> = PagedSlots()
    var text: TextArena = TextArena()
}

/// An API with its place in the tables, and what it takes there.
final class PlacedAPI: Sendable {
    let api: CompiledAPI
    let place: Int
    /// Index of its first route; the others follow.
    let firstRoute: Int
    /// What its limits need of subscriptions to it.
    let subscribed: SubscribedLimits
    /// Entries of all tables that only it refers to.
    let weight: Int
    /// Keeps its words alive.
    private let boxes: [LimitBox]

    init(
        _ api: CompiledAPI, place: Int, firstRoute: Int, subscribed: SubscribedLimits, boxes: [LimitBox], weight: Int
    ) {
        self.api = api
        self.place = place
        self.firstRoute = firstRoute
        self.subscribed = subscribed
        self.boxes = boxes
        self.weight = weight
    }
}

/// An application with its place in the tables, and what it takes there.
final class PlacedApplication: Sendable {
    struct Slots: Sendable {
        var credentials: [(digest: KeyDigest, kind: CredentialKind, tenant: Int32)] = []
        /// Places of APIs.
        var subscriptions: [Int32] = []
        /// Sentences about what of it could not be served.
        var problems: [[String]] = []
    }

    let definition: ApplicationDefinition
    let place: Int
    let slots: Slots
    let weight: Int
    private let boxes: [LimitBox]

    init(_ definition: ApplicationDefinition, place: Int, slots: Slots, boxes: [LimitBox], weight: Int) {
        self.definition = definition
        self.place = place
        self.slots = slots
        self.boxes = boxes
        self.weight = weight
    }

    var key: EntryKey { self.definition.key }
}

extension SubscriptionName {
    static let none: SubscriptionName = SubscriptionName(
        id: "", application: EntryKey(tenant: "", id: ""), api: "", plan: nil)
}
