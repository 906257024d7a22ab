import Documents
import GatewayConfiguration
import HTTP

@testable import Gateway

/// Documents for tests, written as users write them.
enum Sample {
    /// Reads YAML without the `version`.
    static func document(_ yaml: String) throws -> GatewayDocument {
        try GatewayDocument.read(Array(("version: 1\n" + yaml).utf8))
    }

    static func snapshot(_ yaml: String, live: LiveState = LiveState(subjectsMax: 1024)) throws -> Snapshot {
        Snapshot.compile(try self.document(yaml), previous: nil, carrying: live).snapshot
    }

    /// One API `a` whose routes are written as `METHODS PATH`, methods separated by commas and `*` for all.
    static func api(_ id: String = "a", hosts: [String] = [], routes: [String]) throws -> APIDefinition {
        var definitions: [RouteDefinition] = []
        for route in routes {
            let parts: [Substring] = route.split(separator: " ")
            let methods: [String] = parts[0] == "*" ? [] : parts[0].split(separator: ",").map(String.init)
            definitions.append(
                RouteDefinition(id: route, path: try PathPattern(parsing: String(parts[1])), methods: methods))
        }
        return APIDefinition(
            id: id, hosts: try hosts.map { try HostPattern(parsing: $0) }, routes: definitions,
            upstream: UpstreamDefinition(targets: [
                TargetDefinition(url: try TargetURL(parsing: "http://127.0.0.1:9700"))
            ]))
    }
}

extension Snapshot {
    /// The id of the route a request takes, or how it is refused.
    func outcome(_ request: SampleRequest) -> String {
        request.withView { view in
            switch self.match(view) {
            case .route(let index): return self.routes[index.value].id
            case .methodNotAllowed(let allow): return "405 " + String(decoding: allow, as: UTF8.self)
            case .options(let allow): return "204 " + String(decoding: allow, as: UTF8.self)
            case .undecided: return "500"
            case .none: return "404"
            }
        }
    }

    /// The same as its explanation says it.
    func explained(_ request: SampleRequest) -> String {
        // A method that routes cannot name has no name here either.
        let method: String = request.method == .other ? "PURGE" : "\(request.method.name)"
        let explanation: RouteExplanation = self.explain(
            ExplainedRequest(
                method: method, host: request.host, path: request.path, query: request.query,
                headers: request.headers.map { (name: $0.0, value: $0.1) }))
        switch explanation.outcome {
        case .route: return explanation.candidates[0].route
        case .methodNotAllowed(let allow): return "405 " + allow
        case .options(let allow): return "204 " + allow
        case .undecided: return "500"
        case .noRoute: return "404"
        case .pathRefused: return "400"
        }
    }
}
