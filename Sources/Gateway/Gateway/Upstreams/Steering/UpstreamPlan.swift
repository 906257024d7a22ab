import GatewayConfiguration

/// What an upstream asks for beyond taking turns among targets, ready to use. Made once for each version of its definition.
final class UpstreamPlan: Sendable {
    let balance: BalanceRule
    let keySource: BalanceKey
    /// Without the zones, which depend on where the gateway stands.
    let view: BalanceView.Rules
    let maglev: MaglevTable?
    let zones: [String?]
    let breaker: CircuitBreaker.Rules?
    let breakerScope: CircuitBreakerDefinition.Scope
    let failureStatuses: StatusSet
    /// Requests on their way are counted.
    let countsLoad: Bool
    /// Results are summed up for comparisons.
    let sumsResults: Bool
    let retries: RetryRules?
    let mirror: MirrorPlan?
    let versions: VersionChoice?
    /// Each target's version by its place.
    let targetVersions: [UInt8]

    /// Nil when taking turns is all: then a request goes the shorter way.
    static func make(_ definition: UpstreamDefinition, _ state: UpstreamState) -> UpstreamPlan? {
        let isPlain: Bool =
            definition.balance == .roundRobin && definition.slowStart == .zero && definition.panicThreshold == 0
            && definition.activeHealth == nil && definition.outliers == nil && definition.circuitBreaker == nil
            && definition.retries == nil && definition.canary == nil && definition.mirror == nil
            && definition.connections.queueMax == 0
            && definition.passiveHealth.statuses.isEmpty && definition.targets.allSatisfy { $0.zone == nil }
        return isPlain ? nil : UpstreamPlan(definition, state)
    }

    private init(_ definition: UpstreamDefinition, _ state: UpstreamState) {
        self.balance = definition.balance
        self.keySource = BalanceKey(definition.hashBy)
        self.view = BalanceView.Rules(
            panicThreshold: definition.panicThreshold, slowStart: definition.slowStart.nanoseconds)
        self.maglev =
            definition.balance == .maglev
            ? MaglevTable(
                names: definition.targets.map { $0.url.text }, weights: definition.targets.map { $0.weight }) : nil
        self.zones = definition.targets.map { $0.zone }
        self.breaker = definition.circuitBreaker.map { CircuitBreaker.Rules($0) }
        self.breakerScope = definition.circuitBreaker?.scope ?? .target
        self.failureStatuses = definition.passiveHealth.statuses
        self.countsLoad = definition.balance == .leastRequests || definition.balance == .powerOfTwo
        self.sumsResults = definition.outliers != nil
        self.retries = definition.retries.map { RetryRules($0) }
        self.mirror = definition.mirror.map { MirrorPlan($0, tls: definition.tls, counts: state.mirror) }
        self.versions = definition.canary.map { VersionChoice($0) }
        let names: [String] = definition.canary?.versions.map(\.name) ?? []
        self.targetVersions = definition.targets.map { (target: TargetDefinition) -> UInt8 in
            UInt8(truncatingIfNeeded: names.firstIndex { $0 == target.version } ?? 0)
        }
    }
}

/// Where a request's key stands, and how it is made a number.
struct BalanceKey: Sendable {
    private let source: HashSource
    /// The name as bytes; of a header field in lower case.
    private let name: [UInt8]

    init(_ source: HashSource) {
        self.source = source
        switch source {
        case .address, .path: self.name = []
        case .header(let name), .cookie(let name), .query(let name): self.name = Array(name.utf8)
        }
    }

    /// The request's key as a number; 0 when it has none.
    func number(_ request: RequestView) -> UInt64 {
        switch self.source {
        case .address:
            var bytes: (UInt64, UInt64) = (request.remote.high, request.remote.low)
            return withUnsafeBytes(of: &bytes) { StableHash.hash($0) }
        case .path: return StableHash.hash(request.path)
        case .header, .cookie, .query: return self.hash(self.text(request))
        }
    }

    /// The value itself, where the source has one: not of an address, not of a path.
    func text(_ request: RequestView) -> UnsafeRawBufferPointer? {
        switch self.source {
        case .address, .path: return nil
        case .header: return self.header(request)
        case .cookie: return CookieBytes.value(of: self.name, in: request.fields)
        case .query:
            let pair: QueryBytes.Pair? = self.name.withUnsafeBytes { QueryBytes.pair(named: $0, in: request.query) }
            guard let pair, let base: UnsafeRawPointer = request.query.baseAddress else { return nil }
            return UnsafeRawBufferPointer(start: base + pair.valueOffset, count: pair.valueLength)
        }
    }

    private func header(_ request: RequestView) -> UnsafeRawBufferPointer? {
        let index: Int = self.name.withUnsafeBytes { request.fields.index(of: $0) }
        return index < 0 ? nil : request.fields.value(at: index)
    }

    private func hash(_ value: UnsafeRawBufferPointer?) -> UInt64 {
        guard let value, value.count > 0 else { return 0 }
        return StableHash.hash(value)
    }
}

/// Reads cookies of a request in place (RFC 6265 section 4.2.1).
enum CookieBytes {
    private static let header: [UInt8] = Array("cookie".utf8)

    /// The value of the first cookie of this name, without quotes around it.
    static func value(of name: [UInt8], in fields: FieldTable) -> UnsafeRawBufferPointer? {
        var start: Int = 0
        while true {
            let index: Int = self.header.withUnsafeBytes { fields.index(of: $0, from: start) }
            if index < 0 { return nil }
            if let value: UnsafeRawBufferPointer = self.value(of: name, in: fields.value(at: index)) { return value }
            start = index + 1
        }
    }

    static func value(of name: [UInt8], in line: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var position: Int = 0
        while position < line.count {
            while position < line.count, line[position] == 0x20 || line[position] == UInt8(ascii: ";") { position += 1 }
            var end: Int = position
            while end < line.count, line[end] != UInt8(ascii: ";") { end += 1 }
            if self.begins(line, at: position, end: end, with: name) {
                return self.unquoted(line, position + name.count + 1, end)
            }
            position = end
        }
        return nil
    }

    private static func begins(
        _ line: UnsafeRawBufferPointer, at start: Int, end: Int, with name: [UInt8]
    ) -> Bool {
        guard end - start > name.count, line[start + name.count] == UInt8(ascii: "=") else { return false }
        for index in name.indices where line[start + index] != name[index] { return false }
        return true
    }

    private static func unquoted(_ line: UnsafeRawBufferPointer, _ start: Int, _ end: Int) -> UnsafeRawBufferPointer {
        var start: Int = start
        var end: Int = end
        while end > start, line[end - 1] == 0x20 { end -= 1 }
        if end - start >= 2, line[start] == UInt8(ascii: "\""), line[end - 1] == UInt8(ascii: "\"") {
            start += 1
            end -= 1
        }
        return UnsafeRawBufferPointer(rebasing: line[start..<end])
    }
}
