import HTTP
import Patterns

/// What a request's host, path and method lead to.
package enum Match: Sendable, Equatable {
    case route(RouteIndex)
    /// The path is known, the method is not: 405. The bytes are the value of `Allow`.
    case methodNotAllowed(allow: [UInt8])
    /// `OPTIONS` on a known path that no route takes: 204. The bytes are the value of `Allow`.
    case options(allow: [UInt8])
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
/// Order, first difference decides: host exact, longest wildcard, any; path exact, template with most literal segments, longest
/// prefix (most segments, then most literal ones), regular expression in file order; a method that is named, then HEAD by way of GET, then "every method"; number
/// of header conditions; number of query conditions; file order. A route that lacks the method or a condition does not take
/// part, so a request can fall through to a less exact host or path.
///
/// Memory: exact paths in one hash table over (scope, path); templates and prefixes in one trie whose literal edges are a hash
/// table over (node, segment). A scope is one host pattern. All of it is flat and immutable; any thread may match.
/// Cost: for each scope that fits the host (one, when no API names hosts) a hash of the path and one of each segment. Where
/// literals and parameters meet, both ways are walked: at most `templateShapesMax` ways in one scope. Expressions are tried one
/// after the other, at most `expressionsMax` in one scope, and only when nothing else there takes the request. One that passes
/// its limits ends the search with 404: what stands behind it may have other policies.
package final class Router: Sendable {
    private let memory: RouterMemory
    private let tables: RouterTables

    init(_ memory: RouterMemory, hash: ByteHash, anyScope: Int32, hasHosts: Bool, wildcardLabelsMax: Int) {
        self.memory = memory
        self.tables = RouterTables(
            memory, hash: hash, anyScope: anyScope, hasHosts: hasHosts, wildcardLabelsMax: wildcardLabelsMax)
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
        if found < 0, self.tables.anyScope >= 0 { found = search.find(scope: self.tables.anyScope) }
        probes = search.probes
        if search.isGivenUp { return .none }
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

    // Limits; an API that would exceed one is refused when it is compiled.

    /// Routes with the same host and path shape at most.
    package static let entriesPerPathMax: Int = 64
    /// Different arrangements of literals and parameters in one scope at most: bounds the ways walked through the trie.
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
    /// Place in file order.
    var order: Int32
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
}

/// A regular expression as a path.
struct RouterExpression: BitwiseCopyable {
    /// A `RegularExpression` that the router's memory keeps.
    var expression: UnsafeRawPointer
    var terminal: Int32
}

/// The flat memory of a router.
struct RouterMemory: Sendable {
    let expressions: FlatArray<RouterExpression>
    let kept: [RegularExpression]
    let scopes: FlatArray<RouterScope>
    let hosts: FlatArray<RouterHostSlot>
    let exact: FlatArray<RouterExactSlot>
    let nodes: FlatArray<RouterNode>
    let edges: FlatArray<RouterEdgeSlot>
    let terminals: FlatArray<RouterTerminal>
    let entries: FlatArray<RouterEntry>
    let conditions: FlatArray<RouterCondition>
    let text: FlatArray<UInt8>
}

/// The same memory as pointers: what a look-up carries, without a reference count.
struct RouterTables: BitwiseCopyable, @unchecked Sendable {
    // Safe to share: the memory is immutable, and every use is inside a call on the `Router` that owns it.
    let hash: ByteHash
    /// Scope of APIs without hosts; -1: none.
    let anyScope: Int32
    let hasHosts: Bool
    /// Labels of the longest wildcard, its star not counted.
    let wildcardLabelsMax: Int
    let hostMask: Int
    let exactMask: Int
    let edgeMask: Int
    let expressions: UnsafePointer<RouterExpression>
    let scopes: UnsafePointer<RouterScope>
    let hosts: UnsafePointer<RouterHostSlot>
    let exact: UnsafePointer<RouterExactSlot>
    let nodes: UnsafePointer<RouterNode>
    let edges: UnsafePointer<RouterEdgeSlot>
    let terminals: UnsafePointer<RouterTerminal>
    let entries: UnsafePointer<RouterEntry>
    let conditions: UnsafePointer<RouterCondition>
    let text: UnsafeRawPointer

    init(_ memory: RouterMemory, hash: ByteHash, anyScope: Int32, hasHosts: Bool, wildcardLabelsMax: Int) {
        self.hash = hash
        self.anyScope = anyScope
        self.hasHosts = hasHosts
        self.wildcardLabelsMax = wildcardLabelsMax
        // Tables have a power of two of slots.
        self.hostMask = memory.hosts.count - 1
        self.exactMask = memory.exact.count - 1
        self.edgeMask = memory.edges.count - 1
        self.expressions = UnsafePointer(memory.expressions.base)
        self.scopes = UnsafePointer(memory.scopes.base)
        self.hosts = UnsafePointer(memory.hosts.base)
        self.exact = UnsafePointer(memory.exact.base)
        self.nodes = UnsafePointer(memory.nodes.base)
        self.edges = UnsafePointer(memory.edges.base)
        self.terminals = UnsafePointer(memory.terminals.base)
        self.entries = UnsafePointer(memory.entries.base)
        self.conditions = UnsafePointer(memory.conditions.base)
        self.text = UnsafeRawPointer(memory.text.base)
    }

    func text(_ range: TextRange) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self.text + Int(range.offset), count: Int(range.length))
    }
}
