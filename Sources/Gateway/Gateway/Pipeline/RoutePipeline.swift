import GatewayConfiguration

/// The stages of one route, in the order they run. Made when its API is compiled; immutable.
///
/// A route that has none of the policies that need a stage has no pipeline: its requests are decided by `Snapshot.decide` alone.
final class RoutePipeline: Sendable {
    let requestStages: [RequestStage]
    let responseStages: [ResponseStage]
    /// Whether a stage counts connections.
    let countsConnections: Bool

    /// The stages of policies, between those that every pipeline has.
    init(_ stages: StageList) {
        var requests: [RequestStage] = stages.requests
        requests.append(AdmissionStage())
        if !requests.contains(where: { $0.rank == .authentication }) { requests.append(KeyStage()) }
        requests.append(LimitStage())
        self.requestStages = RoutePipeline.sorted(requests)
        self.countsConnections = requests.contains { $0.countsConnections }
        var responses: [ResponseStage] = stages.responses
        responses.sort { $0.rank < $1.rank }
        self.responseStages = responses
    }

    /// By rank; those of one rank stay in the order they were added, built-in ones first.
    private static func sorted(_ stages: [RequestStage]) -> [RequestStage] {
        var sorted: [RequestStage] = []
        for rank in RequestRank.allCases {
            for stage in stages where stage.rank == rank && stage.isBuiltIn { sorted.append(stage) }
            for stage in stages where stage.rank == rank && !stage.isBuiltIn { sorted.append(stage) }
        }
        return sorted
    }
}

/// Collects the stages of one route.
struct StageList {
    var requests: [RequestStage] = []
    var responses: [ResponseStage] = []

    /// Whether a decision does all that they do.
    var isDecided: Bool { self.responses.isEmpty && self.requests.allSatisfy { $0.isDecided } }
}

/// What a stage may need when it is made.
struct StageContext {
    let api: APIDefinition
    let route: RouteDefinition
    let policies: EffectivePolicies
    let live: LiveState
}

extension RoutePipeline {
    /// The pipeline that the policies of a route ask for; nil: none.
    static func make(_ context: StageContext) -> RoutePipeline? {
        var stages: StageList = StageList()
        if let stage: AuthenticationStage = AuthenticationStage(context) { stages.requests.append(stage) }
        for policy in context.policies.staged { self.add(policy, context, to: &stages) }
        if let extra: StageExtension = context.live.stageExtension {
            extra.add(context.api, context.route, &stages)
        }
        return stages.isDecided ? nil : RoutePipeline(stages)
    }

    /// The stages of one policy.
    private static func add(_ policy: PolicyDefinition, _ context: StageContext, to stages: inout StageList) {
        switch policy {
        case .idempotency(let policy):
            stages.requests.append(
                IdempotencyStage(
                    policy, tenant: context.api.tenant, route: "\(context.api.key.text) \(context.route.id)",
                    store: context.live.idempotency, shared: context.live.claims))
            stages.responses.append(IdempotencyAnswerStage())
        case .connectionLimit(let policy):
            // The API's own is one limit for all of its routes.
            let isOfRoute: Bool = context.route.policies.contains { $0.kind == "connection_limit" }
            let name: String = context.api.key.text + (isOfRoute ? " \(context.route.id)" : "")
            stages.requests.append(
                ConnectionLimitStage(
                    policy, name: name, counts: context.live.connections, share: context.live.share))
        case .acl(let policy): stages.requests.append(AccessControlStage(policy))
        case .identityHeaders(let policy): stages.requests.append(IdentityHeadersStage(policy))
        case .cache(let policy):
            stages.requests.append(
                CacheStage(policy, api: context.api, route: context.route, store: context.live.cache))
            stages.responses.append(CacheStoreStage())
        case .compression(let policy): stages.responses.append(CompressionStage(policy))
        case .externalAuthorization(let policy):
            stages.requests.append(ExternalAuthorizationStage(policy, client: context.live.calls.client()))
        case .validation(let policy):
            let counts: ValidationCounts = context.live.validation.counts(of: context.api.key.text)
            stages.requests.append(ValidationStage(policy, counts))
            if policy.responses != .off { stages.responses.append(ValidationResponseStage(policy, counts)) }
        case .mock(let policy): stages.requests.append(MockStage(policy))
        case .cors(let policy): stages.requests.append(CORSStage(policy))
        case .securityHeaders(let policy):
            stages.requests.append(SecurityHeadersStage(policy))
            stages.responses.append(SecurityHeadersResponseStage(policy))
        case .rewrite(let policy): stages.requests.append(RewriteStage(policy))
        case .redirect(let policy): stages.requests.append(RedirectStage(policy))
        case .transform(let policy):
            stages.requests.append(TransformStage(policy.request, readsResponse: !policy.response.body.isEmpty))
            if policy.response != MessageTransform() {
                stages.responses.append(TransformResponseStage(policy.response))
            }
        default: break
        }
    }
}

/// Stages beside those of policies.
struct StageExtension: Sendable {
    let add: @Sendable (APIDefinition, RouteDefinition, inout StageList) -> Void
}
