import GatewayConfiguration
import Glibc
import HTTP

/// What a snapshot is made of.
struct DocumentToCompile {
    let document: GatewayDocument
    let unreadable: [UnreadableEntry]
    let version: Int64
    let hash: String
}

/// Puts snapshots together: the first from nothing, API by API, then application by application; every further one by taking out
/// and putting in what changed. The tables it works on share their pages with the snapshots it has made.
///
/// `update` deals with documents in which everything can be served. When something cannot (a conflict, a key used twice), or so much
/// has come and gone that the tables are half empty, all is compiled anew by another compiler, which decides who has precedence.
final class SnapshotCompiler: @unchecked Sendable {
    // Safe to share: the newest snapshot holds it under a lock, and whoever takes it out is alone with it.

    let live: LiveState
    let router: RouterBuilder
    var tables: SnapshotTables = SnapshotTables()
    var quarantined: [Quarantine] = []

    /// The document's APIs as they were compiled, and what became of each, in the same order while `isWhole`.
    private var definitions: [APIDefinition] = []
    private(set) var placed: ContiguousArray<PlacedAPI> = []
    private var placedByKey: [EntryKey: PlacedAPI] = [:]
    private var freePlaces: [Int] = []
    /// Where the API at each place stands in file order.
    private var orders: FlatArray<Int32> = FlatArray([])
    /// Every API of the document is served as it is written.
    private var isWhole: Bool = false

    /// The places of each product's APIs: what a subscription opens.
    var products: [EntryKey: [Int]] = [:]
    var callers: CallerIndex = CallerIndex()
    /// The document's limits of tenants as they were compiled, and where they are.
    var tenantDefinitions: [TenantDefinition] = []
    var placedTenants: [String: PlacedTenant] = [:]

    private var tenants: [String: Int32] = [:]
    private var texts: [String: TextRange] = [:]
    /// What the entry being added takes: words, and entries of tables.
    var boxes: [LimitBox] = []
    var weight: Int = 0
    /// Entries of tables that somebody refers to, and that nobody does any more.
    private var weightLive: Int = 0
    private var weightGone: Int = 0

    /// Tables are allowed to hold so much that nobody refers to, beside as much as somebody does.
    private static let weightGoneMin: Int = 4096

    init(live: LiveState, routes: Int) {
        self.live = live
        self.router = RouterBuilder(expected: routes)
    }

    // MARK: From nothing

    /// Adds what did not change since `previous`, then what did, so that a change cannot push out what works.
    func compile(_ next: DocumentToCompile, after previous: Snapshot?) -> Snapshot {
        var earlier: [EntryKey: CompiledAPI] = [:]
        for placed in previous?.placed ?? [] { earlier[placed.api.key] = placed.api }
        self.addTenants(next, previous: previous)
        var ordered: [(order: Int, placed: PlacedAPI)] = []
        var changed: [(definition: APIDefinition, order: Int)] = []
        var seen: Set<EntryKey> = []
        for (order, definition) in next.document.apis.enumerated() {
            guard seen.insert(definition.key).inserted else {
                self.quarantine(definition.key, ["the id is used twice"], isEarlierVersionLive: true)
                continue
            }
            if let same: CompiledAPI = earlier[definition.key], same.definition == definition {
                ordered.append((order, self.add(same)))
            } else {
                changed.append((definition, order))
            }
        }
        for (definition, order) in changed {
            let (placed, problems): (PlacedAPI?, [String]) = self.tryToAdd(definition)
            if let placed { ordered.append((order, placed)) }
            if problems.isEmpty { continue }
            let kept: PlacedAPI? = self.keep(earlier[definition.key])
            if let kept { ordered.append((order, kept)) }
            self.quarantine(definition.key, problems, isEarlierVersionLive: kept != nil)
        }
        // Entries that could not be read keep their earlier versions, behind all others in file order.
        for entry in next.unreadable where entry.kind == .api {
            let kept: PlacedAPI? = self.placedByKey[entry.key] == nil ? self.keep(earlier[entry.key]) : nil
            if let kept { ordered.append((next.document.apis.count + ordered.count, kept)) }
            self.quarantine(entry.key, entry.problems, isEarlierVersionLive: kept != nil)
        }
        self.isWhole = self.quarantined.isEmpty
        self.placed = ContiguousArray(ordered.sorted { $0.order < $1.order }.map { $0.placed })
        self.definitions = next.document.apis
        self.addApplications(next.document)
        return self.finish(next, isOrderChanged: true)
    }

    private func quarantine(_ key: EntryKey, _ problems: [String], isEarlierVersionLive: Bool) {
        self.quarantined.append(
            Quarantine(kind: .api, key: key, problems: problems, isEarlierVersionLive: isEarlierVersionLive))
    }

    private func keep(_ earlier: CompiledAPI?) -> PlacedAPI? {
        guard let earlier, self.conflicts(earlier).isEmpty else { return nil }
        return self.add(earlier)
    }

    // MARK: What changed

    /// The next snapshot, made by taking out and putting in what is different; nil: it has to be compiled from nothing, and this
    /// compiler is not to be used any more.
    func update(to next: DocumentToCompile) -> Snapshot? {
        guard self.isWhole, next.unreadable.isEmpty,
            self.weightGone + self.router.discarded <= self.weightLive + Self.weightGoneMin
        else { return nil }
        self.quarantined = []
        self.updateTenants(next.document.tenants)
        let (range, with): (Range<Int>, Range<Int>) = Self.difference(self.definitions, next.document.apis)
        var isOrderChanged: Bool = false
        if !range.isEmpty || !with.isEmpty {
            guard self.replace(range, by: next.document.apis[with], isOrderChanged: &isOrderChanged) else { return nil }
            self.definitions = next.document.apis
        }
        guard self.updateApplications(next.document) else { return nil }
        return self.finish(next, isOrderChanged: isOrderChanged)
    }

    /// What of one list is another thing in the other: between equal beginnings and ends.
    static func difference<Entry: Equatable>(_ old: [Entry], _ new: [Entry]) -> (Range<Int>, Range<Int>) {
        old.withUnsafeBufferPointer { old in
            new.withUnsafeBufferPointer { new in
                if old.baseAddress == new.baseAddress && old.count == new.count { return (0..<0, 0..<0) }
                var start: Int = 0
                while start < old.count, start < new.count, Self.isSame(old, start, new, start) { start += 1 }
                var (oldEnd, newEnd): (Int, Int) = (old.count, new.count)
                while oldEnd > start, newEnd > start, Self.isSame(old, oldEnd - 1, new, newEnd - 1) {
                    oldEnd -= 1
                    newEnd -= 1
                }
                return (start..<oldEnd, start..<newEnd)
            }
        }
    }

    /// An entry that nobody touched is the same down to its bits, which is quickly seen: they name the same memory. Other bits say
    /// nothing.
    private static func isSame<Entry: Equatable>(
        _ old: UnsafeBufferPointer<Entry>, _ oldIndex: Int, _ new: UnsafeBufferPointer<Entry>, _ newIndex: Int
    ) -> Bool {
        guard let first: UnsafePointer<Entry> = old.baseAddress, let second: UnsafePointer<Entry> = new.baseAddress,
            memcmp(first + oldIndex, second + newIndex, MemoryLayout<Entry>.size) != 0
        else { return true }
        return old[oldIndex] == new[newIndex]
    }

    /// Puts these in the place of those; false when one of them cannot be served.
    private func replace(
        _ range: Range<Int>, by definitions: ArraySlice<APIDefinition>, isOrderChanged: inout Bool
    ) -> Bool {
        var old: [EntryKey: PlacedAPI] = [:]
        for placed in self.placed[range] { old[placed.api.key] = placed }
        var next: [PlacedAPI?] = []
        var changed: [(index: Int, definition: APIDefinition, earlier: PlacedAPI?)] = []
        var seen: Set<EntryKey> = []
        for definition in definitions {
            // Used twice.
            guard seen.insert(definition.key).inserted else { return false }
            let earlier: PlacedAPI? = old.removeValue(forKey: definition.key)
            if let earlier, earlier.api.definition == definition {
                next.append(earlier)
                continue
            }
            if earlier == nil, self.placedByKey[definition.key] != nil { return false }
            changed.append((next.count, definition, earlier))
            next.append(nil)
        }
        isOrderChanged = changed.count != range.count || changed.count != definitions.count || changed.count > 1
        for gone in old.values { self.remove(gone, isReplaced: false) }
        for change in changed { change.earlier.map { self.remove($0, isReplaced: true) } }
        for change in changed {
            guard
                let placed: PlacedAPI = self.tryToAdd(
                    change.definition, place: change.earlier?.place, earlier: change.earlier
                ).placed
            else { return false }
            next[change.index] = placed
        }
        if changed.contains(where: { $0.earlier == nil }) { isOrderChanged = true }
        self.placed.replaceSubrange(range, with: next.compactMap { $0 })
        return true
    }

    private func remove(_ placed: PlacedAPI, isReplaced: Bool) {
        let api: CompiledAPI = placed.api
        for (number, route) in api.routes.enumerated() {
            let index: Int = placed.firstRoute + number
            self.router.remove(
                RoutedRoute(index: index, api: placed.place, number: number, route: route), hosts: api.definition.hosts)
            self.tables.routes[index] = nil
        }
        self.tables.apis[placed.place] = nil
        self.placedByKey[api.key] = nil
        self.products[api.definition.productKey]?.removeAll { $0 == placed.place }
        if !isReplaced {
            self.freePlaces.append(placed.place)
            self.callers.productChanged(api.definition.productKey)
        }
        self.weightLive -= placed.weight
        self.weightGone += placed.weight
    }

    // MARK: APIs

    private func tryToAdd(
        _ definition: APIDefinition, place: Int? = nil, earlier: PlacedAPI? = nil
    ) -> (placed: PlacedAPI?, problems: [String]) {
        var problems: [String] = DefinitionRules.problems(of: definition) + Self.problemsOfTLS(definition)
        guard problems.isEmpty else { return (nil, problems) }
        let api: CompiledAPI = CompiledAPI(definition, live: self.live)
        problems = self.conflicts(api)
        return (problems.isEmpty ? self.add(api, place: place, earlier: earlier) : nil, problems)
    }

    /// What is wrong with certificates, keys and authorities that the definition holds: it would fail every request.
    private static func problemsOfTLS(_ definition: APIDefinition) -> [String] {
        var problems: [String] = TLSContextBook.problemsOfTexts(definition.upstream.tls).map { "upstream.tls.\($0)" }
        for route in definition.routes {
            guard let own: UpstreamDefinition = route.upstream else { continue }
            problems += TLSContextBook.problemsOfTexts(own.tls).map { "route \(route.id): upstream.tls.\($0)" }
        }
        return problems
    }

    private func conflicts(_ api: CompiledAPI) -> [String] {
        var problems: [String] = []
        let hosts: [HostPattern] = api.definition.hosts
        let own: RouterBuilder = RouterBuilder(expected: api.routes.count)
        for (number, route) in api.routes.enumerated() {
            let routed: RoutedRoute = RoutedRoute(index: number, api: 0, number: number, route: route)
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
        guard let route: CompiledRoute = self.tables.routes[index],
            let placed: PlacedAPI = self.tables.apis[Int(self.tables.rules[index].api)],
            placed.api.key.tenant == tenant
        else { return "a route of another tenant" }
        return "the route \(route.id) of the API \(placed.api.key.text)"
    }

    /// Adds an API, at the place of the version before where there is one.
    @discardableResult
    private func add(_ api: CompiledAPI, place given: Int? = nil, earlier: PlacedAPI? = nil) -> PlacedAPI {
        self.boxes = []
        self.weight = 0
        let place: Int = given ?? self.takePlace()
        let firstRoute: Int = self.tables.routes.count
        self.tables.apiRules[place] = APIRules(realm: self.text(api.definition.id))
        var limits: APILimitCompiler = APILimitCompiler(api: api)
        for (number, route) in api.routes.enumerated() {
            self.tables.routes.append(route)
            var rules: RouteRules = self.rules(route, of: api, place: place, limits: &limits)
            if route.ownUpstream != nil { rules.upstream = RouteRules.ownUpstream(ofRoute: firstRoute + number) }
            self.tables.rules.append(rules)
            self.router.add(
                RoutedRoute(index: firstRoute + number, api: place, number: number, route: route),
                hosts: api.definition.hosts)
        }
        self.weight += api.routes.count
        let placed: PlacedAPI = PlacedAPI(
            api, place: place, firstRoute: firstRoute, subscribed: limits.subscribed, boxes: self.boxes,
            weight: self.weight)
        self.weightLive += self.weight
        self.tables.apis[place] = placed
        self.placedByKey[api.key] = placed
        self.products[api.definition.productKey, default: []].append(place)
        let product: EntryKey = api.definition.productKey
        if earlier?.subscribed != limits.subscribed || earlier?.api.definition.productKey != product {
            self.callers.productChanged(product)
            if let earlier { self.callers.productChanged(earlier.api.definition.productKey) }
        }
        return placed
    }

    private func takePlace() -> Int {
        if let place: Int = self.freePlaces.popLast() { return place }
        self.tables.apis.append(nil)
        self.tables.apiRules.append(APIRules(realm: TextRange()))
        return self.tables.apis.count - 1
    }

    private func rules(
        _ route: CompiledRoute, of api: CompiledAPI, place: Int, limits: inout APILimitCompiler
    ) -> RouteRules {
        let policies: EffectivePolicies = route.policies
        let run: LimitRun = limits.run(for: route, compiler: self)
        let blockStart: Int = self.tables.blocks.count
        for block in policies.addresses.deny { self.tables.blocks.append(CompiledBlock(block)) }
        for block in policies.addresses.allow { self.tables.blocks.append(CompiledBlock(block)) }
        self.weight += self.tables.blocks.count - blockStart
        return RouteRules(
            api: Int32(place), upstream: Int32(place), tenant: self.tenant(api.definition.tenant),
            identity: route.identity,
            access: policies.access, refusesEncodedSlashes: api.definition.encodedSlashes == .refuse,
            keyHeader: self.text(policies.key?.header ?? ""), keyQuery: self.text(policies.key?.query ?? ""),
            blockStart: Int32(blockStart), denyCount: Int32(policies.addresses.deny.count),
            allowCount: Int32(policies.addresses.allow.count), accessRun: self.accessRun(policies),
            bodyBytesMax: policies.bodyBytesMax,
            stripPrefix: self.text(api.definition.strippedPrefix(of: route.definition) ?? ""), limitStart: run.start,
            addressLimitCount: run.addressCount, limitCount: run.count, cost: UInt32(clamping: route.definition.cost),
            tenantLimits: self.tenantLimits(api.definition.tenant), hasPipeline: route.pipeline != nil)
    }

    // MARK: Shared

    /// A text that lives as long as the snapshots, stored once.
    func text(_ text: String) -> TextRange {
        if text.isEmpty { return TextRange() }
        if let range: TextRange = self.texts[text] { return range }
        let range: TextRange = self.tables.text.append(text)
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
        self.boxes.append(box)
        self.tables.words.append(box.word)
        self.weight += 1
        return Int32(self.tables.words.count - 1)
    }

    /// Counts what an application or a tenant took of the tables that was added, or gave back.
    func count(weight: Int, isAdded: Bool) {
        self.weightLive += isAdded ? weight : -weight
        if !isAdded { self.weightGone += weight }
    }

    func placed(at place: Int) -> PlacedAPI? { self.tables.apis[place] }

    // MARK: The snapshot

    private func finish(_ next: DocumentToCompile, isOrderChanged: Bool) -> Snapshot {
        // They belong to whatever was added last.
        self.boxes = []
        if isOrderChanged {
            var orders: [Int32] = [Int32](repeating: .max, count: self.tables.apis.count)
            for (order, placed) in self.placed.enumerated() { orders[placed.place] = Int32(order) }
            self.orders = FlatArray(orders)
        }
        return Snapshot(
            self, router: self.router.build(orders: self.orders, isOrderChanged: isOrderChanged), placed: self.placed,
            applications: self.callers.placed.share(), tenants: Array(self.placedTenants.values), live: self.live,
            version: next.version, hash: next.hash)
    }
}
