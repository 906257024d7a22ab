import GatewayConfiguration
import HTTP

/// Puts a snapshot together, API by API, then application by application. A class for the same reason as `RouterBuilder`.
final class SnapshotCompiler {
    private let previous: Snapshot?
    let live: LiveState
    var parts: SnapshotParts = SnapshotParts()
    let router: RouterBuilder
    private(set) var quarantined: [Quarantine] = []
    /// The places of each product's APIs: what a subscription opens.
    private(set) var products: [EntryKey: [Int]] = [:]
    private var tenants: [String: Int32] = [:]
    private var texts: [String: TextRange] = [:]
    /// Which API a route belongs to, for messages.
    private var owners: [Int] = []
    /// What limits by application and key of each API need, at the API's place.
    var subscribed: [SubscribedLimits] = []

    init(previous: Snapshot?, live: LiveState, routes: Int) {
        self.previous = previous
        self.live = live
        self.router = RouterBuilder(expected: routes)
    }

    // MARK: APIs

    /// Adds what did not change, then what did, so that a change cannot push out what works.
    func addAPIs(_ definitions: [APIDefinition]) {
        var changed: [(definition: APIDefinition, order: Int, earlier: CompiledAPI?)] = []
        var order: Int = 0
        var seen: Set<EntryKey> = []
        for definition in definitions {
            defer { order += definition.routes.count }
            guard seen.insert(definition.key).inserted else {
                self.quarantine(definition.key, ["the id is used twice"], isEarlierVersionLive: true)
                continue
            }
            let earlier: CompiledAPI? = self.earlier(definition.key)
            if let earlier, earlier.definition == definition {
                self.keepTargets(earlier)
                self.add(earlier, order: order)
            } else {
                changed.append((definition, order, earlier))
            }
        }
        for change in changed {
            let problems: [String] = self.tryToAdd(change.definition, order: change.order)
            if problems.isEmpty { continue }
            var isLive: Bool = false
            if let earlier: CompiledAPI = change.earlier,
                self.conflicts(earlier, order: change.order).isEmpty
            {
                self.keepTargets(earlier)
                self.add(earlier, order: change.order)
                isLive = true
            }
            self.quarantine(change.definition.key, problems, isEarlierVersionLive: isLive)
        }
    }

    /// Keeps the earlier versions of APIs whose present ones could not be read, behind all others in file order.
    func addUnreadable(_ entries: [UnreadableEntry]) {
        for entry in entries {
            switch entry.kind {
            case .api:
                let earlier: CompiledAPI? = self.earlier(entry.key)
                let order: Int = self.parts.routes.count
                var isLive: Bool = false
                if let earlier, self.parts.places[entry.key] == nil,
                    self.conflicts(earlier, order: order).isEmpty
                {
                    self.keepTargets(earlier)
                    self.add(earlier, order: order)
                    isLive = true
                }
                self.quarantine(entry.key, entry.problems, isEarlierVersionLive: isLive)
            case .application: self.quarantineApplication(entry.key, entry.problems)
            case .plan:
                self.quarantined.append(
                    Quarantine(kind: .plan, key: entry.key, problems: entry.problems, isEarlierVersionLive: false))
            }
        }
    }

    private func quarantine(_ key: EntryKey, _ problems: [String], isEarlierVersionLive: Bool) {
        self.quarantined.append(
            Quarantine(kind: .api, key: key, problems: problems, isEarlierVersionLive: isEarlierVersionLive))
    }

    private func earlier(_ key: EntryKey) -> CompiledAPI? {
        guard let previous: Snapshot = self.previous, let place: Int = previous.places[key] else { return nil }
        return previous.apis[place]
    }

    /// A compiled API holds its targets' states already; asking for them again keeps them for the next compilation.
    private func keepTargets(_ api: CompiledAPI) {
        for target in api.upstream.targets { _ = self.live.target(target.state.key) }
        _ = self.live.upstream(api.upstream.state.key)
    }

    private func tryToAdd(_ definition: APIDefinition, order: Int) -> [String] {
        var problems: [String] = DefinitionRules.problems(of: definition)
        guard problems.isEmpty else { return problems }
        let api: CompiledAPI = CompiledAPI(definition, live: self.live)
        problems = self.conflicts(api, order: order)
        if problems.isEmpty { self.add(api, order: order) }
        return problems
    }

    private func conflicts(_ api: CompiledAPI, order: Int) -> [String] {
        var problems: [String] = []
        let hosts: [HostPattern] = api.definition.hosts
        let own: RouterBuilder = RouterBuilder(expected: api.routes.count)
        for (number, route) in api.routes.enumerated() {
            let routed: RoutedRoute = RoutedRoute(index: number, order: order + number, route: route)
            do throws(RouterRefusal) {
                try own.check(routed, hosts: hosts)
                own.add(routed, hosts: hosts)
            } catch {
                problems.append(error.message(path: route.path) { "the route \(api.routes[$0].id)" })
                continue
            }
            do throws(RouterRefusal) {
                try self.router.check(routed, hosts: hosts)
            } catch {
                problems.append(error.message(path: route.path) { self.nameOfRoute($0, to: api.key.tenant) })
            }
        }
        return problems
    }

    /// Names a route of another API without telling a tenant about another one's routes.
    private func nameOfRoute(_ index: Int, to tenant: String) -> String {
        let api: CompiledAPI = self.parts.apis[self.owners[index]]
        guard api.key.tenant == tenant else { return "a route of another tenant" }
        return "the route \(self.parts.routes[index].id) of the API \(api.key.text)"
    }

    private func add(_ api: CompiledAPI, order: Int) {
        let place: Int = self.parts.apis.count
        self.parts.apis.append(api)
        self.parts.places[api.key] = place
        self.products[api.definition.productKey, default: []].append(place)
        self.parts.apiRules.append(APIRules(realm: self.text(api.definition.id)))
        let hosts: [HostPattern] = api.definition.hosts
        var limits: APILimitCompiler = APILimitCompiler(api: api)
        for (number, route) in api.routes.enumerated() {
            let index: Int = self.parts.routes.count
            self.parts.routes.append(route)
            self.owners.append(place)
            self.parts.orders.append(Int32(order + number))
            self.parts.rules.append(self.rules(route, of: api, place: place, limits: &limits))
            self.router.add(RoutedRoute(index: index, order: order + number, route: route), hosts: hosts)
        }
        self.subscribed.append(limits.subscribed)
    }

    private func rules(
        _ route: CompiledRoute, of api: CompiledAPI, place: Int, limits: inout APILimitCompiler
    ) -> RouteRules {
        let policies: EffectivePolicies = route.policies
        let run: LimitRun = limits.run(for: route, compiler: self)
        let blockStart: Int = self.parts.blocks.count
        for block in policies.addresses.deny { self.parts.blocks.append(CompiledBlock(block)) }
        for block in policies.addresses.allow { self.parts.blocks.append(CompiledBlock(block)) }
        var pipeline: Int32 = -1
        if let own: RoutePipeline = route.pipeline {
            pipeline = Int32(self.parts.pipelines.count)
            self.parts.pipelines.append(own)
        }
        return RouteRules(
            api: Int32(place), upstream: Int32(place), tenant: self.tenant(api.definition.tenant),
            identity: route.identity,
            access: policies.access, refusesEncodedSlashes: api.definition.encodedSlashes == .refuse,
            keyHeader: self.text(policies.key?.header ?? ""), keyQuery: self.text(policies.key?.query ?? ""),
            blockStart: Int32(blockStart), denyCount: Int32(policies.addresses.deny.count),
            allowCount: Int32(policies.addresses.allow.count), bodyBytesMax: policies.bodyBytesMax,
            stripPrefix: self.text(api.definition.strippedPrefix(of: route.definition) ?? ""), limitStart: run.start,
            addressLimitCount: run.addressCount, limitCount: run.count, pipeline: pipeline)
    }

    // MARK: Shared

    /// The place of a text, stored once.
    func text(_ text: String) -> TextRange {
        if text.isEmpty { return TextRange() }
        if let range: TextRange = self.texts[text] { return range }
        let range: TextRange = self.parts.text.append(text)
        self.texts[text] = range
        return range
    }

    func tenant(_ name: String) -> Int32 {
        if let number: Int32 = self.tenants[name] { return number }
        let number: Int32 = Int32(self.tenants.count)
        self.tenants[name] = number
        return number
    }

    /// Adds a word and returns its place.
    func ownWord(_ key: String, _ rule: LimitRule, _ sharing: CounterSharing?) -> Int32 {
        let box: LimitBox = self.live.limit(key, rule: rule, sharing: sharing)
        self.parts.boxes.append(box)
        self.parts.words.append(box.word)
        return Int32(self.parts.words.count - 1)
    }

    func quarantineApplication(_ key: EntryKey, _ problems: [String]) {
        self.quarantined.append(
            Quarantine(kind: .application, key: key, problems: problems, isEarlierVersionLive: false))
    }
}
