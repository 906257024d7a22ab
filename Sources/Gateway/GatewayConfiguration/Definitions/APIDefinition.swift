/// One API as a gateway serves it: where it listens, which routes it has, where they lead, which policies stand before them.
package struct APIDefinition: Sendable, Equatable {
    /// Opaque to the gateway; unique within the tenant. Required.
    package var id: String
    /// The organisation that owns it; only its applications may call it. Default `default`.
    package var tenant: String
    /// What subscriptions name. One API of a tenant may be here several times, once an environment; all of those are one product.
    /// Default: the id.
    package var product: String
    /// What people call it; shown in explanations and metrics. Default: the id.
    package var name: String
    /// Number of the revision, 1 or more; shown, never interpreted. Default: none.
    package var revision: Int64?
    /// Hosts it answers for; exact (`api.example.com`) or wildcard (`*.example.com`). Default: empty, any host.
    package var hosts: [HostPattern]
    /// Which version of the API this is. Default: none, routes are as they are written.
    package var version: VersionDefinition?
    /// Its routes, at least one.
    package var routes: [RouteDefinition]
    /// Where its requests go. Required.
    package var upstream: UpstreamDefinition
    /// Policies for every route. Default: none.
    package var policies: [PolicyDefinition]
    /// What to do with `%2F` and `%5C` in a path. Default `refuse`.
    package var encodedSlashes: EncodedSlashes

    package init(
        id: String, tenant: String = EntryRules.defaultTenant, product: String? = nil, name: String? = nil,
        revision: Int64? = nil, hosts: [HostPattern] = [], version: VersionDefinition? = nil,
        routes: [RouteDefinition], upstream: UpstreamDefinition, policies: [PolicyDefinition] = [],
        encodedSlashes: EncodedSlashes = .refuse
    ) {
        self.id = id
        self.tenant = tenant
        self.product = product ?? id
        self.name = name ?? id
        self.revision = revision
        self.hosts = hosts
        self.version = version
        self.routes = routes
        self.upstream = upstream
        self.policies = policies
        self.encodedSlashes = encodedSlashes
    }

    package var key: EntryKey { EntryKey(tenant: self.tenant, id: self.id) }

    /// The product as subscriptions of the tenant find it.
    package var productKey: EntryKey { EntryKey(tenant: self.tenant, id: self.product) }

    /// Routes of one API at most.
    package static let routesMax: Int = 200_000
    /// Hosts of one API at most.
    package static let hostsMax: Int = 256
}

/// Whether a path may hold an encoded slash or backslash.
///
/// Some upstreams decode `%2F` before they choose a handler, and so see another path than the one the policies were chosen
/// for: refusing (400) is the safe default. `keep` treats it as data inside a segment, for APIs whose ids hold slashes.
package enum EncodedSlashes: String, Sendable, Equatable, CaseIterable {
    case refuse
    case keep
}

/// One route of an API: which requests it takes, and what it adds to the API's policies.
package struct RouteDefinition: Sendable, Equatable {
    /// Names the route in metrics and keeps its limits' counts across changes. Default: methods, path and conditions as text.
    package var id: String
    /// Exact path, template, prefix or regular expression.
    package var path: PathPattern
    /// Methods it takes, upper case. `GET` brings `HEAD`. Default: empty, every method.
    package var methods: [String]
    /// What header fields of a request must be. Default: none.
    package var headers: [RouteCondition]
    /// What query parameters of a request must be. Default: none.
    package var query: [RouteCondition]
    /// Policies of this route: limits add to the API's, every other kind replaces the API's. Default: none.
    package var policies: [PolicyDefinition]
    /// Where its requests go instead of the API's upstream. Default: there.
    package var upstream: UpstreamDefinition? {
        get { self.ownUpstream?.definition }
        set { self.ownUpstream = newValue.map { Apart($0) } }
    }
    /// What one of its requests takes from rate limits and quotas, 1 to 1,000,000. Default 1.
    package var cost: Int
    private var ownUpstream: Apart?

    /// Hardly any route has an upstream of its own, and in place it would make up three quarters of each route.
    private final class Apart: Sendable, Equatable {
        let definition: UpstreamDefinition

        init(_ definition: UpstreamDefinition) { self.definition = definition }

        static func == (left: Apart, right: Apart) -> Bool { left.definition == right.definition }
    }

    package init(
        id: String? = nil, path: PathPattern, methods: [String] = [], headers: [RouteCondition] = [],
        query: [RouteCondition] = [],
        policies: [PolicyDefinition] = [], upstream: UpstreamDefinition? = nil, cost: Int = 1
    ) {
        self.ownUpstream = upstream.map { Apart($0) }
        self.cost = cost
        self.path = path
        self.methods = methods
        self.headers = headers
        self.query = query
        self.policies = policies
        self.id = id ?? Self.derivedID(path: path, methods: methods, headers: headers, query: query)
    }

    /// The id of a route that gives none, such as `GET,PUT /orders/{id}`.
    package static func derivedID(
        path: PathPattern, methods: [String], headers: [RouteCondition], query: [RouteCondition]
    ) -> String {
        var text: String = methods.isEmpty ? "" : methods.joined(separator: ",") + " "
        text += path.text
        for condition in query { text += " ?\(condition.name)=\(condition.testText)" }
        for condition in headers { text += " \(condition.name):\(condition.testText)" }
        return text
    }

    /// Methods of one route at most.
    package static let methodsMax: Int = 32
    package static let costs: ClosedRange<Int> = 1...1_000_000
    /// Header conditions, and query conditions, of one route at most.
    package static let conditionsMax: Int = 16
}
