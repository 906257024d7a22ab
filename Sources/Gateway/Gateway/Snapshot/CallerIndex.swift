import GatewayConfiguration

/// Which applications there are, and which of them something else concerns: a change of it is one of theirs.
struct CallerIndex {
    /// The document's applications and plans as they were compiled.
    var definitions: [ApplicationDefinition] = []
    var plans: [PlanDefinition] = []
    var plansByKey: [EntryKey: PlanDefinition] = [:]
    var planLimits: [EntryKey: PlanLimits] = [:]
    var placed: PagedArray<PlacedApplication?> = PagedArray(filler: nil)
    var places: [EntryKey: Int] = [:]
    var freePlaces: [Int] = []
    /// Digests of keys and credentials that are taken.
    var digests: Set<TenantDigest> = []
    /// Places of applications by the products and the plans they name.
    private var byProduct: [EntryKey: Set<Int>] = [:]
    private var byPlan: [EntryKey: Set<Int>] = [:]
    /// Places of applications that were added with problems.
    var troubled: Set<Int> = []
    private var productsChanged: Set<EntryKey> = []

    /// The APIs of this product, or what they need of subscriptions, are others than before.
    mutating func productChanged(_ product: EntryKey) { self.productsChanged.insert(product) }

    /// Places of applications that subscribe to a product that changed since the last call.
    mutating func takeConcerned() -> Set<Int> {
        var concerned: Set<Int> = []
        for product in self.productsChanged { concerned.formUnion(self.byProduct[product] ?? []) }
        self.productsChanged = []
        return concerned
    }

    func users(ofPlan plan: EntryKey) -> Set<Int> { self.byPlan[plan] ?? [] }

    mutating func enter(_ application: PlacedApplication) {
        for subscription in application.definition.subscriptions {
            let tenant: String = application.definition.tenant
            self.byProduct[EntryKey(tenant: tenant, id: subscription.api), default: []].insert(application.place)
            if let plan: String = subscription.plan {
                self.byPlan[EntryKey(tenant: tenant, id: plan), default: []].insert(application.place)
            }
        }
        if !application.slots.problems.isEmpty { self.troubled.insert(application.place) }
    }

    mutating func leave(_ application: PlacedApplication) {
        for subscription in application.definition.subscriptions {
            let tenant: String = application.definition.tenant
            self.byProduct[EntryKey(tenant: tenant, id: subscription.api)]?.remove(application.place)
            if let plan: String = subscription.plan {
                self.byPlan[EntryKey(tenant: tenant, id: plan)]?.remove(application.place)
            }
        }
        self.troubled.remove(application.place)
    }
}

/// A plan's limits, one behind the other in the table, and what they ask of each subscription.
struct PlanLimits {
    let start: Int32
    var words: [SubscribedLimits.Word] = []
}

struct TenantDigest: Hashable {
    let tenant: Int32
    let digest: KeyDigest
}
