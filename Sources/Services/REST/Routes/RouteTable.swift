/// Finds the route of a request by method and path segments; built once at start, immutable afterwards.
///
/// A tree of segments: a literal child is preferred over a parameter. Cost follows the number of segments.
struct RouteTable: Sendable {
    enum Outcome {
        case route(index: Int, parameters: [String: String])
        case methodNotAllowed(allow: [String])
        case none
    }

    private struct Node: Sendable {
        var literals: [String: Int] = [:]
        var parameter: (name: String, node: Int)?
        var routes: [String: Int] = [:]
    }

    private var nodes: [Node] = [Node()]

    /// - Precondition: no two routes share method and path shape, and a parameter has one name at its place.
    init(_ routes: [Route]) {
        for (index, route) in routes.enumerated() {
            var at: Int = 0
            for segment in Self.segments(route.path) { at = self.child(of: at, segment: segment) }
            precondition(self.nodes[at].routes[route.method] == nil, "two routes for \(route.method) \(route.path)")
            self.nodes[at].routes[route.method] = index
        }
    }

    private mutating func child(of parent: Int, segment: String) -> Int {
        if segment.utf8.first == UInt8(ascii: "{") {
            let name: String = String(segment.dropFirst().dropLast())
            if let known = self.nodes[parent].parameter {
                precondition(known.name == name, "path parameter {\(name)} is called {\(known.name)} elsewhere")
                return known.node
            }
            self.nodes.append(Node())
            self.nodes[parent].parameter = (name, self.nodes.count - 1)
            return self.nodes.count - 1
        }
        if let known: Int = self.nodes[parent].literals[segment] { return known }
        self.nodes.append(Node())
        self.nodes[parent].literals[segment] = self.nodes.count - 1
        return self.nodes.count - 1
    }

    /// - Parameter segments: the path's segments, percent-decoded.
    func find(method: String, segments: [String]) -> Outcome {
        var parameters: [String: String] = [:]
        guard let node: Int = self.walk(0, segments[...], &parameters) else { return .none }
        let routes: [String: Int] = self.nodes[node].routes
        if let index: Int = routes[method] { return .route(index: index, parameters: parameters) }
        if method == "HEAD", let index: Int = routes["GET"] { return .route(index: index, parameters: parameters) }
        if routes.isEmpty { return .none }
        var allow: [String] = routes.keys.sorted()
        if routes["GET"] != nil { allow.append("HEAD") }
        return .methodNotAllowed(allow: allow)
    }

    private func walk(_ node: Int, _ rest: ArraySlice<String>, _ parameters: inout [String: String]) -> Int? {
        guard let segment: String = rest.first else { return self.nodes[node].routes.isEmpty ? nil : node }
        if let next: Int = self.nodes[node].literals[segment],
            let found: Int = self.walk(next, rest.dropFirst(), &parameters)
        {
            return found
        }
        guard let parameter = self.nodes[node].parameter, !segment.isEmpty else { return nil }
        guard let found: Int = self.walk(parameter.node, rest.dropFirst(), &parameters) else { return nil }
        parameters[parameter.name] = segment
        return found
    }

    static func segments(_ path: String) -> [String] {
        path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map(String.init)
    }
}
