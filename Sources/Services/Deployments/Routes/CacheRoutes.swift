import Contracts
import EventLog
import Gateway
import HTTP
import JSON
import REST
import Store
import Time

/// Responses that gateways have stored are forgotten on demand, at all gateways.
extension DeploymentsService {
    /// How long a request waits for the gateways at most, seconds.
    static let purgeWaitSecondsMax: Int64 = 30
    private static let purgeWaitSeconds: Int64 = 10
    private static let purgeLookEvery: Duration = .milliseconds(50)

    var cacheRoutes: [Route] {
        let base: String = "/v1/tenants/{tenant}/cache/purges"
        return [
            Route(
                "POST", base, operationID: "purgeCache", tag: Self.name,
                summary:
                    "Makes all gateways forget stored responses: of the tenant, of an API, of an address, or with a tag",
                access: .tenant(Permission("deployments", "deployment", "write")), labels: .api,
                body: .json(Self.newPurge),
                answers: [Answer(200, "All live gateways have done it"), Answer(202, "Recorded; some have yet to")]
            ) { [self] in try await self.purgeCache($0) },
            Route(
                "GET", "\(base)/{purge}", operationID: "getCachePurge", tag: Self.name,
                summary: "How many gateways have forgotten what was asked for",
                access: .tenant(Permission("deployments", "deployment", "read")), labels: .tenant,
                answers: [Answer(200, "The purge")]
            ) { [self] in try await self.getPurge($0) },
        ]
    }

    /// The link's part; see `LinkRoutes`.
    var purgeLinkRoute: Route {
        Route(
            "GET", "/v1/gateways/{gateway}/purges", operationID: "pullPurges", tag: Self.name,
            summary: "What stored responses the gateway has to forget, as soon as there are any", access: .gateway,
            query: [
                QueryParameter("since", .integer(0...Int64.max), "The number up to which it has done everything."),
                QueryParameter("wait", .integer(0...Self.waitSecondsMax), "Seconds to wait for more."),
            ], answers: [Answer(200, "The orders since")]
        ) { [self] in try await self.pullPurges($0) }
    }

    private static let newPurge: JSONValue = Schema.object([
        "all": Schema.boolean, "api": Schema.text(min: 1, max: 128), "environment": Schema.text(min: 1, max: 63),
        "url": Schema.text(min: 1, max: 8_192), "tag": Schema.text(min: 1, max: 256),
        "wait_seconds": Schema.integer(0...purgeWaitSecondsMax),
    ])

    private func purgeCache(_ context: RequestContext) async throws -> HTTPResponse {
        let wait: Int64 = context.body["wait_seconds"]?.integer ?? Self.purgeWaitSeconds
        let catalog: any CatalogOffer = self.catalog
        let author: Author = context.author
        let board: PurgeBoard = self.purges
        let answer: HTTPResponse = try await context.change { transaction in
            let order: PurgeOrder = try Self.order(context, catalog: catalog, in: transaction)
            let number: Int64 = try PurgeTable.insert(order, in: transaction)
            try author.audit(
                "cache.purged", tenant: context.tenant,
                resource: AuditEntry.Resource(type: "cache", id: "\(number)"),
                changes: order.json.object ?? [:], in: transaction)
            return .accepted(
                .object(["number": .int(number)]),
                location: "/v1/tenants/\(context.tenant)/cache/purges/\(number)")
        }
        guard case .bytes(let bytes) = answer.body,
            let number: Int64 = (try? JSONReader.parse(bytes))?["number"]?.integer
        else { return answer }
        board.added(number)
        return try await self.purgeAnswer(number, answer, waitSeconds: wait)
    }

    /// Waits until all live gateways have done it, or the time is over.
    private func purgeAnswer(
        _ number: Int64, _ answer: HTTPResponse, waitSeconds: Int64
    ) async throws -> HTTPResponse {
        let end: Int64 = self.time.milliseconds + waitSeconds * 1_000
        var standing: (json: JSONValue, isComplete: Bool) = try await self.standing(of: number)
        while !standing.isComplete, self.time.milliseconds < end {
            try await self.services.clock.sleep(for: Self.purgeLookEvery)
            standing = try await self.standing(of: number)
        }
        var told: HTTPResponse = answer
        told.status = standing.isComplete ? 200 : 202
        told.body = .bytes(standing.json.serialized())
        return told
    }

    /// How many gateways have done everything up to this number.
    private func standing(of number: Int64) async throws -> (json: JSONValue, isComplete: Bool) {
        let readers: [String: Int64] = try await self.services.store.read { try PurgeTable.readers(in: $0) }
        let now: Int64 = self.time.milliseconds
        var done: Int64 = 0
        var pending: Int64 = 0
        var away: Int64 = 0
        for gateway in self.directory.gateways() {
            if readers[gateway.id] ?? -1 >= number {
                done += 1
            } else if gateway.isLive(now: now) {
                pending += 1
            } else {
                away += 1
            }
        }
        let gateways: JSONObject = ["done": .int(done), "pending": .int(pending), "away": .int(away)]
        let json: JSONValue = .object([
            "number": .int(number), "complete": .bool(pending == 0), "gateways": .object(gateways),
        ])
        return (json, pending == 0)
    }

    private static func order(
        _ context: RequestContext, catalog: any CatalogOffer, in store: any Queryable
    ) throws -> PurgeOrder {
        let body: JSONValue = context.body
        let tenant: String = context.tenant
        guard try catalog.tenant(tenant, in: store) != nil else { throw APIProblem.notFound("tenant", tenant) }
        var given: [String] = []
        if body["all"]?.boolean == true { given.append("all") }
        for name in ["api", "tag"] where body[name] != nil { given.append(name) }
        guard given.count == 1 else {
            throw APIProblem.invalid("", "expected one of 'api', 'tag' and 'all', found \(given.count) of them")
        }
        if body["api"] == nil {
            try context.requireAccessToAll()
            for name in ["environment", "url"] where body[name] != nil {
                throw APIProblem.invalid("/\(name)", "expected '\(name)' only with 'api'")
            }
            return PurgeOrder(tenant: tenant, apis: [], tag: body["tag"]?.text)
        }
        let reference: String = body["api"]?.text ?? ""
        let found: APIRecord? = try catalog.api(tenant: tenant, reference: reference, in: store)
        let unknown: APIProblem = APIProblem.invalid("/api", "there is no API '\(reference)'")
        try context.requireAccess(found?.labels, unknown: unknown)
        guard let api: APIRecord = found else { throw unknown }
        var environments: [String] = try catalog.environments(tenant: tenant, in: store).map { $0.name }
        if let wanted: String = body["environment"]?.text {
            guard environments.contains(wanted) else {
                throw APIProblem.invalid("/environment", "there is no environment '\(wanted)'")
            }
            environments = [wanted]
        }
        let apis: [String] = environments.map { SnapshotEntry.id(apiID: api.id, environment: $0) }
        guard let text: String = body["url"]?.text else { return PurgeOrder(tenant: tenant, apis: apis) }
        guard let address: (host: String, target: String) = PurgeOrder.address(text) else {
            throw APIProblem.invalid(
                "/url", "expected the address as clients ask for it, such as http://api.example.com/orders?page=2")
        }
        return PurgeOrder(tenant: tenant, apis: apis, host: address.host, target: address.target)
    }

    private func getPurge(_ context: RequestContext) async throws -> HTTPResponse {
        let text: String = context.parameter("purge")
        let tenant: String = context.tenant
        guard let number: Int64 = Int64(text),
            try await context.read({ try PurgeTable.find(number, tenant: tenant, in: $0) }) != nil
        else { throw APIProblem.notFound("purge", text) }
        return .json(try await self.standing(of: number).json)
    }

    private func pullPurges(_ context: RequestContext) async throws -> HTTPResponse {
        let id: String = try Self.gatewayID(context)
        context.request.endWhenDraining()
        try await self.heard(id: id, group: context.caller.id, address: "")
        let feed: PurgeFeed = try await self.purges.feed(
            gateway: id, since: context.integer("since").map { Int64($0) }, wait: .seconds(context.integer("wait") ?? 0)
        )
        return .json(
            .object([
                "number": .int(feed.number), "all": .bool(feed.forgetsAll),
                "orders": .array(feed.orders.map { $0.json }),
            ]))
    }
}
