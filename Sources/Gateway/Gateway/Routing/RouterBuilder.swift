import GatewayConfiguration
import HTTP

/// What a router needs to know of one route.
struct RoutedRoute {
    let index: Int
    /// Place in file order, which may differ from the order of adding.
    let order: Int
    let hosts: [HostPattern]
    let definition: RouteDefinition
    let methods: MethodSet
}

/// Why a route cannot be added to a router.
enum RouterRefusal: Error, Equatable {
    /// The same host, path shape, method and conditions as a route that is there.
    case conflict(with: Int, host: String, method: String)
    case tooManyEntries(host: String)
    case tooManyShapes(host: String)

    func message(path: String, named nameOf: (Int) -> String) -> String {
        switch self {
        case .conflict(let other, let host, let method):
            return "the route \(path) takes the same requests (host \(host), method \(method)) as \(nameOf(other))"
        case .tooManyEntries(let host):
            return "expected at most \(Router.entriesPerPathMax) routes with the path \(path) on host \(host)"
        case .tooManyShapes(let host):
            return
                "expected at most \(Router.templateShapesMax) different arrangements of segments and parameters on host \(host)"
        }
    }
}

/// Collects routes and makes a `Router` of them.
///
/// `check` changes nothing, so that an API can be tried and left out as a whole; `add` never fails. Not for the loops: a
/// hundred thousand routes take some tens of milliseconds.
struct RouterBuilder {
    private struct Terminal {
        var entries: [RouterEntry] = []
    }

    private struct ShapeKey: Hashable {
        let scope: Int32
        let kinds: UInt64
        let count: Int
        let isPrefix: Bool
    }

    private let hash: ByteHash
    private var text: TextBlob = TextBlob()
    private var scopes: [RouterScope] = []
    private var scopeOf: [HostPattern: Int32] = [:]
    private var anyScope: Int32 = -1
    private var exact: GrowingTable<RouterExactSlot> = GrowingTable()
    private var edges: GrowingTable<RouterEdgeSlot> = GrowingTable()
    private var nodes: [RouterNode] = []
    private var terminals: [Terminal] = []
    private var conditions: [RouterCondition] = []
    private var conditionTexts: [[RouteCondition]] = []
    private var shapes: Set<ShapeKey> = []
    private var shapeCounts: [Int32: Int] = [:]

    init(hash: ByteHash = .process) {
        self.hash = hash
    }

    // MARK: Trying

    /// Throws when a route cannot be added to what is there.
    func check(_ route: RoutedRoute) throws(RouterRefusal) {
        if route.hosts.isEmpty {
            guard self.anyScope >= 0 else { return }
            try self.check(route, scope: self.anyScope, host: "any")
        }
        for host in route.hosts {
            guard let scope: Int32 = self.scopeOf[host] else { continue }
            try self.check(route, scope: scope, host: host.text)
        }
    }

    private func check(_ route: RoutedRoute, scope: Int32, host: String) throws(RouterRefusal) {
        let terminal: Int32 = self.terminal(of: route.definition.path, scope: scope)
        guard terminal >= 0 else {
            if route.definition.path.kind != .exact, (self.shapeCounts[scope] ?? 0) >= Router.templateShapesMax,
                !self.shapes.contains(Self.shapeKey(route.definition.path, scope: scope))
            {
                throw .tooManyShapes(host: host)
            }
            return
        }
        let entries: [RouterEntry] = self.terminals[Int(terminal)].entries
        for entry in entries where self.isSame(entry, route) {
            let both: MethodSet = entry.methods.intersection(route.methods)
            let method: MethodCode? = MethodCode.allCases.first { both.contains($0) }
            throw .conflict(with: Int(entry.route), host: host, method: method.map { "\($0.name)" } ?? "any")
        }
        if entries.count >= Router.entriesPerPathMax { throw .tooManyEntries(host: host) }
    }

    /// Whether both take the same requests with the same rank. One that names methods ranks before one that takes every method.
    private func isSame(_ entry: RouterEntry, _ route: RoutedRoute) -> Bool {
        let meet: Bool =
            entry.methods.isEmpty && route.methods.isEmpty || !entry.methods.isDisjoint(with: route.methods)
        guard meet, Int(entry.headerCount) == route.definition.headers.count,
            Int(entry.queryCount) == route.definition.query.count
        else { return false }
        if entry.headerCount == 0 && entry.queryCount == 0 { return true }
        let own: [RouteCondition] = self.conditionTexts[Int(entry.conditionStart)]
        let headers: Set<RouteCondition> = Set(own.prefix(Int(entry.headerCount)))
        let queries: Set<RouteCondition> = Set(own.dropFirst(Int(entry.headerCount)))
        return headers == Set(route.definition.headers) && queries == Set(route.definition.query)
    }

    /// The terminal of a path where it exists already; -1: it does not.
    private func terminal(of path: PathPattern, scope: Int32) -> Int32 {
        if path.kind == .exact {
            let slot: RouterExactSlot? = self.withBytes(path.text) { bytes, count in
                let hash: UInt64 = self.hash.hash(bytes, count: count, with: UInt64(UInt32(scope)))
                return self.exact.find(hash) { $0.scope == scope && self.isText($0.text, bytes, count) }
            }
            return slot?.terminal ?? -1
        }
        var node: Int32 = self.scopes[Int(scope)].root
        for segment in path.segments {
            guard node >= 0 else { return -1 }
            switch segment {
            case .parameter: node = self.nodes[Int(node)].parameter
            case .literal(let literal): node = self.child(of: node, literal)
            }
        }
        guard node >= 0 else { return -1 }
        return path.kind == .template ? self.nodes[Int(node)].template : self.nodes[Int(node)].prefix
    }

    private func child(of node: Int32, _ literal: String) -> Int32 {
        let slot: RouterEdgeSlot? = self.withBytes(literal) { bytes, count in
            let hash: UInt64 = self.hash.hash(bytes, count: count, with: UInt64(UInt32(node)))
            return self.edges.find(hash) { $0.node == node && self.isText($0.text, bytes, count) }
        }
        return slot?.child ?? -1
    }

    // MARK: Adding

    /// Adds a route that `check` let pass. Any order: the route knows its place.
    mutating func add(_ route: RoutedRoute) {
        let conditionStart: Int32 = self.addConditions(route.definition)
        if route.hosts.isEmpty {
            if self.anyScope < 0 { self.anyScope = self.addScope() }
            self.add(route, scope: self.anyScope, conditionStart: conditionStart)
        }
        for host in route.hosts {
            let scope: Int32 = self.scopeOf[host] ?? self.addScope()
            self.scopeOf[host] = scope
            self.add(route, scope: scope, conditionStart: conditionStart)
        }
    }

    private mutating func add(_ route: RoutedRoute, scope: Int32, conditionStart: Int32) {
        let path: PathPattern = route.definition.path
        let terminal: Int32 =
            path.kind == .exact ? self.addExact(path, scope: scope) : self.addToTrie(path, scope: scope)
        let entry: RouterEntry = RouterEntry(
            route: Int32(route.index), methods: route.methods, conditionStart: conditionStart,
            headerCount: UInt8(route.definition.headers.count), queryCount: UInt8(route.definition.query.count),
            order: Int32(route.order))
        self.terminals[Int(terminal)].entries.append(entry)
    }

    private mutating func addScope() -> Int32 {
        self.scopes.append(RouterScope())
        return Int32(self.scopes.count - 1)
    }

    private mutating func addTerminal() -> Int32 {
        self.terminals.append(Terminal())
        return Int32(self.terminals.count - 1)
    }

    private mutating func addConditions(_ route: RouteDefinition) -> Int32 {
        let start: Int = self.conditions.count
        let all: [RouteCondition] = route.headers + route.query
        for condition in all {
            let name: TextRange = self.text.append(condition.name)
            var value: TextRange = TextRange(offset: 0, length: RouterCondition.anyValue)
            if let wanted: String = condition.value { value = self.text.append(wanted) }
            self.conditions.append(RouterCondition(name: name, value: value))
            // Indexed by the start of a route's conditions; the rest are place holders.
            self.conditionTexts.append(self.conditionTexts.count == start ? all : [])
        }
        return Int32(start)
    }

    private mutating func addExact(_ path: PathPattern, scope: Int32) -> Int32 {
        let existing: Int32 = self.terminal(of: path, scope: scope)
        if existing >= 0 { return existing }
        self.scopes[Int(scope)].hasExact = true
        let terminal: Int32 = self.addTerminal()
        let text: TextRange = self.text.append(path.text)
        let hash: UInt64 = self.withBytes(path.text) { self.hash.hash($0, count: $1, with: UInt64(UInt32(scope))) }
        self.exact.insert(hash, RouterExactSlot(hash: hash, text: text, scope: scope, terminal: terminal))
        return terminal
    }

    private mutating func addToTrie(_ path: PathPattern, scope: Int32) -> Int32 {
        if self.shapes.insert(Self.shapeKey(path, scope: scope)).inserted { self.shapeCounts[scope, default: 0] += 1 }
        if self.scopes[Int(scope)].root < 0 { self.scopes[Int(scope)].root = self.addNode() }
        var node: Int32 = self.scopes[Int(scope)].root
        for segment in path.segments { node = self.addChild(of: node, segment) }
        let existing: Int32 =
            path.kind == .template ? self.nodes[Int(node)].template : self.nodes[Int(node)].prefix
        if existing >= 0 { return existing }
        let terminal: Int32 = self.addTerminal()
        if path.kind == .template {
            self.nodes[Int(node)].template = terminal
        } else {
            self.nodes[Int(node)].prefix = terminal
        }
        return terminal
    }

    private mutating func addNode() -> Int32 {
        self.nodes.append(RouterNode())
        return Int32(self.nodes.count - 1)
    }

    private mutating func addChild(of node: Int32, _ segment: PathPattern.Segment) -> Int32 {
        switch segment {
        case .parameter:
            if self.nodes[Int(node)].parameter < 0 { self.nodes[Int(node)].parameter = self.addNode() }
            return self.nodes[Int(node)].parameter
        case .literal(let literal):
            let existing: Int32 = self.child(of: node, literal)
            if existing >= 0 { return existing }
            let child: Int32 = self.addNode()
            let text: TextRange = self.text.append(literal)
            let hash: UInt64 = self.withBytes(literal) { self.hash.hash($0, count: $1, with: UInt64(UInt32(node))) }
            self.edges.insert(hash, RouterEdgeSlot(hash: hash, text: text, node: node, child: child))
            self.nodes[Int(node)].hasLiterals = true
            return child
        }
    }

    private static func shapeKey(_ path: PathPattern, scope: Int32) -> ShapeKey {
        var kinds: UInt64 = 0
        for segment in path.segments { kinds = kinds << 1 | (segment.isLiteral ? 1 : 0) }
        return ShapeKey(scope: scope, kinds: kinds, count: path.segments.count, isPrefix: path.kind == .prefix)
    }

    /// Calls with the bytes of a text; an empty one gets a pointer that is not read.
    private func withBytes<Result>(_ text: String, _ body: (UnsafeRawPointer, Int) -> Result) -> Result {
        var copy: String = text
        return copy.withUTF8 { (bytes: UnsafeBufferPointer<UInt8>) -> Result in
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

    /// Lays everything out flat.
    consuming func build() -> Router {
        var entries: [RouterEntry] = []
        var terminals: [RouterTerminal] = []
        terminals.reserveCapacity(self.terminals.count)
        for terminal in self.terminals {
            var methods: MethodSet = []
            for entry in terminal.entries { methods.formUnion(entry.methods.isEmpty ? .all : entry.methods) }
            terminals.append(
                RouterTerminal(
                    entryStart: Int32(entries.count), entryCount: Int32(terminal.entries.count), methods: methods))
            entries.append(contentsOf: terminal.entries)
        }
        let (hosts, wildcardLabelsMax): ([RouterHostSlot], Int) = self.hostTable()
        let memory: RouterMemory = RouterMemory(
            scopes: FlatArray(self.scopes), hosts: FlatArray(hosts), exact: FlatArray(self.exact.slots),
            nodes: FlatArray(self.nodes), edges: FlatArray(self.edges.slots), terminals: FlatArray(terminals),
            entries: FlatArray(entries), conditions: FlatArray(self.conditions), text: FlatArray(self.text.bytes))
        return Router(
            memory, hash: self.hash, anyScope: self.anyScope, hasHosts: !self.scopeOf.isEmpty,
            wildcardLabelsMax: wildcardLabelsMax)
    }

    private mutating func hostTable() -> (slots: [RouterHostSlot], wildcardLabelsMax: Int) {
        var table: GrowingTable<RouterHostSlot> = GrowingTable()
        var labelsMax: Int = 0
        for (host, scope) in self.scopeOf {
            let text: TextRange = self.text.append(host.name)
            let hash: UInt64 = self.withBytes(host.name) {
                self.hash.hash($0, count: $1, with: host.isWildcard ? 1 : 0)
            }
            table.insert(hash, RouterHostSlot(hash: hash, text: text, scope: scope, isWildcard: host.isWildcard))
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
    private(set) var slots: [Slot] = [Slot](repeating: Slot(), count: 8)
    private var used: Int = 0

    func find(_ hash: UInt64, where isIt: (Slot) -> Bool) -> Slot? {
        let mask: Int = self.slots.count - 1
        var index: Int = Int(truncatingIfNeeded: hash) & mask
        while true {
            let slot: Slot = self.slots[index]
            if slot.hash == 0 { return nil }
            if slot.hash == hash && isIt(slot) { return slot }
            index = (index + 1) & mask
        }
    }

    /// Adds a slot that is known not to be there.
    mutating func insert(_ hash: UInt64, _ slot: Slot) {
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
