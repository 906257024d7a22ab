import GatewayConfiguration
import HTTP
import Testing

@testable import Gateway

/// Compares the router with the rules of routing written down as plainly as possible, on seeded random routes and requests.
struct RouterPropertyTests {
    /// The rules, route by route.
    private struct NaiveMatcher {
        let apis: [APIDefinition]

        private struct Candidate {
            let id: String
            let rank: [Int]
        }

        func outcome(_ request: SampleRequest) -> String {
            var best: Candidate?
            var known: MethodSet = []
            var order: Int = 0
            for api in self.apis {
                for route in api.routes {
                    order += 1
                    guard let host: [Int] = self.hostRank(api.hosts, request.host),
                        let path: [Int] = self.pathRank(
                            route.path, request.path, order: self.groupOrder(route.path.text, host, request.host))
                    else { continue }
                    let methods: MethodSet = MethodSet(names: route.methods)
                    known.formUnion(methods.isEmpty ? .all : methods)
                    guard let method: Int = self.methodRank(methods, request.method), self.meets(route, request) else {
                        continue
                    }
                    let rank: [Int] = host + path + [method, route.headers.count, route.query.count, -order]
                    if best == nil || best!.rank.lexicographicallyPrecedes(rank) {
                        best = Candidate(id: route.id, rank: rank)
                    }
                }
            }
            if let best { return best.id }
            if known.isEmpty { return "404" }
            if known.contains(request.method) || (request.method == .head && known.contains(.get)) { return "404" }
            let allow: String = String(decoding: known.allowText, as: UTF8.self)
            return request.method == .options ? "204 " + allow : "405 " + allow
        }

        /// Routes with one expression on one host stand where the first of them stands.
        private func groupOrder(_ text: String, _ rank: [Int], _ host: String) -> Int {
            var order: Int = 0
            for api in self.apis {
                let isThere: Bool = self.hostRank(api.hosts, host) == rank
                for route in api.routes {
                    order += 1
                    if isThere && route.path.text == text { return order }
                }
            }
            return order
        }

        private func hostRank(_ hosts: [HostPattern], _ host: String) -> [Int]? {
            if hosts.isEmpty { return [0, 0] }
            var best: [Int]?
            for pattern in hosts {
                var rank: [Int]?
                if pattern.isWildcard {
                    if host.hasSuffix("." + pattern.name) { rank = [1, pattern.name.split(separator: ".").count] }
                } else if host == pattern.name {
                    rank = [2, 0]
                }
                if let rank, best == nil || best!.lexicographicallyPrecedes(rank) { best = rank }
            }
            return best
        }

        private func pathRank(_ pattern: PathPattern, _ path: String, order: Int) -> [Int]? {
            let segments: [String] = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(
                String.init)
            if pattern.kind == .regex { return self.expressionMatches(pattern, segments) ? [-1, -order, 0, 0] : nil }
            let isPrefix: Bool = pattern.kind == .prefix
            guard isPrefix ? segments.count >= pattern.segments.count : segments.count == pattern.segments.count else {
                return nil
            }
            for (segment, found) in zip(pattern.segments, segments) {
                switch segment {
                case .literal(let literal): if literal != found { return nil }
                case .parameter: if found.isEmpty { return nil }
                case .pattern(let pattern): if !self.fits(pattern.text, found) { return nil }
                }
            }
            let partial: Int = pattern.segments.filter { $0.isPattern }.count
            switch pattern.kind {
            case .exact: return [2, 0, 0, 0]
            case .template: return [1, pattern.literalCount, 0, partial]
            case .prefix, .regex: return [0, pattern.segments.count, pattern.literalCount, partial]
            }
        }

        /// The expressions of the sample: `/[ab]`, `/[ab]/.*` and `/a.*`.
        private func expressionMatches(_ pattern: PathPattern, _ segments: [String]) -> Bool {
            switch pattern.text {
            case "~/[ab]": return segments == ["a"] || segments == ["b"]
            case "~/[ab]/.*": return segments.count > 1 && (segments[0] == "a" || segments[0] == "b")
            default: return segments[0].hasPrefix("a")
            }
        }

        /// The patterns of the sample: `{n}.x`, `{n:[ab]}` and `b{n}-{m}`.
        private func fits(_ pattern: String, _ segment: String) -> Bool {
            if pattern.hasSuffix(".x") { return segment.hasSuffix(".x") && segment.count > 2 }
            if pattern.contains(":") { return segment == "a" || segment == "b" }
            guard segment.hasPrefix("b"), let dash: String.Index = segment.firstIndex(of: "-") else { return false }
            return segment.index(after: segment.startIndex) < dash && segment.index(after: dash) < segment.endIndex
        }

        private func methodRank(_ methods: MethodSet, _ method: MethodCode) -> Int? {
            if methods.isEmpty { return 0 }
            if methods.contains(method) { return 2 }
            return method == .head && methods.contains(.get) ? 1 : nil
        }

        private func meets(_ route: RouteDefinition, _ request: SampleRequest) -> Bool {
            for condition in route.headers {
                let values: [String] = request.headers.filter { $0.0.lowercased() == condition.name }.map { $0.1 }
                if !self.meets(condition.test, values) { return false }
            }
            for condition in route.query {
                var values: [String] = []
                for pair in request.query.split(separator: "&") {
                    let parts: [Substring] = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                    if parts[0] == condition.name { values.append(parts.count > 1 ? String(parts[1]) : "") }
                }
                if !self.meets(condition.test, values) { return false }
            }
            return true
        }

        /// The expressions of the sample are `1|2` and nothing else.
        private func meets(_ test: RouteCondition.Test, _ values: [String]) -> Bool {
            switch test {
            case .present: return !values.isEmpty
            case .absent: return values.isEmpty
            case .exact(let value): return values.contains(value)
            case .prefix(let value): return values.contains { $0.hasPrefix(value) }
            case .regex: return values.contains("1") || values.contains("2")
            }
        }
    }

    /// Small alphabets, so that routes meet.
    private struct Source {
        var numbers: SeededNumbers

        mutating func one<Value>(_ values: [Value]) -> Value { values.randomElement(using: &self.numbers)! }

        mutating func route() throws -> RouteDefinition {
            var path: String = ""
            for position in 0..<Int.random(in: 0...3, using: &self.numbers) {
                path += self.one([
                    "/a", "/b", "/c", "/{p\(position)}", "/{p\(position)}", "/{n\(position)}.x", "/{n\(position):[ab]}",
                    "/b{n\(position)}-{m\(position)}",
                ])
            }
            path += self.one(["", "", "/", "/*"])
            if path.isEmpty { path = "/" }
            var pattern: PathPattern = try PathPattern(parsing: path)
            if Int.random(in: 0..<4, using: &self.numbers) == 0 {
                pattern = PathPattern(regex: try TextExpression(parsing: self.one(["/[ab]", "/[ab]/.*", "/a.*"])))
            }
            let methods: [String] = self.one([[], ["GET"], ["POST"], ["GET", "PUT"], ["HEAD"], ["OPTIONS"]])
            let headers: [RouteCondition] = self.one([
                [], [], [RouteCondition(name: "x", value: "1")], [RouteCondition(name: "x", value: nil)],
                [RouteCondition(name: "x", value: "1"), RouteCondition(name: "y", value: "1")],
                [RouteCondition(name: "x", test: .absent)], [RouteCondition(name: "y", test: .prefix("1"))],
                [RouteCondition(name: "x", test: .regex(try TextExpression(parsing: "1|2")))],
            ])
            let query: [RouteCondition] = self.one([
                [], [], [RouteCondition(name: "q", value: "1")],
                [RouteCondition(name: "q", value: nil), RouteCondition(name: "r", value: "")],
                [RouteCondition(name: "r", test: .absent)], [RouteCondition(name: "q", test: .prefix(""))],
                [RouteCondition(name: "q", test: .regex(try TextExpression(parsing: "1|2")))],
            ])
            return RouteDefinition(
                path: pattern, methods: methods, headers: headers, query: query)
        }

        mutating func request() -> SampleRequest {
            var path: String = ""
            for _ in 0..<Int.random(in: 0...4, using: &self.numbers) {
                path += self.one(["/a", "/b", "/c", "/d", "/a.x", "/b1-2", "/b-", "/.x"])
            }
            path += self.one(["", "/"])
            if path.isEmpty { path = "/" }
            return SampleRequest(
                method: self.one([.get, .head, .post, .put, .options, .other]),
                host: self.one(["", "x.example", "y.x.example", "z.y.x.example", "example"]), path: path,
                query: self.one(["", "q=1", "q=2&r=", "r&q=1"]),
                headers: self.one([[], [("X", "1")], [("x", "2")], [("y", "1"), ("x", "2"), ("X", "1")]]))
        }
    }

    @Test(arguments: Array(1...24)) func agreesWithThePlainRules(_ seed: UInt64) throws {
        var source: Source = Source(numbers: SeededNumbers(seed: seed))
        var apis: [APIDefinition] = []
        for number in 0..<6 {
            var api: APIDefinition = try Sample.api("a\(number)", routes: ["* /unused\(number)"])
            api.hosts = try source.one([[], [], ["x.example"], ["*.x.example"], ["*.example", "y.x.example"]]).map {
                try HostPattern(parsing: $0)
            }
            for _ in 0..<Int.random(in: 1...12, using: &source.numbers) {
                var route: RouteDefinition = try source.route()
                route.id = "\(api.id) \(api.routes.count)"
                api.routes.append(route)
            }
            apis.append(api)
        }
        // Conflicts are taken out one by one until none is left.
        var quarantined: [Quarantine] = []
        var snapshot: Snapshot
        let live: LiveState = LiveState(subjectsMax: 1024)
        repeat {
            (snapshot, quarantined) = Snapshot.compile(GatewayDocument(apis: apis), previous: nil, carrying: live)
            for entry in quarantined {
                let index: Int = try #require(apis.firstIndex { $0.key == entry.key })
                apis[index].routes.removeLast()
            }
        } while !quarantined.isEmpty
        let naive: NaiveMatcher = NaiveMatcher(apis: apis)
        for number in 0..<250 {
            let request: SampleRequest = source.request()
            let outcome: String = snapshot.outcome(request)
            #expect(outcome == naive.outcome(request), "seed \(seed): \(request)")
            // Explaining looks at every route, and is asked less often.
            if number % 10 == 0 { #expect(snapshot.explained(request) == outcome, "seed \(seed): \(request)") }
        }
    }
}
