import Contracts
import Gateway
import GatewayConfiguration
import HTTP
import JSON
import REST
import Store
import Time

/// The link to gateways apart, over HTTP with a gateway token or the gateway's certificate. A gateway in the process takes the same way by `DirectLink`.
extension DeploymentsService {
    /// Longest wait of a snapshot request, seconds: shorter than what makes a gateway away.
    static let waitSecondsMax: Int64 = 10
    /// Longest gateway id.
    static let gatewayIDLengthMax: Int = 128

    var linkRoutes: [Route] {
        [
            Route(
                "GET", "/v1/gateways/{gateway}/snapshot", operationID: "pullSnapshot", tag: Self.name,
                summary: "The snapshot, as soon as it is newer than what the gateway runs", access: .gateway,
                query: [
                    QueryParameter("since", .integer(0...Int64.max), "The version the gateway runs."),
                    QueryParameter("hash", .text(lengthMax: 64), "Its hash."),
                    QueryParameter("wait", .integer(0...Self.waitSecondsMax), "Seconds to wait for a newer one."),
                    QueryParameter("address", .text(lengthMax: 256), "Where the gateway listens."),
                ], answers: [Answer(200, "A whole snapshot or a delta"), Answer(204, "Nothing newer")]
            ) { [self] in try await self.pullSnapshot($0) },
            Route(
                "GET", "/v1/gateways/{gateway}/revocations", operationID: "pullRevocations", tag: Self.name,
                summary: "Tokens to be refused although they are signed, as soon as there are newer ones",
                access: .gateway,
                query: [
                    QueryParameter("after", .integer(0...Int64.max), "The last number the gateway knows."),
                    QueryParameter("wait", .integer(0...Self.waitSecondsMax), "Seconds to wait for a newer one."),
                ], answers: [Answer(200, "What was ended, and the number to ask with next")]
            ) { [self] in try await self.pullRevocations($0) },
            Route(
                "POST", "/v1/gateways/{gateway}/acknowledgement", operationID: "acknowledgeSnapshot", tag: Self.name,
                summary: "What the gateway runs now", access: .gateway, body: .json(Self.acknowledgement),
                answers: [Answer(204, "Noted")]
            ) { [self] in try await self.acknowledge($0) },
            Route(
                "POST", "/v1/gateways/{gateway}/records", operationID: "reportTraffic", tag: Self.name,
                summary: "Traffic the gateway carried, as sums", access: .gateway, body: .json(Self.records),
                answers: [Answer(204, "Counted")]
            ) { [self] in try await self.report($0) },
            Route(
                "POST", "/v1/gateways/{gateway}/counters", operationID: "countQuotas", tag: Self.name,
                summary: "Adds to what gateways count together, and tells the totals", access: .gateway,
                body: .json(Self.counters), answers: [Answer(200, "The totals, in the order of the changes")]
            ) { [self] in try await self.countQuotas($0) },
            self.purgeLinkRoute,
            self.enrolmentRoute,
        ]
    }

    private static let acknowledgement: JSONValue = Schema.object(
        [
            "version": Schema.integer(0...Int64.max), "hash": Schema.text(max: 64),
            "quarantined": Schema.array(
                Schema.object(
                    ["entry": Schema.text(max: 512), "reason": Schema.text(max: 4_096)], required: ["entry", "reason"])),
        ], required: ["version", "hash", "quarantined"])

    private static let counters: JSONValue = Schema.object(
        [
            "changes": Schema.array(
                Schema.object(
                    [
                        "key": Schema.text(max: CountedAmount.keyLengthMax), "window": Schema.integer(0...Int64.max),
                        "ends": Schema.text(max: 40),
                        "amount": Schema.integer(-CountedAmount.amountMax...CountedAmount.amountMax),
                    ], required: ["key", "window", "ends", "amount"]))
        ], required: ["changes"])

    private static let count: JSONValue = Schema.integer(0...Int64.max)
    private static let records: JSONValue = Schema.object(
        [
            "sequence": count,
            "lines": Schema.array(
                Schema.object(
                    [
                        "tenant": Schema.text(max: 128), "api": Schema.text(max: 256),
                        "environment": Schema.text(max: 63),
                        "route": Schema.text(max: 2_048), "application": Schema.text(max: 128), "minute": count,
                        "status_class": Schema.integer(1...5), "requests": count, "duration_us": count,
                        "duration_us_max": count, "bytes_in": count, "bytes_out": count,
                    ],
                    required: [
                        "tenant", "api", "environment", "route", "application", "minute", "status_class", "requests",
                        "duration_us", "duration_us_max", "bytes_in", "bytes_out",
                    ])),
        ], required: ["sequence", "lines"])

    private func pullSnapshot(_ context: RequestContext) async throws -> HTTPResponse {
        let id: String = try Self.gatewayID(context)
        context.request.endWhenDraining()
        try await self.heard(id: id, group: context.caller.id, address: context.query["address"] ?? "")
        let answer: SnapshotPublisher.Answer = await self.publisher.snapshot(
            group: context.caller.id, since: Int64(context.integer("since") ?? 0), hash: context.query["hash"] ?? "",
            wait: .seconds(context.integer("wait") ?? 0))
        try await self.requireStillKnown(context)
        try await self.heard(id: id, group: context.caller.id, address: context.query["address"] ?? "")
        var response: HTTPResponse =
            switch answer {
            case .unchanged: .noContent
            case .whole(let document): .json(text: document.serialized(secrets: Self.sealed(document.secrets, context)))
            case .delta(let delta, let document):
                .json(text: delta.serialized(secrets: Self.sealed(Self.secrets(of: delta, in: document), context)))
            }
        response.fields.append("Passerelle-Live-Gateways", "\(self.liveGateways(ofGroup: context.caller.id))")
        return response
    }

    private func pullRevocations(_ context: RequestContext) async throws -> HTTPResponse {
        _ = try Self.gatewayID(context)
        context.request.endWhenDraining()
        let news: RevocationNews.News = try await self.revocations.news(
            after: Int64(context.integer("after") ?? 0), wait: .seconds(context.integer("wait") ?? 0))
        let revoked: [JSONValue] = news.revocations.map {
            .object(["id": .string($0.id), "at": .int($0.seconds.at), "ends": .int($0.seconds.ends)])
        }
        return .json(.object(["latest": .int(news.latest), "revoked": .array(revoked)]))
    }

    /// The values that what is sent refers to, sealed to the key the gateway tells; nil when there are none.
    private static func sealed(_ secrets: [EntryKey: EntrySecrets], _ context: RequestContext) -> JSONObject? {
        let sealed: JSONObject = SnapshotSecrets.sealed(
            secrets, toField: context.request.fields[GatewayKey.field])
        return sealed.isEmpty ? nil : sealed
    }

    private static func secrets(of delta: SnapshotDelta, in document: HashedDocument) -> [EntryKey: EntrySecrets] {
        if document.secrets.isEmpty { return [:] }
        var found: [EntryKey: EntrySecrets] = [:]
        for entry in delta.changed[.api] ?? [] { found[entry.key] = document.secrets[entry.key] }
        return found
    }

    private func countQuotas(_ context: RequestContext) async throws -> HTTPResponse {
        try await self.heard(id: try Self.gatewayID(context), group: context.caller.id, address: "")
        var changes: [CountedAmount] = []
        for (index, element) in (context.body["changes"]?.elements ?? []).enumerated() {
            guard let ends: Timestamp = element["ends"]?.text.flatMap({ Timestamp(rfc3339: $0) }) else {
                throw APIProblem.invalid("/changes/\(index)/ends", "expected a time such as 2030-01-31T12:00:00Z")
            }
            changes.append(
                CountedAmount(
                    key: element["key"]?.text ?? "", window: element["window"]?.integer ?? 0, ends: ends,
                    amount: element["amount"]?.integer ?? 0))
        }
        let totals: [Int64] = try await self.count(changes)
        return .json(.object(["totals": .array(totals.map { .int($0) })]))
    }

    static func gatewayID(_ context: RequestContext) throws -> String {
        let id: String = context.parameter("gateway")
        guard id.utf8.count <= Self.gatewayIDLengthMax else {
            throw APIProblem.invalid("path:gateway", "expected at most \(Self.gatewayIDLengthMax) bytes")
        }
        if let own: String = context.caller.gateway, own != id {
            throw APIProblem(.forbidden, "The certificate is that of the gateway '\(own)'.")
        }
        return id
    }

    private func acknowledge(_ context: RequestContext) async throws -> HTTPResponse {
        var quarantined: [QuarantinedEntry] = []
        for element in context.body["quarantined"]?.elements ?? [] {
            quarantined.append(
                QuarantinedEntry(entry: element["entry"]?.text ?? "", reason: element["reason"]?.text ?? ""))
        }
        let id: String = try Self.gatewayID(context)
        try await self.acknowledged(
            id: id, group: context.caller.id, version: context.body["version"]?.integer ?? 0,
            hash: context.body["hash"]?.text ?? "",
            quarantined: quarantined)
        return .noContent
    }

    private func report(_ context: RequestContext) async throws -> HTTPResponse {
        var lines: [TrafficReport.Line] = []
        for line in context.body["lines"]?.elements ?? [] {
            func text(_ name: String) -> String { line[name]?.text ?? "" }
            func number(_ name: String) -> Int64 { line[name]?.integer ?? 0 }
            lines.append(
                TrafficReport.Line(
                    tenant: text("tenant"), apiID: text("api"), environment: text("environment"), route: text("route"),
                    applicationID: text("application"), minute: number("minute"),
                    statusClass: Int(number("status_class")),
                    requests: number("requests"), durationMicroseconds: number("duration_us"),
                    durationMicrosecondsMax: number("duration_us_max"), bytesIn: number("bytes_in"),
                    bytesOut: number("bytes_out")))
        }
        try await self.traffic.accept(
            TrafficReport(
                gatewayID: try Self.gatewayID(context), sequence: context.body["sequence"]?.integer ?? 0, lines: lines))
        return .noContent
    }

    // MARK: What both ways of the link share

    /// Gateways of the group that are live: they divide limits.
    func liveGateways(ofGroup group: String) -> Int {
        max(1, self.directory.liveCount(inGroup: group, now: self.time.milliseconds))
    }

    /// Adds to counts that gateways keep together. - Returns: the totals, in order.
    ///
    /// A gateway that was away may tell of a tenant that has ended meanwhile: nothing of it is kept.
    func count(_ changes: [CountedAmount]) async throws -> [Int64] {
        let catalog: any CatalogOffer = self.catalog
        return try await self.services.store.write { transaction in
            var totals: [Int64] = []
            var known: [String: Bool] = [:]
            for change in changes {
                let tenant: String = change.tenant
                let isThere: Bool = try known[tenant] ?? (catalog.tenant(tenant, in: transaction) != nil)
                known[tenant] = isThere
                totals.append(isThere ? try CounterTable.add(change, in: transaction) : change.amount)
            }
            return totals
        }
    }

    /// Notes that a gateway was heard; a new one is stored, so that it is known as away after a restart.
    ///
    /// - Throws: a conflict when a live gateway of another group has the id.
    func heard(id: String, group: String, address: String) async throws {
        let now: Int64 = self.time.milliseconds
        switch self.directory.heard(id: id, group: group, address: address, now: now) {
        case .known: return
        case .fresh(let gateway):
            try await self.services.store.write { try GatewayTable.put(gateway, in: $0) }
            // Those who wait learn that they divide limits with one more.
            await self.publisher.wakeAll()
        case .taken(let other):
            throw APIProblem.conflict("A gateway '\(id)' of the group '\(other)' is live. Give this one another id.")
        }
    }

    /// Notes what a gateway runs, and judges the deployments that wait for it.
    ///
    /// Returns when that is stored, where a later process would miss it: a gateway says it once.
    func acknowledged(
        id: String, group: String, version: Int64, hash: String, quarantined: [QuarantinedEntry]
    ) async throws {
        try await self.heard(id: id, group: group, address: "")
        let isHeld: Bool = await self.publisher.holds(version: version, hash: hash, group: group)
        let now: Int64 = self.time.milliseconds
        let isOther: Bool = self.directory.acknowledged(
            id: id, version: isHeld ? version : 0, hash: hash, quarantined: quarantined, now: now)
        let mustStore: Bool = if isOther { true } else { await self.tracker.isWaiting(forGroup: group) }
        // Both at once: they share a commit.
        async let stored: Void = mustStore ? self.storeGateways() : ()
        await self.tracker.judge()
        try await stored
    }
}
