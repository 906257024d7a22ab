import GatewayConfiguration
import HTTP
import Patterns

/// The order of a route among those that fit: a greater number wins.
///
/// From the top: major and minor of the path (literals of a template; segments, then literals of a prefix), segments that are
/// literal in part or have a rule, method, number of headers, number of queries. Among equals file order decides, which the entries tell.
struct RouteRank: BitwiseCopyable, Comparable {
    let value: UInt64

    static let none: RouteRank = RouteRank(value: 0)

    private init(value: UInt64) {
        self.value = value
    }

    init(major: Int, minor: Int, partial: Int, method: MethodFit, headers: Int, queries: Int) {
        var value: UInt64 = UInt64(major & 0x7f)
        value = value << 7 | UInt64(minor & 0x7f)
        // At most as many as a path may have parameters, 16.
        value = value << 5 | UInt64(partial & 0x1f)
        value = value << 2 | UInt64(method.rawValue)
        value = value << 5 | UInt64(headers & 0x1f)
        value = value << 5 | UInt64(queries & 0x1f)
        // So that no rank is 0.
        self.value = value | 1 << 63
    }

    static func < (left: RouteRank, right: RouteRank) -> Bool { left.value < right.value }
}

/// How well a route's methods fit a request's; 0: not at all.
enum MethodFit: UInt8 {
    case no = 0
    case every = 1
    case headByGet = 2
    case named = 3

    @inline(__always)
    init(_ methods: MethodSet, _ method: MethodCode) {
        if methods.isEmpty {
            self = .every
        } else if methods.contains(method) {
            self = .named
        } else if method == .head && methods.contains(.get) {
            self = .headByGet
        } else {
            self = .no
        }
    }
}

/// The best route so far.
struct RouteCandidate: BitwiseCopyable {
    var rank: RouteRank = .none
    /// -1: none.
    var route: Int32 = -1
    var api: Int32 = -1
    var number: Int32 = -1
}

/// One look-up: plain values and pointers on the stack.
struct RouterSearch {
    private let tables: RouterTables
    private let request: RequestView
    private let path: UnsafeRawPointer
    private let pathCount: Int
    private let startsWithSlash: Bool

    /// Methods of the paths that fit, for `Allow`.
    var known: MethodSet = []
    var probes: Int = 0
    /// An expression passed its limits, so it is not known which route is meant.
    var isGivenUp: Bool = false

    private var template: RouteCandidate = RouteCandidate()
    private var prefix: RouteCandidate = RouteCandidate()

    init(_ tables: RouterTables, _ request: RequestView) {
        self.tables = tables
        self.request = request
        let path: UnsafeRawBufferPointer = request.path
        self.startsWithSlash = path.first == UInt8(ascii: "/")
        // An empty path begins with no slash and is not read.
        self.path = path.baseAddress ?? UnsafeRawPointer(tables.orders)
        self.pathCount = path.count
    }

    // MARK: Hosts

    /// The best route of the scopes whose host pattern fits, most exact first; -1: none.
    mutating func findByHost() -> Int32 {
        withUnsafeTemporaryAllocation(byteCount: HostPattern.lengthMax + 1, alignment: 1) { scratch in
            let count: Int = HostBytes.normalise(self.request.host, into: scratch)
            guard count > 0 else { return -1 }
            let host: UnsafeRawPointer = UnsafeRawPointer(scratch.baseAddress!)
            let exact: Int32 = self.scope(of: host, count: count, isWildcard: false)
            if exact >= 0 {
                let found: Int32 = self.find(scope: exact)
                if found >= 0 || self.isGivenUp { return found }
            }
            return self.findByWildcard(host, count: count)
        }
    }

    /// Tries `*.` before every tail of the host, longest first, but for tails longer than any wildcard.
    private mutating func findByWildcard(_ host: UnsafeRawPointer, count: Int) -> Int32 {
        guard self.tables.wildcardLabelsMax > 0 else { return -1 }
        var labels: Int = 1
        for index in 0..<count where host.load(fromByteOffset: index, as: UInt8.self) == UInt8(ascii: ".") {
            labels += 1
        }
        for index in 0..<count where host.load(fromByteOffset: index, as: UInt8.self) == UInt8(ascii: ".") {
            labels -= 1
            if labels > self.tables.wildcardLabelsMax { continue }
            let scope: Int32 = self.scope(of: host + index + 1, count: count - index - 1, isWildcard: true)
            if scope >= 0 {
                let found: Int32 = self.find(scope: scope)
                if found >= 0 || self.isGivenUp { return found }
            }
        }
        return -1
    }

    private mutating func scope(of name: UnsafeRawPointer, count: Int, isWildcard: Bool) -> Int32 {
        let hash: UInt64 = self.tables.hash.hash(name, count: count, with: isWildcard ? 1 : 0)
        let mask: Int = self.tables.hostMask
        var slot: Int = Int(truncatingIfNeeded: hash) & mask
        while true {
            self.probes &+= 1
            let entry: RouterHostSlot = self.tables.hosts[slot]
            if entry.hash == 0 { return -1 }
            if entry.hash == hash, entry.isWildcard == isWildcard, self.isText(entry.text, name, count: count) {
                return entry.scope
            }
            slot = (slot &+ 1) & mask
        }
    }

    // MARK: Paths

    /// The best route of one scope; -1: none.
    mutating func find(scope index: Int32) -> Int32 {
        guard self.startsWithSlash else { return -1 }
        let scope: RouterScope = self.tables.scopes[Int(index)]
        if scope.hasExact {
            let found: Int32 = self.findExact(scope: index)
            if found >= 0 || self.isGivenUp { return found }
        }
        if scope.root >= 0 {
            self.template = RouteCandidate()
            self.prefix = RouteCandidate()
            self.walk(node: scope.root, from: 1, depth: 0, literals: 0, partial: 0)
            if self.isGivenUp { return -1 }
            if self.template.route >= 0 { return self.template.route }
            if self.prefix.route >= 0 { return self.prefix.route }
        }
        return scope.expressionCount > 0 ? self.findExpression(scope) : -1
    }

    /// The first expression of the scope, in file order, that matches the path and has a route for the request.
    private mutating func findExpression(_ scope: RouterScope) -> Int32 {
        let start: Int = Int(scope.expressionStart)
        for index in start..<(start + Int(scope.expressionCount)) {
            self.probes &+= 1
            let candidate: RouterExpression = self.tables.expressions[index]
            guard self.matches(candidate.expression, self.request.path) else {
                if self.isGivenUp { return -1 }
                continue
            }
            var best: RouteCandidate = RouteCandidate()
            self.consider(terminal: candidate.terminal, major: 0, minor: 0, partial: 0, best: &best)
            if best.route >= 0 || self.isGivenUp { return best.route }
        }
        return -1
    }

    private mutating func matches(_ expression: UnsafeRawPointer, _ text: UnsafeRawBufferPointer) -> Bool {
        let expression: RegularExpression = Unmanaged.fromOpaque(expression).takeUnretainedValue()
        do throws(PatternFailure) {
            return try expression.matches(text)
        } catch {
            self.isGivenUp = true
            return false
        }
    }

    private mutating func findExact(scope: Int32) -> Int32 {
        let hash: UInt64 = self.tables.hash.hash(self.path, count: self.pathCount, with: UInt64(UInt32(scope)))
        let mask: Int = self.tables.exactMask
        var slot: Int = Int(truncatingIfNeeded: hash) & mask
        while true {
            self.probes &+= 1
            let entry: RouterExactSlot = self.tables.exact[slot]
            if entry.hash == 0 { return -1 }
            if entry.hash == hash, entry.scope == scope, self.isText(entry.text, self.path, count: self.pathCount) {
                var best: RouteCandidate = RouteCandidate()
                self.consider(terminal: entry.terminal, major: 0, minor: 0, partial: 0, best: &best)
                return best.route
            }
            slot = (slot &+ 1) & mask
        }
    }

    /// Walks the trie from a node; `from` is where the next segment starts, behind its slash, or past the end.
    private mutating func walk(node index: Int32, from: Int, depth: Int, literals: Int, partial: Int) {
        self.probes &+= 1
        let node: RouterNode = self.tables.nodes[Int(index)]
        if node.prefix >= 0 {
            var best: RouteCandidate = self.prefix
            self.consider(terminal: node.prefix, major: depth, minor: literals, partial: partial, best: &best)
            self.prefix = best
        }
        if from > self.pathCount {
            guard node.template >= 0 else { return }
            var best: RouteCandidate = self.template
            self.consider(terminal: node.template, major: literals, minor: 0, partial: partial, best: &best)
            self.template = best
            return
        }
        var end: Int = from
        while end < self.pathCount, self.path.load(fromByteOffset: end, as: UInt8.self) != UInt8(ascii: "/") {
            end &+= 1
        }
        if node.hasLiterals {
            let child: Int32 = self.literalChild(of: index, from: from, count: end &- from)
            if child >= 0 {
                self.walk(node: child, from: end &+ 1, depth: depth &+ 1, literals: literals &+ 1, partial: partial)
            }
        }
        if node.hasPatterns, end > from {
            self.walkPatterns(of: index, from: from, end: end, depth: depth, literals: literals, partial: partial)
        }
        if node.parameter >= 0, end > from {
            self.walk(node: node.parameter, from: end &+ 1, depth: depth &+ 1, literals: literals, partial: partial)
        }
    }

    /// Walks on behind every pattern of a node that the segment fits.
    private mutating func walkPatterns(
        of node: Int32, from: Int, end: Int, depth: Int, literals: Int, partial: Int
    ) {
        var low: Int = 0
        var high: Int = self.tables.patternCount
        while low < high {
            let middle: Int = (low + high) / 2
            if self.tables.patterns[middle].node < node { low = middle + 1 } else { high = middle }
        }
        let segment: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: self.path + from, count: end - from)
        while low < self.tables.patternCount, self.tables.patterns[low].node == node {
            self.probes &+= 1
            let pattern: RouterPattern = self.tables.patterns[low]
            low += 1
            if self.fits(pattern, segment) {
                self.walk(
                    node: pattern.child, from: end &+ 1, depth: depth &+ 1, literals: literals, partial: partial &+ 1)
            }
            // What an expression could not decide may be another policy's business: nothing more is looked at.
            if self.isGivenUp { return }
        }
    }

    private mutating func fits(_ pattern: RouterPattern, _ segment: UnsafeRawBufferPointer) -> Bool {
        let before: Int = Int(pattern.prefix.length)
        let behind: Int = Int(pattern.suffix.length)
        guard segment.count > before + behind, let base: UnsafeRawPointer = segment.baseAddress,
            self.isText(pattern.prefix, base, count: before),
            self.isText(pattern.suffix, base + (segment.count - behind), count: behind)
        else { return false }
        return pattern.expression.map { self.matches($0, segment) } ?? true
    }

    private mutating func literalChild(of node: Int32, from: Int, count: Int) -> Int32 {
        let segment: UnsafeRawPointer = self.path + from
        let hash: UInt64 = self.tables.hash.hash(segment, count: count, with: UInt64(UInt32(node)))
        let mask: Int = self.tables.edgeMask
        var slot: Int = Int(truncatingIfNeeded: hash) & mask
        while true {
            self.probes &+= 1
            let edge: RouterEdgeSlot = self.tables.edges[slot]
            if edge.hash == 0 { return -1 }
            if edge.hash == hash, edge.node == node, self.isText(edge.text, segment, count: count) { return edge.child }
            slot = (slot &+ 1) & mask
        }
    }

    @inline(__always)
    private func isText(_ text: TextRange, _ bytes: UnsafeRawPointer, count: Int) -> Bool {
        guard Int(text.length) == count else { return false }
        guard let own: UnsafeRawPointer = text.start else { return true }
        return ASCIIBytes.equal(own, bytes, count: count)
    }

    // MARK: Entries

    /// Takes the best of a terminal's routes that fits the request when it beats `best`.
    private mutating func consider(
        terminal index: Int32, major: Int, minor: Int, partial: Int, best: inout RouteCandidate
    ) {
        let terminal: RouterTerminal = self.tables.terminals[Int(index)]
        self.known.formUnion(terminal.methods)
        var entryIndex: Int = Int(terminal.entryStart)
        let end: Int = entryIndex + Int(terminal.entryCount)
        while entryIndex < end {
            self.probes &+= 1
            let entry: RouterEntry = self.tables.entries[entryIndex]
            entryIndex &+= 1
            let fit: MethodFit = MethodFit(entry.methods, self.request.method)
            if fit == .no { continue }
            let rank: RouteRank = RouteRank(
                major: major, minor: minor, partial: partial, method: fit, headers: Int(entry.headerCount),
                queries: Int(entry.queryCount))
            if rank < best.rank || rank == best.rank && !self.isEarlier(entry, than: best) { continue }
            if self.meetsConditions(entry) {
                best = RouteCandidate(rank: rank, route: entry.route, api: entry.api, number: entry.number)
            }
        }
    }

    private func isEarlier(_ entry: RouterEntry, than best: RouteCandidate) -> Bool {
        if entry.api == best.api { return entry.number < best.number }
        return self.tables.orders[Int(entry.api)] < self.tables.orders[Int(best.api)]
    }

    private mutating func meetsConditions(_ entry: RouterEntry) -> Bool {
        var index: Int = Int(entry.conditionStart)
        let headersEnd: Int = index + Int(entry.headerCount)
        let end: Int = headersEnd + Int(entry.queryCount)
        while index < headersEnd {
            if !self.meetsHeader(self.tables.conditions[index]) { return false }
            index += 1
        }
        while index < end {
            if !self.meetsQuery(self.tables.conditions[index]) { return false }
            index += 1
        }
        return true
    }

    private mutating func meetsHeader(_ condition: RouterCondition) -> Bool {
        let name: UnsafeRawBufferPointer = condition.name.bytes
        var index: Int = self.request.fields.index(of: name)
        if condition.test == .absent { return index < 0 }
        while index >= 0 {
            if self.meets(condition, self.request.fields.value(at: index)) { return true }
            index = self.request.fields.index(of: name, from: index + 1)
        }
        return false
    }

    private mutating func meetsQuery(_ condition: RouterCondition) -> Bool {
        let name: UnsafeRawBufferPointer = condition.name.bytes
        var from: Int = 0
        while let pair: QueryBytes.Pair = QueryBytes.pair(named: name, in: self.request.query, from: from) {
            if condition.test == .absent { return false }
            let value: UnsafeRawBufferPointer = UnsafeRawBufferPointer(
                rebasing: self.request.query[pair.valueOffset..<(pair.valueOffset + pair.valueLength)])
            if self.meets(condition, value) { return true }
            from = pair.offset + pair.length + 1
        }
        return condition.test == .absent
    }

    private mutating func meets(_ condition: RouterCondition, _ bytes: UnsafeRawBufferPointer) -> Bool {
        let count: Int = Int(condition.value.length)
        switch condition.test {
        case .present: return true
        case .absent: return false
        case .exact: if count != bytes.count { return false }
        case .prefix: if count > bytes.count { return false }
        case .regex: return condition.expression.map { self.matches($0, bytes) } ?? false
        }
        guard let base: UnsafeRawPointer = bytes.baseAddress else { return count == 0 }
        return self.isText(condition.value, base, count: count)
    }
}

/// The normal form of a request's host: lower case, without port and trailing dot.
enum HostBytes {
    /// Writes the normal form and returns its length; 0 when there is none or it is too long to be a name.
    static func normalise(_ host: UnsafeRawBufferPointer, into scratch: UnsafeMutableRawBufferPointer) -> Int {
        var end: Int = host.count
        if host.first == UInt8(ascii: "[") {
            guard let bracket: Int = host.firstIndex(of: UInt8(ascii: "]")) else { return 0 }
            end = bracket + 1
        } else if let colon: Int = host.firstIndex(of: UInt8(ascii: ":")) {
            end = colon
        }
        if end > 0, host[end - 1] == UInt8(ascii: ".") { end -= 1 }
        guard end <= scratch.count else { return 0 }
        for index in 0..<end { scratch[index] = ASCIIBytes.lowered(host[index]) }
        return end
    }
}
