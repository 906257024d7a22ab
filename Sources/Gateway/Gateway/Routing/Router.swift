import HTTP
import Patterns

/// What a request's host, path and method lead to.
package enum Match: Sendable, Equatable {
    case route(RouteIndex)
    /// The path is known, the method is not: 405. The bytes are the value of `Allow`.
    case methodNotAllowed(allow: [UInt8])
    /// `OPTIONS` on a known path that no route takes: 204. The bytes are the value of `Allow`.
    case options(allow: [UInt8])
    /// A regular expression passed its bounds, so it is not known which route is meant: 500.
    case undecided
    /// 404.
    case none
}

/// A route's place in `Snapshot.routes`.
package struct RouteIndex: Sendable, Hashable, BitwiseCopyable {
    package let value: Int

    package init(_ value: Int) {
        self.value = value
    }
}

/// Finds the route of a request at a cost that depends on the request and not on the number of routes.
///
/// Order, first difference decides: host exact, longest wildcard, any; path exact, template with most literal segments (then most
/// that are literal in part or have a rule), longest prefix (most segments, then the same), regular expression in file order; a method that is named, then HEAD by way of GET, then "every method"; number
/// of header conditions; number of query conditions; file order. A route that lacks the method or a condition does not take
/// part, so a request can fall through to a less exact host or path.
///
/// Memory: exact paths in one hash table over (scope, path); templates and prefixes in one trie whose literal edges are a hash
/// table over (node, segment). A scope is one host pattern. A path's routes are a run of entries behind its terminal. All of it
/// is immutable and lies in pages, which routers of successive snapshots share but for those that a change touched; any thread
/// may match. `RouterBuilder` makes one router after the other out of its tables.
/// Cost: for each scope that fits the host (one, when no API names hosts) a hash of the path and one of each segment. Where
/// literals, segments with text beside parameters, and parameters meet, all ways are walked: at most `templateShapesMax` in one
/// scope. Expressions are tried one
/// after the other, at most `expressionsMax` in one scope, and only when nothing else there takes the request. One that passes
/// its limits ends the search with an error: what stands behind it may have other policies.
package final class Router: Sendable {
    private let memory: RouterMemory
    private let tables: RouterTables

    init(_ memory: RouterMemory, _ shape: RouterShape) {
        self.memory = memory
        self.tables = RouterTables(memory, shape)
    }

    /// Finds the route. Allocates nothing.
    package func match(_ request: RequestView) -> Match {
        var probes: Int = 0
        return self.match(request, probes: &probes)
    }

    /// The same, counting the table slots, trie nodes and route entries looked at.
    func match(_ request: RequestView, probes: inout Int) -> Match {
        var search: RouterSearch = RouterSearch(self.tables, request)
        var found: Int32 = -1
        if self.tables.hasHosts { found = search.findByHost() }
        if found < 0, !search.isGivenUp, self.tables.anyScope >= 0 { found = search.find(scope: self.tables.anyScope) }
        probes = search.probes
        if search.isGivenUp { return .undecided }
        if found >= 0 { return .route(RouteIndex(Int(found))) }
        return self.refusal(search.known, method: request.method)
    }

    private func refusal(_ known: MethodSet, method: MethodCode) -> Match {
        if known.isEmpty { return .none }
        // The method is known here, a condition was not met: this resource does not exist for this request.
        if known.contains(method) || (method == .head && known.contains(.get)) { return .none }
        if method == .options { return .options(allow: known.allowText) }
        return .methodNotAllowed(allow: known.allowText)
    }

    /// Pages that the other router does not have.
    func pagesNotShared(with other: Router) -> Int {
        let (own, theirs): (RouterMemory, RouterMemory) = (self.memory, other.memory)
        return own.scopes.pagesNotShared(with: theirs.scopes) + own.hosts.pagesNotShared(with: theirs.hosts)
            + own.exact.pagesNotShared(with: theirs.exact) + own.nodes.pagesNotShared(with: theirs.nodes)
            + own.edges.pagesNotShared(with: theirs.edges) + own.terminals.pagesNotShared(with: theirs.terminals)
            + own.entries.pagesNotShared(with: theirs.entries)
            + own.conditions.pagesNotShared(with: theirs.conditions)
    }

    // Limits; an API that would exceed one is refused when it is compiled.

    /// Routes with the same host and path shape at most.
    package static let entriesPerPathMax: Int = 64
    /// Different arrangements of literals, parameters and patterns of segments in one scope at most: bounds the ways walked
    /// through the trie.
    package static let templateShapesMax: Int = 256
    /// Different regular expressions as paths in one scope at most.
    package static let expressionsMax: Int = 64
}

/// One host pattern, or "any host".
struct RouterScope: BitwiseCopyable {
    /// Root of the trie of templates and prefixes; -1: there are none.
    var root: Int32 = -1
    var hasExact: Bool = false
    var expressionStart: Int32 = 0
    var expressionCount: Int32 = 0
}

/// A node of the trie: what follows the segments walked so far.
struct RouterNode: BitwiseCopyable {
    /// Node behind a parameter; -1: none.
    var parameter: Int32 = -1
    /// What ends here as a template; -1: nothing.
    var template: Int32 = -1
    /// What ends here as a prefix; -1: nothing.
    var prefix: Int32 = -1
    var hasLiterals: Bool = false
    /// Whether patterns of segments lead on from here; they are looked up apart, so that a node stays small.
    var hasPatterns: Bool = false
}

/// A segment that is literal in part or has rules, and where it leads. In order of node.
struct RouterPattern: BitwiseCopyable {
    var node: Int32
    var child: Int32
    var prefix: TextRange
    var suffix: TextRange
    /// A `RegularExpression` that the router's memory keeps; nil: prefix and suffix say all.
    var expression: UnsafeRawPointer?
}

/// A slot of the table of exact paths. `hash` 0: empty.
struct RouterExactSlot: BitwiseCopyable {
    var hash: UInt64 = 0
    var text: TextRange = TextRange()
    var scope: Int32 = -1
    var terminal: Int32 = -1
}

/// A slot of the table of literal edges. `hash` 0: empty.
struct RouterEdgeSlot: BitwiseCopyable {
    var hash: UInt64 = 0
    var text: TextRange = TextRange()
    var node: Int32 = -1
    var child: Int32 = -1
}

/// A slot of the table of hosts. `hash` 0: empty. Exact hosts are hashed with number 0, wildcards with number 1.
struct RouterHostSlot: BitwiseCopyable {
    var hash: UInt64 = 0
    var text: TextRange = TextRange()
    var scope: Int32 = -1
    var isWildcard: Bool = false
}

/// All routes of one scope and path shape: a run of entries, and the methods they name.
struct RouterTerminal: BitwiseCopyable {
    var entryStart: Int32
    var entryCount: Int32
    var methods: MethodSet
}

/// A route where it ends, with what it still asks for.
struct RouterEntry: BitwiseCopyable {
    var route: Int32
    /// Methods it names; empty: every method.
    var methods: MethodSet
    var conditionStart: Int32
    var headerCount: UInt8
    var queryCount: UInt8
    /// Place of its API, and its own place in that: what file order goes by.
    var api: Int32
    var number: Int32
}

/// A header or query condition.
struct RouterCondition: BitwiseCopyable {
    enum Test: UInt8, BitwiseCopyable {
        case present, absent, exact, prefix, regex
    }

    var name: TextRange
    var test: Test = .present
    /// Of `exact` and `prefix`.
    var value: TextRange = TextRange()
    /// Of `regex`: a `RegularExpression` that the router's memory keeps.
    var expression: UnsafeRawPointer? = nil

    static var none: RouterCondition { RouterCondition(name: TextRange()) }
}

/// A regular expression as a path.
struct RouterExpression: BitwiseCopyable {
    /// A `RegularExpression` that the router's memory keeps.
    var expression: UnsafeRawPointer
    var terminal: Int32
}

/// What a router is besides its tables.
struct RouterShape: Sendable {
    let hash: ByteHash
    /// Scope of APIs without hosts; -1: none.
    let anyScope: Int32
    let hasHosts: Bool
    /// Labels of the longest wildcard, its star not counted.
    let wildcardLabelsMax: Int
}

/// The memory of a router.
struct RouterMemory: Sendable {
    let expressions: FlatArray<RouterExpression>
    let patterns: FlatArray<RouterPattern>
    let kept: [RegularExpression]
    let scopes: SharedPages<RouterScope>
    let hosts: SharedPages<RouterHostSlot>
    let exact: SharedPages<RouterExactSlot>
    let nodes: SharedPages<RouterNode>
    let edges: SharedPages<RouterEdgeSlot>
    let terminals: SharedPages<RouterTerminal>
    let entries: SharedPages<RouterEntry>
    let conditions: SharedPages<RouterCondition>
    /// Where each API stands in file order, at its place.
    let orders: FlatArray<Int32>
    let texts: [TextChunk]
}

/// The same memory as pointers: what a look-up carries, without a reference count.
struct RouterTables: BitwiseCopyable, @unchecked Sendable {
    // Safe to share: the memory is immutable, and every use is inside a call on the `Router` that owns it.
    let hash: ByteHash
    let anyScope: Int32
    let hasHosts: Bool
    let wildcardLabelsMax: Int
    let hostMask: Int
    let exactMask: Int
    let edgeMask: Int
    let expressions: UnsafePointer<RouterExpression>
    let patterns: UnsafePointer<RouterPattern>
    let patternCount: Int
    let orders: UnsafePointer<Int32>
    let scopes: PageTable<RouterScope>
    let hosts: PageTable<RouterHostSlot>
    let exact: PageTable<RouterExactSlot>
    let nodes: PageTable<RouterNode>
    let edges: PageTable<RouterEdgeSlot>
    let terminals: PageTable<RouterTerminal>
    let entries: PageTable<RouterEntry>
    let conditions: PageTable<RouterCondition>

    init(_ memory: RouterMemory, _ shape: RouterShape) {
        self.hash = shape.hash
        self.anyScope = shape.anyScope
        self.hasHosts = shape.hasHosts
        self.wildcardLabelsMax = shape.wildcardLabelsMax
        // Tables have a power of two of slots.
        self.hostMask = memory.hosts.count - 1
        self.exactMask = memory.exact.count - 1
        self.edgeMask = memory.edges.count - 1
        self.expressions = UnsafePointer(memory.expressions.base)
        self.patterns = UnsafePointer(memory.patterns.base)
        self.patternCount = memory.patterns.count
        self.orders = UnsafePointer(memory.orders.base)
        self.scopes = PageTable(memory.scopes)
        self.hosts = PageTable(memory.hosts)
        self.exact = PageTable(memory.exact)
        self.nodes = PageTable(memory.nodes)
        self.edges = PageTable(memory.edges)
        self.terminals = PageTable(memory.terminals)
        self.entries = PageTable(memory.entries)
        self.conditions = PageTable(memory.conditions)
    }
}
