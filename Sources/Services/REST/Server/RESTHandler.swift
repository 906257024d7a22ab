import Bytes
package import Contracts
package import Crypto
import EventLoops
import GatewayConfiguration
package import HTTP
import Identifiers
import JSON
import JSONSchema
package import Store
import Telemetry
import Time

/// Serves the routes of all services: finds the route, establishes the caller, decides access, checks parameters and body,
/// runs the handler, and turns whatever it throws into a problem document.
///
/// Immutable after start; `respond` runs on the cooperative pool, many at a time.
package final class RESTHandler: Sendable {
    /// Largest JSON body, bytes. Documents have their own limit on their route.
    package static let bodyBytesMax: Int = 1 << 20
    /// Bytes that are read of a body where none is expected.
    static let unwantedBytesMax: Int = 4 << 10

    private let routes: [CompiledRoute]
    private let table: RouteTable
    private let authenticator: any Authenticator
    private let services: ServiceEnvironment
    private let refusals: RefusalRecorder
    /// Which certificates of callers were revoked by authorities elsewhere.
    private let refuses: (@Sendable (Certificate) -> Bool)?
    private let description: [UInt8]
    private let requests: RequestMetrics
    private let catalog: (any CatalogOffer)?
    private let edge: Edge

    /// - Parameter catalog: knows which tenants there are: nothing changes in one that is not, or that ends.
    /// - Parameter edge: what happens to every request before it finds its route.
    /// - Precondition: the routes do not collide and their schemas compile; both are the programmer's and fail at start.
    package init(
        routes: [Route], authenticator: any Authenticator, services: ServiceEnvironment, version: String,
        catalog: (any CatalogOffer)? = nil, refuses: (@Sendable (Certificate) -> Bool)? = nil, edge: Edge = Edge()
    ) {
        self.refuses = refuses
        self.catalog = catalog
        self.edge = edge
        self.routes = routes.map { CompiledRoute($0) }
        self.table = RouteTable(routes)
        self.authenticator = authenticator
        self.services = services
        self.refusals = RefusalRecorder(services: services)
        self.description = APIDescription.make(routes: routes, version: version).serialized()
        self.requests = RequestMetrics(registry: services.metrics, operations: routes.map(\.operationID))
    }

    package static let migrations: ServiceMigrations = ServiceMigrations(
        service: "rest",
        steps: [
            Migration(
                number: 1, name: "idempotency",
                sql: """
                    CREATE TABLE rest_idempotency (
                        caller text NOT NULL, route text NOT NULL, key text NOT NULL, request_hash text NOT NULL,
                        status int64 NOT NULL, fields text NOT NULL, body bytes NOT NULL, created_at int64 NOT NULL,
                        PRIMARY KEY (caller, route, key));
                    CREATE INDEX rest_idempotency_age ON rest_idempotency (created_at);
                    """),
            Migration(
                number: 2, name: "quotas of tenants",
                sql: """
                    CREATE TABLE tenant_quotas (
                        tenant text NOT NULL, name text NOT NULL, maximum int64 NOT NULL, PRIMARY KEY (tenant, name));
                    """),
        ])

    /// Housekeeping once a minute: expired idempotency keys, sums of anonymous refusals. Returns when cancelled.
    package func run() async {
        while !Task.isCancelled {
            guard (try? await self.services.clock.sleep(for: .seconds(60))) != nil else { return }
            await self.refusals.flush()
            do {
                while try await self.services.store.write({ try IdempotencyKey.expire(in: $0) }) {}
            } catch {
                self.services.logger.log(
                    .warning, "idempotency keys could not be expired", ["error": .string("\(error)")])
            }
        }
    }

    package func respond(to received: HTTPRequest) async -> HTTPResponse {
        let started: UInt64 = self.services.clock.monotonic()
        let request: HTTPRequest = self.edge.asSent(received)
        let trace: TraceContext =
            request.fields["traceparent"].flatMap { TraceContext(traceparent: $0) }?.child() ?? TraceContext.make()
        let language: Language = Language(acceptLanguage: request.fields["Accept-Language"])
        let sharing: [CORSGrants.Field]
        switch await self.edge.sharing(request) {
        case .fields(let fields): sharing = fields
        case .preflight(let fields):
            return HTTPResponse(status: 204, fields: HTTPFields(fields), body: .bytes([]))
        }
        var (response, index): (HTTPResponse, Int)
        if self.services.logger.level == .debug {
            let statements: StatementLog = StatementLog()
            (response, index) = await StatementLog.$current.withValue(statements) {
                await self.answer(request, trace: trace, language: language)
            }
            self.log(request, response.status, index, trace, statements)
        } else {
            (response, index) = await self.answer(request, trace: trace, language: language)
        }
        for field in sharing { response.fields.append(field.name, field.value) }
        self.requests.record(
            route: index, status: response.status, nanoseconds: self.services.clock.monotonic() - started)
        return Self.guarded(response)
    }

    /// Nothing here is for caches that a route does not offer to them: answers hold keys, tokens and what only their caller may see.
    /// And nothing is what it looks like to a browser, but what it says it is.
    private static func guarded(_ response: HTTPResponse) -> HTTPResponse {
        var guarded: HTTPResponse = response
        if !guarded.fields.contains("Cache-Control") { guarded.fields.append("Cache-Control", "no-store") }
        guarded.fields.set("X-Content-Type-Options", "nosniff")
        return guarded
    }

    /// What a request cost, for who looks for what is slow, or for what tells apart what must look alike.
    private func log(
        _ request: HTTPRequest, _ status: Int, _ index: Int, _ trace: TraceContext, _ statements: StatementLog
    ) {
        let name: String = index < self.routes.count ? self.routes[index].route.operationID : ""
        self.services.logger.debug(
            "request",
            [
                "method": .string(request.method.name), "operation": .string(name), "status": .int(Int64(status)),
                "trace_id": .string(trace.traceID), "statements": .array(statements.texts.map { .string($0) }),
            ])
    }

    /// The answer, and the route's index: that of none where there is no such route.
    private func answer(
        _ request: HTTPRequest, trace: TraceContext, language: Language
    ) async -> (response: HTTPResponse, index: Int) {
        var index: Int = self.routes.count
        do {
            let response: HTTPResponse = try await self.answer(
                request, trace: trace, language: language, routeIndex: &index)
            return (response, index)
        } catch {
            let problem: APIProblem = self.problem(for: error, trace: trace, request: request)
            return (problem.response(traceID: trace.traceID, instance: request.path, language: language), index)
        }
    }

    private func answer(
        _ request: HTTPRequest, trace: TraceContext, language: Language, routeIndex: inout Int
    ) async throws -> HTTPResponse {
        if request.path == "/openapi.json", request.method == .get || request.method == .head {
            try self.admit(nil, request)
            return Self.document(self.description)
        }
        let (route, parameters): (CompiledRoute, [String: String])
        do {
            (route, parameters) = try self.route(request, index: &routeIndex)
        } catch {
            try self.admit(nil, request)
            throw error
        }
        let caller: Caller? = try await self.authorise(request, route: route, parameters: parameters, trace: trace)
        let query: [String: String] = try route.query(of: request)
        let scope: String? = try await self.scope(caller, route: route, query: query, trace: trace)
        try await self.requireTenant(parameters["tenant"] ?? scope, of: route.route)
        if route.route.isCritical, let caller: Caller,
            await self.authenticator.isStepUpDue(for: caller, enrolling: route.route.isEnrolment)
        {
            throw StepUp.isDue(for: caller)
        }
        let (body, bytes): (JSONValue, [UInt8]) = try await route.body(of: request)
        try await self.requireStillValid(caller, request)
        try await self.decideAgain(
            caller, route: route, tenant: parameters["tenant"] ?? scope,
            environment: query["environment"] ?? body["environment"]?.text, trace: trace)
        let access: APIAccess? = Self.apiAccess(
            caller, route: route, tenant: parameters["tenant"],
            environment: parameters["environment"] ?? query["environment"] ?? body["environment"]?.text)
        let context: RequestContext = RequestContext(
            request: request, authenticated: caller, parameters: parameters, query: query, body: body, bytes: bytes,
            trace: trace, language: language, services: self.services, scope: scope,
            apiAccess: access,
            idempotency: try self.idempotencyKey(request, route: route.route, caller: caller, body: body, bytes: bytes))
        do {
            let started: UInt64 = self.services.clock.monotonic()
            let response: HTTPResponse = try await route.route.handler(context)
            try access?.requireAsked()
            // What was waited for is for who may still have it.
            let waited: Duration = .nanoseconds(Int64(clamping: self.services.clock.monotonic() - started))
            if request.method == .get, waited >= Self.watchEvery { try await self.requireStillValid(caller, request) }
            return self.watched(response, request, caller)
        } catch let refusal as AccessRefusal {
            await self.refusals.record(
                context.caller, what: route.route.operationID, tenant: context.tenant, rule: refusal.rule, trace: trace)
            throw refusal.problem
        }
    }

    /// What the handler has to decide: the caller may do it, but for some APIs alone.
    private static func apiAccess(
        _ caller: Caller?, route: CompiledRoute, tenant: String?, environment: String?
    ) -> APIAccess? {
        guard let labels: Route.Labels = route.route.labels, labels != .tenant, let caller: Caller, let tenant: String,
            case .tenant(let permission) = route.route.access
        else { return nil }
        let environment: String? = route.environment == .none ? nil : environment
        if caller.decide(permission, tenant: tenant, environment: environment).isAllowed { return nil }
        return APIAccess(caller, permission, tenant: tenant, environment: environment)
    }

    /// A body may come slowly, and an answer be waited for: what was allowed in the beginning must hold then, too.
    private func requireStillValid(_ caller: Caller?, _ request: HTTPRequest) async throws {
        guard let caller: Caller, let header: String = request.fields["Authorization"],
            await self.bearer(header, ip: caller.ip)?.isAs(caller) != true
        else { return }
        throw Self.unauthenticated(
            "The token has ended, or its roles have changed, since the request began. Send it again.",
            "invalid_token")
    }

    /// How often it is looked whether who takes a stream may still have it.
    private static let watchEvery: Duration = .seconds(1)

    /// A stream that ends as soon as its caller's credential does, or their roles have changed: what they may see then they find out
    /// by asking again. Whatever is answered at once needs none of it.
    private func watched(_ response: HTTPResponse, _ request: HTTPRequest, _ caller: Caller?) -> HTTPResponse {
        guard case .stream(let producer) = response.body, let caller: Caller,
            let header: String = request.fields["Authorization"]
        else { return response }
        var watched: HTTPResponse = response
        watched.body = .stream { writer in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await producer(writer) }
                group.addTask {
                    repeat {
                        try await self.services.clock.sleep(for: Self.watchEvery)
                    } while await self.bearer(header, ip: caller.ip)?.isAs(caller) == true
                    writer.abandon()
                    throw HTTPError.disconnected
                }
                defer { group.cancelAll() }
                try await group.next()
            }
        }
        return watched
    }

    private static func document(_ bytes: [UInt8]) -> HTTPResponse {
        var fields: HTTPFields = HTTPFields()
        fields.append("Content-Type", "application/json")
        return HTTPResponse(status: 200, fields: fields, body: .bytes(bytes))
    }

    private func route(_ request: HTTPRequest, index: inout Int) throws -> (CompiledRoute, [String: String]) {
        var segments: [String] = []
        for raw in RouteTable.segments(request.path) {
            guard let segment: String = PercentCoding.decode(raw), !segment.utf8.contains(0) else {
                throw APIProblem(.invalidRequest, "The path has an invalid percent-encoding.")
            }
            segments.append(segment)
        }
        switch self.table.find(method: request.method.name, segments: segments) {
        case .none:
            throw APIProblem(.notFound, "There is no such path. /openapi.json lists what is there.")
        case .methodNotAllowed(let allow):
            var problem: APIProblem = APIProblem(.methodNotAllowed, "This path takes \(allow.joined(separator: ", ")).")
            problem.fields.append((name: "Allow", value: allow.joined(separator: ", ")))
            throw problem
        case .route(let found, let parameters):
            index = found
            return (self.routes[found], parameters)
        }
    }

    // MARK: Access

    private func authorise(
        _ request: HTTPRequest, route compiled: CompiledRoute, parameters: [String: String], trace: TraceContext
    ) async throws -> Caller? {
        let route: Route = compiled.route
        let ip: String = request.remoteAddress.host
        var caller: Caller?
        try await self.requireUnrevoked(request, of: route, ip: ip)
        if let header: String = request.fields["Authorization"] {
            caller = await self.bearer(header, ip: ip)
            if caller == nil, !route.isOpen {
                try self.admit(nil, request)
                self.refusals.countAnonymous(ip: ip, account: "")
                throw Self.unauthenticated(
                    "The token is not valid: it may be expired or revoked. Sign in again.", "invalid_token")
            }
        }
        if route.isOpen {
            try self.admit(caller, request)
            return caller
        }
        if caller == nil, route.isForGateways, let certificate: Certificate = request.clientCertificate {
            caller = await self.authenticator.authenticate(certificate: certificate.fingerprint, ip: ip)
            if caller == nil {
                self.refusals.countAnonymous(ip: ip, account: "")
                throw Self.unauthenticated(
                    "The certificate is none of a gateway that may call: it may have ended or been revoked.", nil)
            }
        }
        try self.admit(caller, request)
        guard let caller: Caller else {
            self.refusals.countAnonymous(ip: ip, account: "")
            throw Self.unauthenticated("Send a token: Authorization: Bearer …. POST /v1/sessions gives one.", nil)
        }
        let environment: KnownEnvironment =
            switch compiled.environment {
            case .none: .known(nil)
            case .path: .known(parameters["environment"])
            case .query, .body: .later
            }
        try await self.decide(
            caller, route: route, tenant: parameters["tenant"], environment: environment, trace: trace)
        return caller
    }

    /// Refuses whoever has sent too many requests. Nothing of it goes to the audit log: what floods the platform must not flood that.
    private func admit(_ caller: Caller?, _ request: HTTPRequest) throws(APIProblem) {
        guard let excess = self.edge.excess(request, of: caller, now: self.services.clock.monotonic()) else { return }
        self.requests.limited(excess.sender)
        var problem: APIProblem = APIProblem(
            .tooManyRequests,
            "More requests than the platform takes from one sender: RateLimit-Policy says how many. Wait for Retry-After seconds."
        )
        problem.fields = excess.fields
        throw problem
    }

    /// Refuses whoever shows a certificate that was revoked, whatever else they send.
    private func requireUnrevoked(_ request: HTTPRequest, of route: Route, ip: String) async throws {
        guard let certificate: Certificate = request.clientCertificate else { return }
        if self.refuses?(certificate) != true {
            // Whoever calls by the certificate alone is looked up by it below.
            if route.isForGateways, request.fields["Authorization"] == nil { return }
            guard try await self.authenticator.isRevoked(certificate: certificate.fingerprint) else { return }
        }
        self.refusals.countAnonymous(ip: ip, account: "")
        throw Self.unauthenticated("The certificate of this connection was revoked. Connect with another one.", nil)
    }

    private func bearer(_ header: String, ip: String) async -> Caller? {
        guard case .bearer(let token) = AuthorizationField(header) else { return nil }
        return await self.authenticator.authenticate(bearer: token, ip: ip)
    }

    /// What is known of the environment a request is about when a decision is due.
    private enum KnownEnvironment {
        case known(String?)
        /// It stands in what is read later: until then it is enough that some environment would do.
        case later
    }

    private func decide(
        _ caller: Caller, route: Route, tenant: String?, environment: KnownEnvironment, trace: TraceContext
    ) async throws {
        let permission: Permission
        switch route.access {
        // A scoped route's tenant stands in its query, which is read after this.
        case .anyone, .scoped: return
        case .authenticated:
            // Who calls, and what lets them in, every token may ask; the rest only one that is for that service.
            guard let token: TokenLimits = caller.token, route.tag != "identity", !token.reach(service: route.tag)
            else { return }
            await self.refusals.record(
                caller, what: route.operationID, tenant: "", rule: "the token \(token.id) is not for \(route.tag)",
                trace: trace)
            throw APIProblem(.forbidden, "The token has no scope for \(route.tag). Make one that has.")
        case .gateway, .enrolment:
            if caller.kind == .gateway { return }
            if caller.kind == .enrollingGateway {
                if case .enrolment = route.access { return }
                throw APIProblem(
                    .forbidden,
                    "Gateways call by certificate here; the token is for POST /v1/gateways/{gateway}/certificate alone."
                )
            }
            await self.refusals.record(
                caller, what: route.operationID, tenant: tenant ?? "", rule: "gateways only", trace: trace)
            throw APIProblem(.forbidden, "This operation is for gateways.")
        case .tenant(let needed):
            permission = needed
            guard let tenant: String, caller.reaches(tenant: tenant) else {
                if let tenant: String, caller.afterSecondFactor.reaches(tenant: tenant) {
                    throw StepUp.isMissing(caller.withheld)
                }
                await self.refusals.record(
                    caller, what: route.operationID, tenant: tenant ?? "", rule: "no role in the tenant", trace: trace)
                throw APIProblem.notFound("tenant", tenant ?? "")
            }
        case .platform(let needed): permission = needed
        }
        let scope: String? = if case .tenant = route.access { tenant } else { nil }
        try await self.require(
            permission, of: caller, in: scope, environment: environment, route: route, tenant: tenant, trace: trace)
    }

    /// The decision, once the environment is known of a route that names it in its query or its body.
    private func decideAgain(
        _ caller: Caller?, route: CompiledRoute, tenant: String?, environment: String?, trace: TraceContext
    ) async throws {
        guard let caller: Caller, route.environment == .query || route.environment == .body else { return }
        let (permission, scope): (Permission, String?)
        switch route.route.access {
        case .anyone, .authenticated, .gateway, .enrolment: return
        case .tenant(let needed), .scoped(let needed): (permission, scope) = (needed, tenant)
        case .platform(let needed): (permission, scope) = (needed, nil)
        }
        try await self.require(
            permission, of: caller, in: scope, environment: .known(environment), route: route.route, tenant: tenant,
            trace: trace)
    }

    /// Decides a scoped route and returns the tenant it is limited to.
    private func scope(
        _ caller: Caller?, route compiled: CompiledRoute, query: [String: String], trace: TraceContext
    ) async throws -> String? {
        let (route, tenant): (Route, String?) = (compiled.route, query["tenant"])
        guard case .scoped(let permission) = route.access, let caller: Caller else { return nil }
        var scope: String? = tenant
        if let tenant: String, !caller.reaches(tenant: tenant) {
            if caller.afterSecondFactor.reaches(tenant: tenant) { throw StepUp.isMissing(caller.withheld) }
            await self.refusals.record(
                caller, what: route.operationID, tenant: tenant, rule: "no role in the tenant", trace: trace)
            throw APIProblem.notFound("tenant", tenant)
        }
        if tenant == nil, !caller.reachesAllTenants {
            let tenants: [String] = caller.tenants
            guard tenants.count <= 1 else {
                throw APIProblem.invalid("query:tenant", "required: one of \(tenants.joined(separator: ", "))")
            }
            scope = tenants.first
        }
        let environment: KnownEnvironment = compiled.environment == .none ? .known(nil) : .later
        try await self.require(
            permission, of: caller, in: scope, environment: environment, route: route, tenant: scope, trace: trace)
        return scope
    }

    private func require(
        _ permission: Permission, of caller: Caller, in scope: String?, environment: KnownEnvironment, route: Route,
        tenant: String?, trace: TraceContext
    ) async throws {
        let decision: AccessDecision
        switch environment {
        case .known(let environment):
            decision = caller.decide(permission, tenant: scope, environment: environment)
            if decision.isAllowed { return }
            // The rest is for the handler, which reads the API (`APIAccess`).
            let isLeft: Bool = route.labels == .api || route.labels == .list
            if isLeft, caller.mayBeAllowed(permission, tenant: scope, environment: environment) { return }
        case .later:
            if caller.mayBeAllowed(permission, tenant: scope) { return }
            decision = caller.decide(permission, tenant: scope)
        }
        if !caller.withheld.isEmpty, caller.afterSecondFactor.mayBeAllowed(permission, tenant: scope) {
            throw StepUp.isMissing(caller.withheld)
        }
        await self.refusals.record(
            caller, what: route.operationID, tenant: tenant ?? "", rule: decision.rule, trace: trace)
        throw Self.forbidden(permission, decision)
    }

    static func forbidden(_ permission: Permission, _ decision: AccessDecision) -> APIProblem {
        APIProblem(
            .forbidden,
            "You need the permission \(permission): \(decision.rule). Ask an administrator of the tenant for a role that has it."
        )
    }

    private static func unauthenticated(_ detail: String, _ error: String?) -> APIProblem {
        var problem: APIProblem = APIProblem(.unauthenticated, detail)
        let suffix: String = error.map { ", error=\"\($0)\"" } ?? ""
        problem.fields.append((name: "WWW-Authenticate", value: "Bearer realm=\"passerelle\"\(suffix)"))
        return problem
    }

    /// What is about to change must not come to life behind the end of its tenant. What a tenant had been can still be read by who
    /// reaches all of them.
    private func requireTenant(_ tenant: String?, of route: Route) async throws {
        if let tenant: String, !tenant.isEmpty, Slug.validate(tenant) != nil {
            throw APIProblem.notFound("tenant", tenant)
        }
        guard let catalog: any CatalogOffer = self.catalog, let tenant: String, !tenant.isEmpty, route.method != "GET"
        else { return }
        let isThere: Bool = try await self.services.store.read { try catalog.tenant(tenant, in: $0) != nil }
        if !isThere { throw APIProblem.notFound("tenant", tenant) }
    }

    // MARK: Idempotency

    private func idempotencyKey(
        _ request: HTTPRequest, route: Route, caller: Caller?, body: JSONValue, bytes: [UInt8]
    ) throws -> IdempotencyKey? {
        guard request.method == .post, let caller: Caller, let key: String = request.fields["Idempotency-Key"] else {
            return nil
        }
        guard !key.isEmpty, key.utf8.count <= IdempotencyKey.lengthMax else {
            throw APIProblem.invalid("header:Idempotency-Key", "expected 1 to \(IdempotencyKey.lengthMax) bytes")
        }
        var text: [UInt8] = Array("\(request.path)?\(request.query ?? "")\n".utf8)
        text.append(contentsOf: bytes.isEmpty ? body.canonical() : bytes)
        return IdempotencyKey(
            caller: caller.id, route: route.operationID, key: key, requestHash: Hex.encode(SHA256.hash(text)))
    }

    // MARK: Errors

    private func problem(for error: any Error, trace: TraceContext, request: HTTPRequest) -> APIProblem {
        if let problem: APIProblem = error as? APIProblem { return problem }
        if let failure: StoreError = error as? StoreError, let problem: APIProblem = Self.storeProblem(failure) {
            return problem
        }
        if let failure: HTTPError = error as? HTTPError {
            return APIProblem(failure.status == 413 ? .tooLarge : .invalidRequest, failure.description)
        }
        self.services.logger.log(
            .error, "request failed",
            [
                "method": .string(request.method.name), "path": .string(request.path),
                "trace_id": .string(trace.traceID),
                "error": .string("\(error)"),
            ])
        return APIProblem(.failed, "Something failed inside the platform. The log has the details under this trace id.")
    }

    private static func storeProblem(_ error: StoreError) -> APIProblem? {
        switch error {
        case .unavailable(let reason):
            APIProblem.unavailable("The store cannot write: \(reason).", retryAfterSeconds: 2)
        case .overloaded: APIProblem.unavailable("Too many changes are waiting to be written.", retryAfterSeconds: 1)
        case .conflict:
            APIProblem.unavailable("Other changes to the same things kept getting in the way.", retryAfterSeconds: 1)
        case .timedOut: APIProblem.unavailable("The query took too long and was ended.", retryAfterSeconds: 5)
        default: nil
        }
    }
}

extension Route {
    /// Whether the route answers without credentials.
    fileprivate var isOpen: Bool {
        if case .anyone = self.access { return true }
        return false
    }

    fileprivate var isForGateways: Bool {
        switch self.access {
        case .gateway, .enrolment: true
        default: false
        }
    }
}
