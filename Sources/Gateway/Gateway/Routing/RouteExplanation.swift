package import GatewayConfiguration
import HTTP
import Patterns

/// A request as somebody asks about it: `routes explain METHOD URL -H …`.
package struct ExplainedRequest: Sendable {
    package var method: String
    /// With or without port; empty: none.
    package var host: String
    /// As it would be sent, without query.
    package var path: String
    package var query: String
    package var headers: [(name: String, value: String)]

    package init(
        method: String, host: String = "", path: String, query: String = "",
        headers: [(name: String, value: String)] = []
    ) {
        self.method = method
        self.host = host
        self.path = path
        self.query = query
        self.headers = headers
    }
}

/// Which routes could take a request, which one does, and why.
package struct RouteExplanation: Sendable, Equatable {
    package enum Outcome: Sendable, Equatable {
        /// The first candidate takes it.
        case route
        /// 405, with the value of `Allow`.
        case methodNotAllowed(allow: String)
        /// 204, with the value of `Allow`.
        case options(allow: String)
        /// 500: an expression that stands before every other route that fits passes its bounds with this request.
        case undecided
        /// 404.
        case noRoute
        /// 400: the path has no form that every server reads the same.
        case pathRefused
    }

    /// A route whose host and path fit the request.
    package struct Candidate: Sendable, Equatable {
        package let api: EntryKey
        package let route: String
        package let path: String
        /// The host pattern that fits, or "any".
        package let host: String
        package let verdict: Verdict
    }

    package enum Verdict: Sendable, Equatable {
        case wins
        /// Fits, but another one comes first; the text says in which respect.
        case loses(String)
        /// Does not fit; the text says what is missing.
        case excluded(String)
    }

    package let outcome: Outcome
    /// The path as it is matched and forwarded.
    package let path: String
    /// Best first, those that do not fit last.
    package let candidates: [Candidate]

    /// The explanation as lines for a terminal.
    package var lines: [String] {
        var lines: [String] = []
        switch self.outcome {
        case .route: lines.append("\(self.path) is taken by:")
        case .methodNotAllowed(let allow): lines.append("\(self.path) does not take this method: 405, Allow: \(allow)")
        case .options(let allow): lines.append("\(self.path) is answered by the gateway: 204, Allow: \(allow)")
        case .undecided: lines.append("\(self.path) is refused: 500, an expression passes its bounds")
        case .noRoute: lines.append("\(self.path) has no route: 404")
        case .pathRefused: lines.append("the path is refused: 400, servers read it differently")
        }
        for candidate in self.candidates {
            let name: String = "\(candidate.route) (API \(candidate.api.text), host \(candidate.host))"
            switch candidate.verdict {
            case .wins: lines.append("  > \(name)")
            case .loses(let why): lines.append("    \(name): \(why)")
            case .excluded(let why): lines.append("  - \(name): \(why)")
            }
        }
        return lines
    }
}

extension Snapshot {
    /// Explains what becomes of a request: the router that serves decides, and every route is looked at for the words. For people,
    /// not for requests.
    package func explain(_ request: ExplainedRequest) -> RouteExplanation {
        var explainer: RouteExplainer = RouteExplainer(request)
        guard explainer.screen() else {
            return RouteExplanation(outcome: .pathRefused, path: request.path, candidates: [])
        }
        var order: Int = 0
        for api in self.apis {
            for route in api.routes {
                explainer.consider(route, of: api, order: order)
                order += 1
            }
        }
        let match: Match = explainer.withView { self.match($0) }
        guard case .route(let index) = match else { return explainer.explanation(match, winner: nil) }
        return explainer.explanation(match, winner: self.route(at: index))
    }
}

/// The rules of routing, route by route, in words. What becomes of the request is not decided here.
private struct RouteExplainer {
    /// What routes are compared by, first difference first; greater wins.
    private struct Standing {
        static let respects: [String] = [
            "the other's host is more exact", "the other's wildcard is longer",
            "the other's path is of a more exact kind", "the other's path has more literal segments",
            "the other's prefix is longer", "the other's prefix has more literal segments",
            "the other's path has more segments with text or a rule",
            "the other's expression stands earlier",
            "the other names the method", "the other asks for more headers", "the other asks for more query parameters",
            "the other stands earlier",
        ]

        /// Values that the path gives.
        static let pathCount: Int = 6
        /// Where the order of expressions stands among the values.
        static let expressionPlace: Int = 7

        var values: [Int]

        func respect(against winner: Standing) -> String {
            for (index, value) in self.values.enumerated() where value != winner.values[index] {
                return Standing.respects[index]
            }
            return Standing.respects[Standing.respects.count - 1]
        }
    }

    private struct Entry {
        let api: EntryKey
        let route: CompiledRoute
        let host: String
        var standing: Standing
        /// The host pattern and the expression, of routes whose path is one.
        let group: ExpressionGroup?
        /// What keeps it from taking the request; nil: nothing.
        let missing: String?
    }

    /// Routes with one expression stand together, where the first of them stands.
    private struct ExpressionGroup: Hashable {
        let host: String
        let expression: TextExpression
    }

    private let request: ExplainedRequest
    private let method: MethodCode
    private let host: String
    private var path: String = ""
    private var entries: [Entry] = []
    private var groupOrders: [ExpressionGroup: Int] = [:]
    /// An expression of the route that is looked at passed its bounds.
    private var gaveUp: Bool = false

    init(_ request: ExplainedRequest) {
        self.request = request
        self.method = MethodCode(request.method)
        var host: [UInt8] = [UInt8](repeating: 0, count: HostPattern.lengthMax + 1)
        let count: Int = host.withUnsafeMutableBytes { scratch in
            Array(request.host.utf8).withUnsafeBytes { HostBytes.normalise($0, into: scratch) }
        }
        self.host = String(decoding: host[..<count], as: UTF8.self)
    }

    /// Brings the path into its normal form; false when it has none.
    mutating func screen() -> Bool {
        let bytes: [UInt8] = Array(self.request.path.utf8)
        var scratch: [UInt8] = [UInt8](repeating: 0, count: PathScreen.scratchNeeded(bytes.count))
        let result: PathScreen.Result = bytes.withUnsafeBytes { raw in
            scratch.withUnsafeMutableBytes { PathScreen.screen(raw, scratch: $0) }
        }
        switch result.verdict {
        case .refused: return false
        case .plain: self.path = self.request.path
        case .rewritten: self.path = String(decoding: scratch[..<result.length], as: UTF8.self)
        }
        return true
    }

    /// The request as the router sees it.
    func withView<Result>(_ body: (RequestView) -> Result) -> Result {
        RequestView.with(
            method: self.method, host: self.request.host, path: self.path, query: self.request.query,
            headers: self.request.headers, body)
    }

    mutating func consider(_ route: CompiledRoute, of api: CompiledAPI, order: Int) {
        guard let (host, hostRank): (String, [Int]) = self.bestHost(api.definition.hosts) else { return }
        // Of a route's forms, one that fits says more than one that does not.
        var best: Entry?
        for form in route.forms {
            let group: ExpressionGroup? = form.path.expression.map { ExpressionGroup(host: host, expression: $0) }
            if let group { self.groupOrders[group] = min(order, self.groupOrders[group] ?? order) }
            self.gaveUp = false
            let pathRank: [Int]? = self.pathRank(form.path)
            // The router stops at an expression that passes its bounds, also where what stands behind it would not fit.
            guard pathRank != nil || self.gaveUp else { continue }
            let fit: MethodFit = MethodFit(route.methods, self.method)
            let counts: [Int] = [form.headers.count, form.query.count, -order]
            let missing: String? = self.missing(form, fit)
            let pathValues: [Int] = pathRank ?? [Int](repeating: 0, count: Standing.pathCount)
            let entry: Entry = Entry(
                api: api.key, route: route, host: host,
                standing: Standing(values: hostRank + pathValues + [Int(fit.rawValue)] + counts), group: group,
                missing: self.gaveUp ? "its expression passes its bounds with this request" : missing)
            if best == nil || entry.missing == nil { best = entry }
        }
        if let best { self.entries.append(best) }
    }

    private func bestHost(_ hosts: [HostPattern]) -> (String, [Int])? {
        if hosts.isEmpty { return ("any", [0, 0]) }
        var best: (String, [Int])?
        for host in hosts {
            let rank: [Int]
            if !host.isWildcard && host.name == self.host {
                rank = [2, 0]
            } else if host.isWildcard && self.host.hasSuffix("." + host.name) {
                rank = [1, host.name.split(separator: ".").count]
            } else {
                continue
            }
            if best == nil || best!.1.lexicographicallyPrecedes(rank) { best = (host.text, rank) }
        }
        return best
    }

    /// Whether an expression matches; one that passes its bounds counts as if it did.
    private mutating func holds(_ match: () throws(PatternFailure) -> Bool) -> Bool {
        do throws(PatternFailure) {
            return try match()
        } catch {
            self.gaveUp = true
            return true
        }
    }

    private mutating func pathRank(_ pattern: PathPattern) -> [Int]? {
        let path: String = self.path
        if let expression: TextExpression = pattern.expression {
            let isMatch: Bool = self.holds { () throws(PatternFailure) in try expression.expression.matches(path) }
            return isMatch ? [-1, 0, 0, 0, 0, 0] : nil
        }
        let found: [Substring] = self.path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        let wanted: [PathPattern.Segment] = pattern.segments
        for (segment, text) in zip(wanted, found) {
            switch segment {
            case .literal(let literal): if literal != text { return nil }
            case .parameter: if text.isEmpty { return nil }
            case .pattern(let pattern):
                let segment: [UInt8] = Array(text.utf8)
                guard self.holds({ () throws(PatternFailure) in try pattern.matches(segment) }) else { return nil }
            }
        }
        guard pattern.kind == .prefix ? found.count >= wanted.count : found.count == wanted.count else { return nil }
        switch pattern.kind {
        case .exact: return [2, 0, 0, 0, 0, 0]
        case .template: return [1, pattern.literalCount, 0, 0, pattern.patternCount, 0]
        case .prefix, .regex: return [0, 0, wanted.count, pattern.literalCount, pattern.patternCount, 0]
        }
    }

    private mutating func missing(_ route: RouteDefinition, _ fit: MethodFit) -> String? {
        if fit == .no { return "takes \(route.methods.joined(separator: ", ")) only" }
        for condition in route.headers {
            let values: [String] = self.request.headers.filter { $0.name.lowercased() == condition.name }.map {
                $0.value
            }
            if !self.meets(condition, values) { return self.text(condition, "header") }
        }
        for condition in route.query where !self.meets(condition, self.queryValues(condition.name)) {
            return self.text(condition, "query parameter")
        }
        return nil
    }

    private mutating func meets(_ condition: RouteCondition, _ values: [String]) -> Bool {
        switch condition.test {
        case .present: return !values.isEmpty
        case .absent: return values.isEmpty
        case .exact(let wanted): return values.contains(wanted)
        case .prefix(let wanted): return values.contains { $0.hasPrefix(wanted) }
        case .regex(let wanted):
            for value in values {
                let isMet: Bool = self.holds { () throws(PatternFailure) in try wanted.expression.matches(value) }
                if isMet { return true }
            }
            return false
        }
    }

    private func text(_ condition: RouteCondition, _ kind: String) -> String {
        switch condition.test {
        case .present: return "asks for the \(kind) \(condition.name)"
        case .absent: return "asks for no \(kind) \(condition.name)"
        case .exact(let wanted): return "asks for the \(kind) \(condition.name): \(wanted)"
        case .prefix(let wanted): return "asks for the \(kind) \(condition.name) to begin with \(wanted)"
        case .regex(let wanted): return "asks for the \(kind) \(condition.name) to match \(wanted.source)"
        }
    }

    private func queryValues(_ name: String) -> [String] {
        var values: [String] = []
        for pair in self.request.query.split(separator: "&") {
            let parts: [Substring] = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts[0] == name { values.append(parts.count > 1 ? String(parts[1]) : "") }
        }
        return values
    }

    /// - Parameter winner: the route that takes the request; nil: none does.
    mutating func explanation(_ match: Match, winner route: CompiledRoute?) -> RouteExplanation {
        for (index, entry) in self.entries.enumerated() {
            guard let group: ExpressionGroup = entry.group, let order: Int = self.groupOrders[group] else { continue }
            self.entries[index].standing.values[Standing.expressionPlace] = -order
        }
        let sorted: [Entry] = self.entries.sorted { first, second in
            if (first.route === route) != (second.route === route) { return first.route === route }
            if (first.missing == nil) != (second.missing == nil) { return first.missing == nil }
            return second.standing.values.lexicographicallyPrecedes(first.standing.values)
        }
        let winner: Entry? = sorted.first.flatMap { $0.route === route ? $0 : nil }
        var candidates: [RouteExplanation.Candidate] = []
        for entry in sorted {
            let verdict: RouteExplanation.Verdict
            if let winner, entry.route === winner.route {
                verdict = .wins
            } else if let missing: String = entry.missing {
                verdict = .excluded(missing)
            } else if let winner {
                verdict = .loses(entry.standing.respect(against: winner.standing))
            } else {
                verdict = .loses("an expression that is looked at before passes its bounds")
            }
            candidates.append(
                RouteExplanation.Candidate(
                    api: entry.api, route: entry.route.id, path: entry.route.path, host: entry.host, verdict: verdict))
        }
        return RouteExplanation(outcome: Self.outcome(match), path: self.path, candidates: candidates)
    }

    private static func outcome(_ match: Match) -> RouteExplanation.Outcome {
        switch match {
        case .route: .route
        case .methodNotAllowed(let allow): .methodNotAllowed(allow: String(decoding: allow, as: UTF8.self))
        case .options(let allow): .options(allow: String(decoding: allow, as: UTF8.self))
        case .undecided: .undecided
        case .none: .noRoute
        }
    }
}
