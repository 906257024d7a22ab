package import GatewayConfiguration

/// An API ready to serve. Made once for each version of its definition and carried from snapshot to snapshot.
package final class CompiledAPI: Sendable {
    package let definition: APIDefinition
    package let key: EntryKey
    /// In the order of the definition.
    package let routes: [CompiledRoute]
    package let upstream: CompiledUpstream
    /// The API's own first, then those of routes that have one.
    let upstreams: [CompiledUpstream]

    init(_ definition: APIDefinition, live: LiveState) {
        self.definition = definition
        self.key = definition.key
        self.upstream = CompiledUpstream(definition, definition.upstream, live: live)
        var upstreams: [CompiledUpstream] = [self.upstream]
        var routes: [CompiledRoute] = []
        routes.reserveCapacity(definition.routes.count)
        // Shared by the routes that add nothing to it.
        let policies: EffectivePolicies = EffectivePolicies(api: definition.policies, route: [])
        for route in definition.routes {
            let own: CompiledUpstream? = route.upstream.map {
                CompiledUpstream(definition, $0, route: route.id, live: live)
            }
            if let own { upstreams.append(own) }
            routes.append(
                CompiledRoute(
                    route, of: definition, upstream: own,
                    policies: route.policies.isEmpty
                        ? policies : EffectivePolicies(api: definition.policies, route: route.policies),
                    live: live))
        }
        self.routes = routes
        self.upstreams = upstreams
    }

    /// What says where its targets are.
    var places: [TargetDefinitionPlace] { self.upstreams.flatMap { $0.places } }
}

/// A route ready to serve: what the engine needs besides the decision.
package final class CompiledRoute: Sendable {
    /// The route's id, as in records and explanations.
    package let id: String
    /// The path as it is written.
    package let path: String
    package let identity: IdentityNumber
    /// Bytes of a request's body at most; the engine counts those of undeclared length.
    package let bodyBytesMax: Int64
    package let timeouts: RouteTimeouts
    /// Changes to the request's fields; nil: none.
    package let requestHeaders: CompiledHeaderChanges?
    /// Changes to the response's fields; nil: none.
    package let responseHeaders: CompiledHeaderChanges?

    let definition: RouteDefinition
    /// Where its requests go instead of the API's upstream; nil: there.
    let ownUpstream: CompiledUpstream?
    /// The definition with the version of its API in it; nil: the API has none.
    private let versioned: [RouteDefinition]?
    let methods: MethodSet
    let policies: EffectivePolicies
    /// The stages of policies that need more than a decision; nil: none.
    let pipeline: RoutePipeline?
    /// Whether a policy answers preflights of CORS.
    let answersPreflights: Bool

    init(
        _ route: RouteDefinition, of api: APIDefinition, upstream: CompiledUpstream?, policies: EffectivePolicies,
        live: LiveState
    ) {
        self.definition = route
        self.ownUpstream = upstream
        self.versioned = api.version == nil ? nil : api.forms(of: route)
        self.id = route.id
        self.path = route.path.text
        self.methods = MethodSet(names: route.methods)
        self.identity = live.identities.number(
            Identity(kind: .route, tenant: api.tenant, api: api.id, detail: route.id))
        self.policies = policies
        self.bodyBytesMax = self.policies.bodyBytesMax
        self.timeouts = RouteTimeouts(self.policies.timeouts)
        self.requestHeaders = CompiledHeaderChanges(self.policies.headers.request)
        self.responseHeaders = CompiledHeaderChanges(self.policies.headers.response)
        self.answersPreflights = self.policies.staged.contains { $0.kind == "cors" }
        self.pipeline = RoutePipeline.make(
            StageContext(api: api, route: route, policies: self.policies, live: live))
    }

    /// What requests are matched by: the definition, or with the version of its API in it.
    var forms: [RouteDefinition] { self.versioned ?? [self.definition] }

    /// The changes without a reference count; good as long as the route.
    var responseHeadersInUse: Unmanaged<CompiledHeaderChanges>? {
        self.responseHeaders.map { Unmanaged.passUnretained($0) }
    }
}

/// Time-outs of a route in nanoseconds.
package struct RouteTimeouts: Sendable, BitwiseCopyable {
    package let connect: UInt64
    package let response: UInt64
    package let idle: UInt64
    /// Of an exchange as a whole; `.max`: no limit.
    package let total: UInt64

    /// What routes without an own policy have.
    static let standard: RouteTimeouts = RouteTimeouts(TimeoutPolicy())

    init(_ policy: TimeoutPolicy) {
        self.connect = Self.nanoseconds(policy.connect)
        self.response = Self.nanoseconds(policy.response)
        self.idle = Self.nanoseconds(policy.idle)
        self.total = policy.total == .zero ? .max : Self.nanoseconds(policy.total)
    }

    private static func nanoseconds(_ duration: Duration) -> UInt64 {
        let parts: (seconds: Int64, attoseconds: Int64) = duration.components
        return UInt64(parts.seconds) * 1_000_000_000 + UInt64(parts.attoseconds / 1_000_000_000)
    }
}

/// Field changes ready to apply: names to leave out, lines to add.
package final class CompiledHeaderChanges: Sendable {
    /// Lower-case names of fields left out: those removed and those set.
    package let names: [[UInt8]]
    /// Complete lines of the fields set and added (`name: value` CR LF).
    package let lines: [UInt8]

    /// Nil when there is nothing to change.
    init?(_ changes: HeaderPolicy.Changes) {
        if changes.isEmpty { return nil }
        var names: [[UInt8]] = []
        var lines: [UInt8] = []
        for name in changes.remove { names.append(Array(name.utf8)) }
        for field in changes.set {
            names.append(Array(field.name.utf8))
            lines.append(contentsOf: "\(field.name): \(field.value)\r\n".utf8)
        }
        for field in changes.add { lines.append(contentsOf: "\(field.name): \(field.value)\r\n".utf8) }
        self.names = names
        self.lines = lines
    }
}

/// Where an API's requests go, or those of one route of it, with what is known of each target.
package final class CompiledUpstream: Sendable {
    /// `tenant/api`, of a route's own with its id behind it: the same for every version.
    package let key: String
    let api: EntryKey
    /// Id of the route whose own it is; nil: the API's.
    let route: String?
    package let definition: UpstreamDefinition
    package let targets: [CompiledTarget]
    let state: UpstreamState
    /// What it does beyond taking turns; nil: nothing.
    let plan: UpstreamPlan?
    /// What says where its requests go, copies included.
    let places: [TargetDefinitionPlace]
    /// It shows a certificate, whose file may change.
    let hasCertificate: Bool

    init(_ api: APIDefinition, _ definition: UpstreamDefinition, route: String? = nil, live: LiveState) {
        let key: String = route.map { "\(api.key.text)|\($0)" } ?? api.key.text
        self.key = key
        self.api = api.key
        self.route = route
        self.definition = definition
        self.state = live.upstream(key)
        self.plan = UpstreamPlan.make(definition, self.state)
        var targets: [CompiledTarget] = []
        for target in definition.targets {
            let url: String = target.url.text
            let identity: Identity = Identity(kind: .target, tenant: api.tenant, api: api.id, detail: url)
            targets.append(
                CompiledTarget(
                    url: target.url, service: target.service, weight: target.weight,
                    state: live.target("\(key) \(url)"),
                    identity: live.identities.number(identity)))
        }
        self.targets = targets
        var places: [TargetDefinitionPlace] = targets.map { $0.place }
        if let mirror: MirrorPlan = self.plan?.mirror { places.append(mirror.place) }
        self.places = places
        self.hasCertificate = definition.tls.certificate != nil || self.plan?.mirror?.tls.certificate != nil
    }
}

/// One server of an upstream.
package struct CompiledTarget: Sendable {
    package let url: TargetURL
    /// The name of SRV records that say where it is; nil: the URL does.
    let service: String?
    package let weight: Int
    /// Kept across snapshots while the API has a target with this URL.
    package let state: TargetState
    /// For records.
    package let identity: IdentityNumber

    /// What says where it is.
    var place: TargetDefinitionPlace { TargetDefinitionPlace(self.url, service: self.service) }
}

/// The policies of a route after the API's and its own are put together: limits add up, any other kind replaces.
struct EffectivePolicies: Sendable {
    /// A limit of any kind and whether the API or the route brought it.
    struct Limit: Sendable {
        let policy: LimitPolicy
        let isOfRoute: Bool
    }

    var key: APIKeyPolicy?
    var allowsAnonymous: Bool = false
    var addresses: AddressPolicy = AddressPolicy()
    var bodyBytesMax: Int64 = RequestSizePolicy.bytesDefault
    var timeouts: TimeoutPolicy = TimeoutPolicy()
    var headers: HeaderPolicy = HeaderPolicy()
    var limits: [Limit] = []
    var hasOwnLimits: Bool = false
    /// How callers are identified, all kinds; the route's own in place of the API's.
    var authentication: [PolicyDefinition] = []
    /// The ACL among those below.
    var accessControl: ACLPolicy? {
        for case .acl(let policy) in self.staged { return policy }
        return nil
    }
    /// Policies that become stages of the route's pipeline; one of each kind, the route's own in place of the API's.
    var staged: [PolicyDefinition] = []

    init(api: [PolicyDefinition], route: [PolicyDefinition]) {
        self.apply(api, isOfRoute: false)
        // Authentication is one kind: a route that names any of it replaces all of the API's.
        if route.contains(where: { $0.isAuthentication }) {
            self.authentication = []
            self.key = nil
            self.allowsAnonymous = false
        }
        self.apply(route, isOfRoute: true)
    }

    private mutating func apply(_ policies: [PolicyDefinition], isOfRoute: Bool) {
        for policy in policies {
            if policy.isAuthentication { self.authentication.append(policy) }
            switch policy {
            case .jwt, .introspection, .basic, .signature, .clientCertificate: break
            case .apiKey(let policy): self.key = policy
            case .anonymous: self.allowsAnonymous = true
            case .rateLimit(let policy): self.addLimit(.rate(policy), isOfRoute: isOfRoute)
            case .quota(let policy): self.addLimit(.quota(policy), isOfRoute: isOfRoute)
            case .concurrency(let policy): self.addLimit(.concurrency(policy), isOfRoute: isOfRoute)
            case .spikeArrest(let policy): self.addLimit(.spike(policy), isOfRoute: isOfRoute)
            case .addresses(let policy): self.addresses = policy
            case .requestSize(let policy): self.bodyBytesMax = policy.bytesMax
            case .timeouts(let policy): self.timeouts = policy
            case .headers(let policy): self.headers = policy
            default:
                self.staged.removeAll { $0.kind == policy.kind }
                self.staged.append(policy)
            }
        }
    }

    private mutating func addLimit(_ policy: LimitPolicy, isOfRoute: Bool) {
        self.limits.append(Limit(policy: policy, isOfRoute: isOfRoute))
        if isOfRoute { self.hasOwnLimits = true }
    }

    var access: RouteRules.Access {
        if self.key == nil { return .open }
        return self.allowsAnonymous ? .optionalKey : .requiredKey
    }
}
