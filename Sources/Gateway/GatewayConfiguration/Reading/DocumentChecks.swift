import Documents

/// What can only be judged when the whole document is known: ids, keys, references and routes that meet.
///
/// A class, because the readers of three lists fill it in turn. One thread.
final class DocumentChecks {
    private struct RouteKey: Hashable {
        let host: HostPattern?
        let shape: String
        let kind: PathPattern.Kind
        let method: String
        let headers: Set<RouteCondition>
        let query: Set<RouteCondition>
    }

    private struct TenantKey: Hashable {
        let tenant: String
        let digest: KeyDigest
    }

    private var apis: Set<EntryKey> = []
    private var products: Set<EntryKey> = []
    private var plans: Set<EntryKey> = []
    private var tenants: Set<String> = []
    private var applicationKeys: Set<EntryKey> = []
    private var applications: [(definition: ApplicationDefinition, places: ApplicationPlaces)] = []
    private var keys: Set<TenantKey> = []
    private var routes: [RouteKey: String] = [:]

    func add(_ plan: PlanDefinition, at place: NodeDecoder) {
        if self.plans.insert(plan.key).inserted { return }
        place.problem("expected an id that no other plan of the tenant has, found '\(plan.id)' again")
    }

    func add(_ tenant: TenantDefinition, at place: NodeDecoder) {
        if self.tenants.insert(tenant.name).inserted { return }
        place.problem("expected one entry for each tenant, found '\(tenant.name)' again")
    }

    func add(_ api: APIDefinition, at place: NodeDecoder, routes places: [NodeDecoder]) {
        if !self.apis.insert(api.key).inserted {
            place.problem("expected an id that no other API of the tenant has, found '\(api.id)' again")
        }
        self.products.insert(api.productKey)
        for finding in DefinitionRules.findings(of: api) {
            let route: NodeDecoder? = finding.route.map { places[$0] }
            (route ?? place).problem(finding.message)
        }
        for (index, route) in api.routes.enumerated() {
            for form in api.forms(of: route) { self.add(form, of: api, at: places[index]) }
        }
    }

    /// Two routes conflict when they take the same requests with the same rank.
    private func add(_ route: RouteDefinition, of api: APIDefinition, at place: NodeDecoder) {
        let hosts: [HostPattern?] = api.hosts.isEmpty ? [nil] : api.hosts.map { Optional($0) }
        let methods: [String] = route.methods.isEmpty ? ["any"] : route.methods
        let name: String = "the route at \(place.node.position)"
        var reported: Set<String> = []
        for host in hosts {
            for method in methods {
                let key: RouteKey = RouteKey(
                    host: host, shape: route.path.shape, kind: route.path.kind, method: method,
                    headers: Set(route.headers),
                    query: Set(route.query))
                guard let other: String = self.routes[key] else {
                    self.routes[key] = name
                    continue
                }
                guard reported.insert(other).inserted else { continue }
                place.problem(
                    "this route takes the same requests (host \(host?.text ?? "any"), method \(method)) as \(other)")
            }
        }
    }

    func add(_ application: ApplicationDefinition, at place: NodeDecoder, _ places: ApplicationPlaces) {
        if !self.applicationKeys.insert(application.key).inserted {
            place.problem("expected an id that no other application of the tenant has, found '\(application.id)' again")
        }
        for (key, keyPlace) in zip(application.keys, places.keys) {
            if self.keys.insert(TenantKey(tenant: application.tenant, digest: key.digest)).inserted { continue }
            keyPlace.problem("expected a key that no application of the tenant has yet")
        }
        for (credential, credentialPlace) in zip(application.credentials, places.credentials) {
            let key: TenantKey = TenantKey(tenant: application.tenant, digest: credential.digest)
            if self.keys.insert(key).inserted { continue }
            credentialPlace.problem("expected a credential that no application of the tenant has yet")
        }
        self.applications.append((application, places))
    }

    /// Subscriptions name APIs and plans of their own tenant, each API once.
    func checkReferences() {
        for (application, places) in self.applications {
            let tenant: String = application.tenant
            var seen: Set<String> = []
            for (subscription, place) in zip(application.subscriptions, places.subscriptions) {
                if !self.products.contains(EntryKey(tenant: tenant, id: subscription.api)) {
                    place.problem("expected an API of the tenant '\(tenant)', found '\(subscription.api)'")
                }
                if let plan: String = subscription.plan, !self.plans.contains(EntryKey(tenant: tenant, id: plan)) {
                    place.problem("expected a plan of the tenant '\(tenant)', found '\(plan)'")
                }
                if !seen.insert(subscription.api).inserted {
                    place.problem("expected one subscription for each API, found '\(subscription.api)' again")
                }
            }
        }
    }
}
