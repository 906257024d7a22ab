import GatewayConfiguration
import HTTP
import JSON
import ServiceTestKit
import TestKit
import Testing

/// A gateway that runs nothing: it speaks the link's routes as a real one does and holds what it is sent.
actor FakeGateway {
    nonisolated let id: String
    private let token: String
    private let harness: ServiceHarness
    private(set) var document: HashedDocument = HashedDocument()
    /// The last snapshot came as a change, not as a whole.
    private(set) var cameAsDelta: Bool = false
    private(set) var lastStatus: Int = 0
    /// What it was told last of how many gateways are live.
    private(set) var liveGateways: String?

    init(id: String, token: String, harness: ServiceHarness, document: HashedDocument = HashedDocument()) {
        self.id = id
        self.token = token
        self.harness = harness
        self.document = document
    }

    /// The same gateway before another process of the control plane.
    func calling(_ harness: ServiceHarness) -> FakeGateway {
        FakeGateway(id: self.id, token: self.token, harness: harness, document: self.document)
    }

    var version: Int64 { self.document.version }

    /// The upstream of each API entry, by the entry's id.
    var upstreams: [String: String] {
        var found: [String: String] = [:]
        for api in self.document.document.apis { found[api.id] = api.upstream.targets.first?.url.text ?? "" }
        return found
    }

    /// Asks for what is newer and takes it over; as a real gateway, from nothing when it does not fit.
    func pull(wait: Int = 0) async throws {
        let target: String =
            "/v1/gateways/\(self.id)/snapshot?since=\(self.document.version)&hash=\(self.document.hash)&wait=\(wait)"
            + "&address=127.0.0.1:8000"
        let answer: TestAnswer = try await self.harness.send("GET", target, token: self.token)
        self.lastStatus = answer.status
        self.liveGateways = answer.fields["Passerelle-Live-Gateways"]
        if answer.status == 204 { return }
        try #require(answer.status == 200, "\(answer.json)")
        self.cameAsDelta = answer.json["base"] != nil
        do {
            try self.document.receive(answer.bytes)
        } catch {
            Issue.record("the snapshot does not fit: \(error)")
            self.document = HashedDocument()
        }
    }

    /// Pulls until it has all that was changed so far: the publisher follows the database, a moment later on PostgreSQL.
    func catchUp() async throws {
        try await eventually("everything is here") {
            try await self.pull()
            let latest: Int64 = try await self.harness.gatewayVersion()
            return self.lastStatus == 204 && self.version == latest
        }
    }

    /// Tells what it counted. - Returns: status and totals.
    func count(_ changes: [JSONValue]) async throws -> (status: Int, totals: [Int64]) {
        let answer: TestAnswer = try await self.harness.send(
            "POST", "/v1/gateways/\(self.id)/counters", token: self.token, .object(["changes": .array(changes)]))
        return (answer.status, (answer.json["totals"]?.elements ?? []).compactMap { $0.integer })
    }

    /// Says that it runs what it holds, but for these entries.
    @discardableResult
    func acknowledge(quarantining entries: [String: String] = [:]) async throws -> Int {
        var quarantined: [JSONValue] = []
        for entry in entries {
            quarantined.append(.object(["entry": .string(entry.key), "reason": .string(entry.value)]))
        }
        let body: JSONValue = .object([
            "version": .int(self.document.version), "hash": .string(self.document.hash),
            "quarantined": .array(quarantined),
        ])
        return try await self.harness.send(
            "POST", "/v1/gateways/\(self.id)/acknowledgement", token: self.token, body
        ).status
    }
}
