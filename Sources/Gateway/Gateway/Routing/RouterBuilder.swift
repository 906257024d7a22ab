import GatewayConfiguration
import HTTP
import Patterns

/// A route on its way into a router.
struct RoutedRoute {
    let index: Int
    /// The place of its API, which has its place in file order, and the route's own in the API.
    let api: Int
    let number: Int
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
                "expected at most \(Router.templateShapesMax) different arrangements of segments, parameters and patterns on host \(host)"
        }
    }
}

/// The tables of a router while they change: routes are added and taken out, and `build` makes a `Router` of what is there. The
/// next one shares with it all pages that did not change in between, so a change of a few routes among many costs little.
///
/// `check` changes nothing, so that an API can be tried and left out as a whole; `add` never fails. What is taken out leaves paths
/// without routes and entries without a path behind, which requests do not see but which take memory; `discarded` counts them, and
/// whoever owns the builder begins with an empty one now and then. A class, because copying a dozen arrays' references for each
/// look-up cost more than the look-up. One thread, not a loop.
final class RouterBuilder {
    private struct ShapeKey: Hashable {
        let scope: Int32
        let kinds: UInt64
        let count: Int
        let isPrefix: Bool
        /// Those of its segments that are patterns, with their places.
        let patterns: String
    }

    private struct NodePattern {
        let shape: String
        let prefix: TextRange
        let suffix: TextRange
        let expression: RegularExpression?
        let child: Int32
        /// Routes behind it: a rule that no route has any more is not tried.
        var routes: Int
    }

    private struct ScopedExpression {
        let expression: TextExpression
        let terminal: Int32
    }

    private let hash: ByteHash
    private var text: TextArena = TextArena()
    private var scopes: PagedArray<RouterScope> = PagedArray(filler: RouterScope())
    private var scopeOf: [HostPattern: Int32] = [:]
    private var anyScope: Int32 = -1
    private var hosts: PagedTable<RouterHostSlot> = PagedTable(expected: 0)
    private var wildcardLabelsMax: Int = 0
    private var exact: PagedTable<RouterExactSlot>
    private var edges: PagedTable<RouterEdgeSlot>
    private var nodes: PagedArray<RouterNode> = PagedArray(filler: RouterNode())
    private var terminals: PagedArray<RouterTerminal> = PagedArray(filler: .empty)
    private var entries: PagedArray<RouterEntry> = PagedArray(filler: .none)
    private var conditions: PagedArray<RouterCondition> = PagedArray(filler: .none)
    /// Conditions of a route as written, at the place where its run in `conditions` starts.
    private var conditionTexts: [Int32: [RouteCondition]] = [:]
    private var shapes: Set<ShapeKey> = []
    private var shapeCounts: [Int32: Int] = [:]
    /// Expressions as paths, by scope.
    private var expressions: [Int32: [ScopedExpression]] = [:]
    /// Those of conditions; the router holds their addresses.
    private var kept: [RegularExpression] = []
    private var placed: FlatArray<RouterExpression> = FlatArray([])
    /// By node, in order of adding.
    private var patterns: [Int32: [NodePattern]] = [:]
    private var placedPatterns: FlatArray<RouterPattern> = FlatArray([])
    private var isPatternListOld: Bool = false
    private var isExpressionListOld: Bool = false

    /// Entries that no path has any more.
    private(set) var discarded: Int = 0

    /// `expected` routes are about to come: saves growing.
    init(hash: ByteHash = .process, expected: Int = 0) {
        self.hash = hash
        self.exact = PagedTable(expected: expected)
        self.edges = PagedTable(expected: expected)
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
        let found: RouterTerminal = self.terminals[Int(terminal)]
        for place in found.entries {
            let entry: RouterEntry = self.entries[place]
            if self.isSame(entry, route) {
                let both: MethodSet = entry.methods.intersection(route.methods)
                let method: MethodCode? = MethodCode.allCases.first { both.contains($0) }
                throw .conflict(with: Int(entry.route), host: host, method: method.map { "\($0.name)" } ?? "any")
            }
        }
        if found.entryCount >= Router.entriesPerPathMax { throw .tooManyEntries(host: host) }
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
            node = self.child(of: node, segment)
        }
        guard node >= 0 else { return -1 }
        let found: RouterNode = self.nodes[Int(node)]
        return route.definition.path.kind == .template ? found.template : found.prefix
    }

    /// The node behind a segment; -1: there is none.
    private func child(of node: Int32, _ segment: PathPattern.Segment) -> Int32 {
        switch segment {
        case .parameter: return self.nodes[Int(node)].parameter
        case .pattern(let pattern): return self.patternChild(of: node, shape: pattern.shape)
        case .literal(let literal):
            return self.withBytes(literal) { bytes, count in
                let hash: UInt64 = self.hash.hash(bytes, count: count, with: UInt64(UInt32(node)))
                return self.findEdge(hash, from: node, bytes, count)
            }
        }
    }

    private func patternChild(of node: Int32, shape: String) -> Int32 {
        self.patterns[node]?.first { $0.shape == shape }?.child ?? -1
    }

    private func findExact(_ hash: UInt64, scope: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int32 {
        var index: Int = self.exact.start(hash)
        while true {
            let slot: RouterExactSlot = self.exact[index]
            if slot.hash == 0 { return -1 }
            if slot.hash == hash, slot.scope == scope, self.isText(slot.text, bytes, count) { return slot.terminal }
            index = self.exact.next(index)
        }
    }

    private func findEdge(_ hash: UInt64, from node: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int32 {
        var index: Int = self.edges.start(hash)
        while true {
            let slot: RouterEdgeSlot = self.edges[index]
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
                self.add(
                    routed, form, scope: self.scopeOf[host] ?? self.addScope(of: host), conditionStart: conditionStart)
            }
        }
    }

    private func add(_ routed: RoutedRoute, _ route: RouteForm, scope: Int32, conditionStart: Int32) {
        let place: Int
        switch route.definition.path.kind {
        case .exact: place = Int(self.addExact(route, scope: scope))
        case .template, .prefix:
            place = Int(self.addToTrie(route, scope: scope))
            self.countPatterns(of: route.definition.path, scope: scope, by: 1)
        case .regex: place = Int(self.addExpression(route, scope: scope))
        }
        let entry: RouterEntry = RouterEntry(
            route: Int32(routed.index), methods: route.methods, conditionStart: conditionStart,
            headerCount: UInt8(route.definition.headers.count), queryCount: UInt8(route.definition.query.count),
            api: Int32(routed.api), number: Int32(routed.number))
        let terminal: RouterTerminal = self.terminals[place]
        if terminal.entries.upperBound == self.entries.count {
            // Its run is the last one: it grows where it is.
            self.entries.append(entry)
            self.terminals[place].entryCount += 1
            self.terminals[place].methods.formUnion(entry.methods.isEmpty ? .all : entry.methods)
            return
        }
        var run: [RouterEntry] = terminal.entries.map { self.entries[$0] }
        run.append(entry)
        self.setRun(run, of: place)
    }

    /// Gives a path these routes, at the end of the entries.
    private func setRun(_ run: [RouterEntry], of terminal: Int) {
        self.discarded += Int(self.terminals[terminal].entryCount)
        var replaced: RouterTerminal = .empty
        replaced.entryStart = Int32(self.entries.count)
        replaced.entryCount = Int32(run.count)
        for entry in run {
            self.entries.append(entry)
            replaced.methods.formUnion(entry.methods.isEmpty ? .all : entry.methods)
        }
        self.terminals[terminal] = replaced
    }

    private func addScope() -> Int32 {
        self.scopes.append(RouterScope())
        return Int32(self.scopes.count - 1)
    }

    private func addScope(of host: HostPattern) -> Int32 {
        let scope: Int32 = self.addScope()
        self.scopeOf[host] = scope
        _ = self.withBytes(host.name) { bytes, count in
            let hash: UInt64 = self.hash.hash(bytes, count: count, with: host.isWildcard ? 1 : 0)
            let text: TextRange = self.text.append(bytes, count: count)
            self.hosts.insert(RouterHostSlot(hash: hash, text: text, scope: scope, isWildcard: host.isWildcard))
            return 0
        }
        if host.isWildcard {
            self.wildcardLabelsMax = max(self.wildcardLabelsMax, host.name.split(separator: ".").count)
        }
        return scope
    }

    // MARK: Taking out

    /// Takes a route out that `add` was given with these hosts.
    func remove(_ routed: RoutedRoute, hosts: [HostPattern]) {
        for definition in routed.route.forms {
            let form: RouteForm = RouteForm(definition: definition, methods: routed.route.methods)
            if hosts.isEmpty {
                self.remove(Int32(routed.index), form, scope: self.anyScope)
                continue
            }
            for host in hosts {
                if let scope: Int32 = self.scopeOf[host] { self.remove(Int32(routed.index), form, scope: scope) }
            }
        }
    }

    private func remove(_ route: Int32, _ form: RouteForm, scope: Int32) {
        let terminal: Int32 = scope >= 0 ? self.terminal(of: form, scope: scope) : -1
        guard terminal >= 0 else { return }
        self.countPatterns(of: form.definition.path, scope: scope, by: -1)
        let all: [RouterEntry] = self.terminals[Int(terminal)].entries.map { self.entries[$0] }
        let left: [RouterEntry] = all.filter { $0.route != route }
        // Two forms may end at one path; then both are gone with the first.
        if left.count < all.count { self.setRun(left, of: Int(terminal)) }
        guard left.isEmpty, form.definition.path.kind == .regex else { return }
        // An expression is tried until it is taken off the list, unlike a path, which is just not found.
        self.expressions[scope]?.removeAll { $0.terminal == terminal }
        self.isExpressionListOld = true
    }

    /// Counts a route more or less behind each pattern of its path.
    private func countPatterns(of path: PathPattern, scope: Int32, by change: Int) {
        guard path.patternCount > 0 else { return }
        self.isPatternListOld = true
        var node: Int32 = self.scopes[Int(scope)].root
        for segment in path.segments {
            guard node >= 0 else { return }
            if case .pattern(let pattern) = segment {
                let shape: String = pattern.shape
                guard let index: Int = self.patterns[node]?.firstIndex(where: { $0.shape == shape }) else { return }
                self.patterns[node]?[index].routes += change
            }
            node = self.child(of: node, segment)
        }
    }

    // MARK: Parts

    private func addTerminal() -> Int32 {
        self.terminals.append(.empty)
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

    private func addExpression(_ route: RouteForm, scope: Int32) -> Int32 {
        guard let expression: TextExpression = route.definition.path.expression else { return self.addTerminal() }
        self.isExpressionListOld = true
        if let known: ScopedExpression = self.expressions[scope]?.first(where: { $0.expression == expression }) {
            return known.terminal
        }
        let terminal: Int32 = self.addTerminal()
        self.expressions[scope, default: []].append(ScopedExpression(expression: expression, terminal: terminal))
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
        case .pattern(let pattern): return self.addPattern(pattern, to: node)
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

    private func addPattern(_ pattern: SegmentPattern, to node: Int32) -> Int32 {
        let shape: String = pattern.shape
        let existing: Int32 = self.patternChild(of: node, shape: shape)
        if existing >= 0 { return existing }
        let child: Int32 = self.addNode()
        self.patterns[node, default: []].append(
            NodePattern(
                shape: shape, prefix: self.text.append(String(decoding: pattern.prefix, as: UTF8.self)),
                suffix: self.text.append(String(decoding: pattern.suffix, as: UTF8.self)),
                expression: pattern.expression, child: child, routes: 0))
        self.nodes[Int(node)].hasPatterns = true
        return child
    }

    private static func shapeKey(_ path: PathPattern, scope: Int32) -> ShapeKey {
        var kinds: UInt64 = 0
        var patterns: String = ""
        for (place, segment) in path.segments.enumerated() {
            kinds = kinds << 1 | (segment.isLiteral ? 1 : 0)
            if case .pattern(let pattern) = segment { patterns += "\(place)/\(pattern.shape)/" }
        }
        return ShapeKey(
            scope: scope, kinds: kinds, count: path.segments.count, isPrefix: path.kind == .prefix, patterns: patterns)
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
        guard let own: UnsafeRawPointer = range.start else { return true }
        return ASCIIBytes.equal(own, bytes, count: count)
    }

    // MARK: Finishing

    /// The router of what is there now. `orders` says where the API at each place stands in file order; `isOrderChanged`, whether
    /// it says so of those there already otherwise than the last time.
    func build(orders: FlatArray<Int32>, isOrderChanged: Bool) -> Router {
        if self.isExpressionListOld || isOrderChanged { self.placeExpressions(orders) }
        if self.isPatternListOld { self.placePatterns() }
        var kept: [RegularExpression] = self.kept
        for own in self.patterns.values { for one in own { one.expression.map { kept.append($0) } } }
        for own in self.expressions.values { for one in own { kept.append(one.expression.expression) } }
        let memory: RouterMemory = RouterMemory(
            expressions: self.placed, patterns: self.placedPatterns, kept: kept, scopes: self.scopes.share(),
            hosts: self.hosts.share(),
            exact: self.exact.share(), nodes: self.nodes.share(), edges: self.edges.share(),
            terminals: self.terminals.share(), entries: self.entries.share(), conditions: self.conditions.share(),
            orders: orders, texts: self.text.chunks)
        return Router(
            memory,
            RouterShape(
                hash: self.hash, anyScope: self.anyScope, hasHosts: !self.scopeOf.isEmpty,
                wildcardLabelsMax: self.wildcardLabelsMax))
    }

    /// Expressions of each scope as a run, in file order, those written the same at the first one's place.
    private func placeExpressions(_ orders: FlatArray<Int32>) {
        self.isExpressionListOld = false
        var placed: [RouterExpression] = []
        for (scope, own) in self.expressions {
            self.scopes[Int(scope)].expressionStart = Int32(placed.count)
            self.scopes[Int(scope)].expressionCount = Int32(own.count)
            let ordered: [(order: Int64, one: ScopedExpression)] = own.map { (self.order(of: $0, orders), $0) }
            for (_, one) in ordered.sorted(by: { $0.order < $1.order }) {
                let address: UnsafeRawPointer = Self.address(of: one.expression.expression)
                placed.append(RouterExpression(expression: address, terminal: one.terminal))
            }
        }
        self.placed = FlatArray(placed)
    }

    /// Patterns that routes are behind of each node as a run, in order of node.
    private func placePatterns() {
        self.isPatternListOld = false
        var placed: [RouterPattern] = []
        for (node, own) in self.patterns.sorted(by: { $0.key < $1.key }) {
            for one in own where one.routes > 0 {
                placed.append(
                    RouterPattern(
                        node: node, child: one.child, prefix: one.prefix, suffix: one.suffix,
                        expression: one.expression.map { Self.address(of: $0) }))
            }
        }
        self.placedPatterns = FlatArray(placed)
    }

    private func order(of one: ScopedExpression, _ orders: FlatArray<Int32>) -> Int64 {
        var first: Int64 = .max
        for place in self.terminals[Int(one.terminal)].entries {
            let entry: RouterEntry = self.entries[place]
            first = min(first, Int64(orders[Int(entry.api)]) << 32 | Int64(entry.number))
        }
        return first
    }

    private static func address(of expression: RegularExpression) -> UnsafeRawPointer {
        UnsafeRawPointer(Unmanaged.passUnretained(expression).toOpaque())
    }
}

extension RouterTerminal {
    static var empty: RouterTerminal { RouterTerminal(entryStart: 0, entryCount: 0, methods: []) }

    /// Places of its routes.
    var entries: Range<Int> { Int(self.entryStart)..<Int(self.entryStart + self.entryCount) }
}

extension RouterEntry {
    static var none: RouterEntry {
        RouterEntry(route: -1, methods: [], conditionStart: 0, headerCount: 0, queryCount: 0, api: -1, number: -1)
    }
}

extension RouterExactSlot: HashedSlot {}
extension RouterEdgeSlot: HashedSlot {}
extension RouterHostSlot: HashedSlot {}
