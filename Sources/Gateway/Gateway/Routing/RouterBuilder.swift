import GatewayConfiguration
import HTTP
import Patterns

/// A route on its way into a router.
struct RoutedRoute {
    let index: Int
    /// Place in file order, which may differ from the order of adding.
    let order: Int
    let route: CompiledRoute
}

/// One form of a route: with the version of its API in its path or conditions.
private struct RouteForm {
    let definition: RouteDefinition
    let methods: MethodSet

    var path: String { self.definition.path.text }
}

/// Why a route cannot be added to a router.
enum RouterRefusal: Error, Equatable {
    /// The same host, path shape, method and conditions as a route that is there.
    case conflict(with: Int, host: String, method: String)
    case tooManyEntries(host: String)
    case tooManyShapes(host: String)
    case tooManyExpressions(host: String)

    func message(path: String, named nameOf: (Int) -> String) -> String {
        switch self {
        case .conflict(let other, let host, let method):
            return "the route \(path) takes the same requests (host \(host), method \(method)) as \(nameOf(other))"
        case .tooManyEntries(let host):
            return "expected at most \(Router.entriesPerPathMax) routes with the path \(path) on host \(host)"
        case .tooManyExpressions(let host):
            return "expected at most \(Router.expressionsMax) different regular expressions as paths on host \(host)"
        case .tooManyShapes(let host):
            return
                "expected at most \(Router.templateShapesMax) different arrangements of segments and parameters on host \(host)"
        }
    }
}

/// Collects routes and makes a `Router` of them.
///
/// `check` changes nothing, so that an API can be tried and left out as a whole; `add` never fails. Not for the loops: a
/// hundred thousand routes take some tens of milliseconds. A class, because copying a dozen arrays' references for each look-up
/// cost more than the look-up. One thread.
final class RouterBuilder {
    /// All routes of one scope and path shape: a chain through `entries`.
    private struct Terminal {
        var first: Int32 = -1
        var last: Int32 = -1
        var count: Int32 = 0
    }

    private struct ChainedEntry {
        var entry: RouterEntry
        var next: Int32
    }

    private struct ShapeKey: Hashable {
        let scope: Int32
        let kinds: UInt64
        let count: Int
        let isPrefix: Bool
    }

    private struct ScopedExpression {
        let expression: TextExpression
        let terminal: Int32
        var order: Int
    }

    private let hash: ByteHash
    private var text: TextBlob = TextBlob()
    private var scopes: [RouterScope] = []
    private var scopeOf: [HostPattern: Int32] = [:]
    private var anyScope: Int32 = -1
    private var exact: GrowingTable<RouterExactSlot>
    private var edges: GrowingTable<RouterEdgeSlot>
    private var nodes: [RouterNode] = []
    private var terminals: [Terminal] = []
    private var entries: [ChainedEntry] = []
    private var conditions: [RouterCondition] = []
    /// Conditions of a route as written, at the place where its run in `conditions` starts.
    private var conditionTexts: [Int32: [RouteCondition]] = [:]
    private var shapes: Set<ShapeKey> = []
    private var shapeCounts: [Int32: Int] = [:]
    private var expressions: [Int32: [ScopedExpression]] = [:]
    private var kept: [RegularExpression] = []

    /// `expected` routes are about to come: saves growing.
    init(hash: ByteHash = .process, expected: Int = 0) {
        self.hash = hash
        self.exact = GrowingTable(expected: expected)
        self.edges = GrowingTable(expected: expected)
        self.entries.reserveCapacity(expected)
        self.terminals.reserveCapacity(expected)
        self.nodes.reserveCapacity(expected)
    }

    // MARK: Trying

    /// Throws when a route cannot be added to what is there.
    func check(_ routed: RoutedRoute, hosts: [HostPattern]) throws(RouterRefusal) {
        for definition in routed.route.forms {
            let form: RouteForm = RouteForm(definition: definition, methods: routed.route.methods)
            if hosts.isEmpty {
                if self.anyScope >= 0 { try self.check(form, scope: self.anyScope, host: "any") }
                continue
            }
            for host in hosts {
                guard let scope: Int32 = self.scopeOf[host] else { continue }
                try self.check(form, scope: scope, host: host.text)
            }
        }
    }

    private func check(_ route: RouteForm, scope: Int32, host: String) throws(RouterRefusal) {
        let terminal: Int32 = self.terminal(of: route, scope: scope)
        guard terminal >= 0 else {
            if route.definition.path.kind == .regex {
                if self.expressions[scope]?.count ?? 0 >= Router.expressionsMax {
                    throw .tooManyExpressions(host: host)
                }
                return
            }
            if route.definition.path.kind != .exact, (self.shapeCounts[scope] ?? 0) >= Router.templateShapesMax,
                !self.shapes.contains(Self.shapeKey(route.definition.path, scope: scope))
            {
                throw .tooManyShapes(host: host)
            }
            return
        }
        var place: Int32 = self.terminals[Int(terminal)].first
        while place >= 0 {
            let chained: ChainedEntry = self.entries[Int(place)]
            if self.isSame(chained.entry, route) {
                let both: MethodSet = chained.entry.methods.intersection(route.methods)
                let method: MethodCode? = MethodCode.allCases.first { both.contains($0) }
                throw .conflict(
                    with: Int(chained.entry.route), host: host, method: method.map { "\($0.name)" } ?? "any")
            }
            place = chained.next
        }
        if self.terminals[Int(terminal)].count >= Router.entriesPerPathMax { throw .tooManyEntries(host: host) }
    }

    /// Whether both take the same requests with the same rank. One that names methods ranks before one that takes every method.
    private func isSame(_ entry: RouterEntry, _ route: RouteForm) -> Bool {
        let meet: Bool =
            entry.methods.isEmpty && route.methods.isEmpty || !entry.methods.isDisjoint(with: route.methods)
        guard meet, Int(entry.headerCount) == route.definition.headers.count,
            Int(entry.queryCount) == route.definition.query.count
        else { return false }
        if entry.headerCount == 0 && entry.queryCount == 0 { return true }
        let own: [RouteCondition] = self.conditionTexts[entry.conditionStart] ?? []
        let headers: Set<RouteCondition> = Set(own.prefix(Int(entry.headerCount)))
        let queries: Set<RouteCondition> = Set(own.dropFirst(Int(entry.headerCount)))
        return headers == Set(route.definition.headers) && queries == Set(route.definition.query)
    }

    /// The terminal of a path where it exists already; -1: it does not.
    private func terminal(of route: RouteForm, scope: Int32) -> Int32 {
        if route.definition.path.kind == .regex {
            return self.expressions[scope]?.first { $0.expression == route.definition.path.expression }?.terminal ?? -1
        }
        if route.definition.path.kind == .exact {
            return self.withBytes(route.path) { bytes, count in
                let hash: UInt64 = self.hash.hash(bytes, count: count, with: UInt64(UInt32(scope)))
                return self.findExact(hash, scope: scope, bytes, count)
            }
        }
        var node: Int32 = self.scopes[Int(scope)].root
        for segment in route.definition.path.segments {
            guard node >= 0 else { return -1 }
            switch segment {
            case .parameter: node = self.nodes[Int(node)].parameter
            case .literal(let literal):
                node = self.withBytes(literal) { bytes, count in
                    let hash: UInt64 = self.hash.hash(bytes, count: count, with: UInt64(UInt32(node)))
                    return self.findEdge(hash, from: node, bytes, count)
                }
            }
        }
        guard node >= 0 else { return -1 }
        let found: RouterNode = self.nodes[Int(node)]
        return route.definition.path.kind == .template ? found.template : found.prefix
    }

    private func findExact(_ hash: UInt64, scope: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int32 {
        var index: Int = self.exact.start(hash)
        while true {
            let slot: RouterExactSlot = self.exact.slots[index]
            if slot.hash == 0 { return -1 }
            if slot.hash == hash, slot.scope == scope, self.isText(slot.text, bytes, count) { return slot.terminal }
            index = self.exact.next(index)
        }
    }

    private func findEdge(_ hash: UInt64, from node: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int32 {
        var index: Int = self.edges.start(hash)
        while true {
            let slot: RouterEdgeSlot = self.edges.slots[index]
            if slot.hash == 0 { return -1 }
            if slot.hash == hash, slot.node == node, self.isText(slot.text, bytes, count) { return slot.child }
            index = self.edges.next(index)
        }
    }

    // MARK: Adding

    /// Adds a route that `check` let pass. Any order: the route knows its place.
    func add(_ routed: RoutedRoute, hosts: [HostPattern]) {
        for definition in routed.route.forms {
            let form: RouteForm = RouteForm(definition: definition, methods: routed.route.methods)
            let conditionStart: Int32 = self.addConditions(definition)
            if hosts.isEmpty {
                if self.anyScope < 0 { self.anyScope = self.addScope() }
                self.add(routed, form, scope: self.anyScope, conditionStart: conditionStart)
                continue
            }
            for host in hosts {
                let scope: Int32 = self.scopeOf[host] ?? self.addScope()
                self.scopeOf[host] = scope
                self.add(routed, form, scope: scope, conditionStart: conditionStart)
            }
        }
    }

    private func add(_ routed: RoutedRoute, _ route: RouteForm, scope: Int32, conditionStart: Int32) {
        let terminal: Int
        switch route.definition.path.kind {
        case .exact: terminal = Int(self.addExact(route, scope: scope))
        case .template, .prefix: terminal = Int(self.addToTrie(route, scope: scope))
        case .regex: terminal = Int(self.addExpression(route, scope: scope, order: routed.order))
        }
        let entry: RouterEntry = RouterEntry(
            route: Int32(routed.index), methods: route.methods, conditionStart: conditionStart,
            headerCount: UInt8(route.definition.headers.count), queryCount: UInt8(route.definition.query.count),
            order: Int32(routed.order))
        let place: Int32 = Int32(self.entries.count)
        self.entries.append(ChainedEntry(entry: entry, next: -1))
        if self.terminals[terminal].last >= 0 {
            self.entries[Int(self.terminals[terminal].last)].next = place
        } else {
            self.terminals[terminal].first = place
        }
        self.terminals[terminal].last = place
        self.terminals[terminal].count += 1
    }

    private func addScope() -> Int32 {
        self.scopes.append(RouterScope())
        return Int32(self.scopes.count - 1)
    }

    private func addTerminal() -> Int32 {
        self.terminals.append(Terminal())
        return Int32(self.terminals.count - 1)
    }

    private func addConditions(_ route: RouteDefinition) -> Int32 {
        let start: Int32 = Int32(self.conditions.count)
        if route.headers.isEmpty && route.query.isEmpty { return start }
        let all: [RouteCondition] = route.headers + route.query
        for condition in all {
            var compiled: RouterCondition = RouterCondition(name: self.text.append(condition.name))
            switch condition.test {
            case .present: compiled.test = .present
            case .absent: compiled.test = .absent
            case .exact(let wanted): (compiled.test, compiled.value) = (.exact, self.text.append(wanted))
            case .prefix(let wanted): (compiled.test, compiled.value) = (.prefix, self.text.append(wanted))
            case .regex(let wanted): (compiled.test, compiled.expression) = (.regex, self.keep(wanted))
            }
            self.conditions.append(compiled)
        }
        self.conditionTexts[start] = all
        return start
    }

    /// Keeps an expression as long as the router lives; the router holds its address.
    private func keep(_ expression: TextExpression) -> UnsafeRawPointer {
        self.kept.append(expression.expression)
        return UnsafeRawPointer(Unmanaged.passUnretained(expression.expression).toOpaque())
    }

    /// Expressions stand in file order, those written the same at the first one's place.
    private func addExpression(_ route: RouteForm, scope: Int32, order: Int) -> Int32 {
        guard let expression: TextExpression = route.definition.path.expression else { return self.addTerminal() }
        var own: [ScopedExpression] = self.expressions[scope] ?? []
        if let known: Int = own.firstIndex(where: { $0.expression == expression }) {
            own[known].order = min(order, own[known].order)
            self.expressions[scope] = own
            return own[known].terminal
        }
        let terminal: Int32 = self.addTerminal()
        self.expressions[scope, default: []].append(
            ScopedExpression(expression: expression, terminal: terminal, order: order))
        return terminal
    }

    private func addExact(_ route: RouteForm, scope: Int32) -> Int32 {
        self.scopes[Int(scope)].hasExact = true
        return self.withBytes(route.path) { bytes, count in
            let hash: UInt64 = self.hash.hash(bytes, count: count, with: UInt64(UInt32(scope)))
            let existing: Int32 = self.findExact(hash, scope: scope, bytes, count)
            if existing >= 0 { return existing }
            let terminal: Int32 = self.addTerminal()
            let text: TextRange = self.text.append(bytes, count: count)
            self.exact.insert(RouterExactSlot(hash: hash, text: text, scope: scope, terminal: terminal))
            return terminal
        }
    }

    private func addToTrie(_ route: RouteForm, scope: Int32) -> Int32 {
        let isTemplate: Bool = route.definition.path.kind == .template
        if self.shapes.insert(Self.shapeKey(route.definition.path, scope: scope)).inserted {
            self.shapeCounts[scope, default: 0] += 1
        }
        if self.scopes[Int(scope)].root < 0 { self.scopes[Int(scope)].root = self.addNode() }
        var node: Int32 = self.scopes[Int(scope)].root
        for segment in route.definition.path.segments { node = self.addChild(of: node, segment) }
        let existing: Int32 = isTemplate ? self.nodes[Int(node)].template : self.nodes[Int(node)].prefix
        if existing >= 0 { return existing }
        let terminal: Int32 = self.addTerminal()
        if isTemplate {
            self.nodes[Int(node)].template = terminal
        } else {
            self.nodes[Int(node)].prefix = terminal
        }
        return terminal
    }

    private func addNode() -> Int32 {
        self.nodes.append(RouterNode())
        return Int32(self.nodes.count - 1)
    }

    private func addChild(of node: Int32, _ segment: PathPattern.Segment) -> Int32 {
        switch segment {
        case .parameter:
            if self.nodes[Int(node)].parameter < 0 {
                let child: Int32 = self.addNode()
                self.nodes[Int(node)].parameter = child
            }
            return self.nodes[Int(node)].parameter
        case .literal(let literal):
            return self.withBytes(literal) { bytes, count in
                let hash: UInt64 = self.hash.hash(bytes, count: count, with: UInt64(UInt32(node)))
                let existing: Int32 = self.findEdge(hash, from: node, bytes, count)
                if existing >= 0 { return existing }
                let child: Int32 = self.addNode()
                let text: TextRange = self.text.append(bytes, count: count)
                self.edges.insert(RouterEdgeSlot(hash: hash, text: text, node: node, child: child))
                self.nodes[Int(node)].hasLiterals = true
                return child
            }
        }
    }

    private static func shapeKey(_ path: PathPattern, scope: Int32) -> ShapeKey {
        var kinds: UInt64 = 0
        for segment in path.segments { kinds = kinds << 1 | (segment.isLiteral ? 1 : 0) }
        return ShapeKey(scope: scope, kinds: kinds, count: path.segments.count, isPrefix: path.kind == .prefix)
    }

    /// Calls with the bytes of a text; an empty one gets a pointer that is not read.
    private func withBytes(_ text: String, _ body: (UnsafeRawPointer, Int) -> Int32) -> Int32 {
        var copy: String = text
        return copy.withUTF8 { (bytes: UnsafeBufferPointer<UInt8>) -> Int32 in
            guard let base: UnsafePointer<UInt8> = bytes.baseAddress else {
                var nothing: UInt8 = 0
                return body(&nothing, 0)
            }
            return body(UnsafeRawPointer(base), bytes.count)
        }
    }

    private func isText(_ range: TextRange, _ bytes: UnsafeRawPointer, _ count: Int) -> Bool {
        guard Int(range.length) == count else { return false }
        return self.text.bytes.withUnsafeBytes { (own: UnsafeRawBufferPointer) -> Bool in
            guard let base: UnsafeRawPointer = own.baseAddress else { return count == 0 }
            return ASCIIBytes.equal(base + Int(range.offset), bytes, count: count)
        }
    }

    // MARK: Finishing

    /// Lays everything out flat. Once.
    func build() -> Router {
        var entries: [RouterEntry] = []
        entries.reserveCapacity(self.entries.count)
        var terminals: [RouterTerminal] = []
        terminals.reserveCapacity(self.terminals.count)
        for terminal in self.terminals {
            var methods: MethodSet = []
            let start: Int = entries.count
            var place: Int32 = terminal.first
            while place >= 0 {
                let chained: ChainedEntry = self.entries[Int(place)]
                methods.formUnion(chained.entry.methods.isEmpty ? .all : chained.entry.methods)
                entries.append(chained.entry)
                place = chained.next
            }
            terminals.append(
                RouterTerminal(entryStart: Int32(start), entryCount: terminal.count, methods: methods))
        }
        let (hosts, wildcardLabelsMax): ([RouterHostSlot], Int) = self.hostTable()
        let expressions: [RouterExpression] = self.placeExpressions()
        let memory: RouterMemory = RouterMemory(
            expressions: FlatArray(expressions), kept: self.kept, scopes: FlatArray(self.scopes),
            hosts: FlatArray(hosts), exact: FlatArray(self.exact.slots),
            nodes: FlatArray(self.nodes), edges: FlatArray(self.edges.slots), terminals: FlatArray(terminals),
            entries: FlatArray(entries), conditions: FlatArray(self.conditions), text: FlatArray(self.text.bytes))
        return Router(
            memory, hash: self.hash, anyScope: self.anyScope, hasHosts: !self.scopeOf.isEmpty,
            wildcardLabelsMax: wildcardLabelsMax)
    }

    /// Expressions of each scope as a run, in file order.
    private func placeExpressions() -> [RouterExpression] {
        var placed: [RouterExpression] = []
        for (scope, own) in self.expressions {
            self.scopes[Int(scope)].expressionStart = Int32(placed.count)
            self.scopes[Int(scope)].expressionCount = Int32(own.count)
            for one in own.sorted(by: { $0.order < $1.order }) {
                placed.append(RouterExpression(expression: self.keep(one.expression), terminal: one.terminal))
            }
        }
        return placed
    }

    private func hostTable() -> (slots: [RouterHostSlot], wildcardLabelsMax: Int) {
        var table: GrowingTable<RouterHostSlot> = GrowingTable(expected: self.scopeOf.count)
        var labelsMax: Int = 0
        for (host, scope) in self.scopeOf {
            _ = self.withBytes(host.name) { bytes, count in
                let hash: UInt64 = self.hash.hash(bytes, count: count, with: host.isWildcard ? 1 : 0)
                let text: TextRange = self.text.append(bytes, count: count)
                table.insert(RouterHostSlot(hash: hash, text: text, scope: scope, isWildcard: host.isWildcard))
                return 0
            }
            if host.isWildcard { labelsMax = max(labelsMax, host.name.split(separator: ".").count) }
        }
        return (table.slots, labelsMax)
    }
}

/// A slot of an open-addressing table; `hash` 0 means empty.
protocol HashedSlot: BitwiseCopyable {
    var hash: UInt64 { get }
    init()
}

extension RouterExactSlot: HashedSlot {}
extension RouterEdgeSlot: HashedSlot {}
extension RouterHostSlot: HashedSlot {}

/// An open-addressing table that grows while it is filled; at most half full, so that a look-up sees few slots.
struct GrowingTable<Slot: HashedSlot> {
    private(set) var slots: [Slot]
    private var used: Int = 0

    init(expected: Int) {
        var size: Int = 8
        while size < expected { size *= 2 }
        self.slots = [Slot](repeating: Slot(), count: size)
    }

    func start(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & (self.slots.count - 1) }

    func next(_ index: Int) -> Int { (index + 1) & (self.slots.count - 1) }

    /// Adds a slot that is known not to be there.
    mutating func insert(_ slot: Slot) {
        if (self.used + 1) * 2 > self.slots.count { self.grow() }
        self.used += 1
        Self.place(slot, in: &self.slots)
    }

    private mutating func grow() {
        var larger: [Slot] = [Slot](repeating: Slot(), count: self.slots.count * 2)
        for slot in self.slots where slot.hash != 0 { Self.place(slot, in: &larger) }
        self.slots = larger
    }

    private static func place(_ slot: Slot, in slots: inout [Slot]) {
        let mask: Int = slots.count - 1
        var index: Int = Int(truncatingIfNeeded: slot.hash) & mask
        while slots[index].hash != 0 { index = (index + 1) & mask }
        slots[index] = slot
    }
}
