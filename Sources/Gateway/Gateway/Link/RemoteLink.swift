import GatewayConfiguration
package import HTTP
import JSON
import Synchronization
import Time

/// The link over HTTP, with a gateway token, or without where the client shows a certificate.
package final class RemoteLink: GatewayLink, RevocationLink {
    /// Largest snapshot taken, bytes.
    package static let snapshotBytesMax: Int = 1 << 30
    /// Largest answer besides, bytes.
    static let answerBytesMax: Int = 1 << 20
    /// Largest answer with orders to forget, bytes.
    static let purgeBytesMax: Int = 64 << 20

    private let client: HTTPClient
    private let base: URLParts
    private let id: String
    private let token: String?
    private let refusal: Atomic<Bool> = Atomic(false)
    private let address: String
    private let key: String?

    /// - Parameters:
    ///   - controlPlane: its URL, for example `http://127.0.0.1:8001`.
    ///   - id: the gateway's name, unique in its group.
    ///   - address: where the gateway listens: shown in `passerelle gateways`.
    ///   - token: nil where the client's certificate says who it is.
    ///   - key: `GatewayKey.publicText`: what secrets are sealed to; without it none are sent.
    package init(
        client: HTTPClient, controlPlane: URLParts, id: String, token: String?, address: String, key: String? = nil
    ) {
        self.key = key
        self.client = client
        self.base = controlPlane
        self.id = id
        self.token = token
        self.address = address
    }

    /// The field of an answer that tells how many gateways divide limits.
    package static let liveGatewaysField: String = "Passerelle-Live-Gateways"

    package func pull(since version: Int64, hash: String, wait: Duration) async throws -> LinkPull {
        let query: String =
            "since=\(version)&hash=\(hash)&wait=\(wait.components.seconds)&address=\(PercentCoding.encode(self.address))"
        let response: HTTPClientResponse = try await self.send("GET", "snapshot", query: query, body: nil)
        let live: Int = max(1, response.fields[Self.liveGatewaysField].flatMap { Int($0) } ?? 1)
        if response.status == 204 { return LinkPull(.unchanged, liveGateways: live) }
        return LinkPull(.bytes(try await self.body(of: response, max: Self.snapshotBytesMax)), liveGateways: live)
    }

    package func add(_ changes: [CounterChange]) async throws -> [Int64] {
        var elements: [JSONValue] = []
        for change in changes {
            elements.append(
                .object([
                    "key": .string(change.key), "window": .int(Int64(change.window)),
                    "ends": .string(change.ends.rfc3339), "amount": .int(change.amount),
                ]))
        }
        let response: HTTPClientResponse = try await self.send(
            "POST", "counters", query: nil, body: .object(["changes": .array(elements)]))
        let answer: JSONValue = try JSONReader.parse(try await self.body(of: response, max: Self.answerBytesMax))
        return (answer["totals"]?.elements ?? []).map { $0.integer ?? 0 }
    }

    package func purges(since number: Int64?, wait: Duration) async throws -> PurgeFeed {
        let since: String = number.map { "since=\($0)&" } ?? ""
        let response: HTTPClientResponse = try await self.send(
            "GET", "purges", query: "\(since)wait=\(wait.components.seconds)", body: nil)
        let answer: JSONValue = try JSONReader.parse(try await self.body(of: response, max: Self.purgeBytesMax))
        let told: [JSONValue] = answer["orders"]?.elements ?? []
        let orders: [PurgeOrder] = told.compactMap { PurgeOrder($0) }
        // An order of a later version that cannot be read may mean anything.
        let forgetsAll: Bool = answer["all"]?.boolean ?? false || orders.count < told.count
        return PurgeFeed(number: answer["number"]?.integer ?? 0, forgetsAll: forgetsAll, orders: orders)
    }

    package func revocations(after number: Int64, wait: Duration) async throws -> LinkRevocations {
        let response: HTTPClientResponse = try await self.send(
            "GET", "revocations", query: "after=\(number)&wait=\(wait.components.seconds)", body: nil)
        let answer: JSONValue = try JSONReader.parse(try await self.body(of: response, max: Self.answerBytesMax))
        guard let latest: Int64 = answer["latest"]?.integer else {
            throw LinkError.refused(status: response.status, detail: "expected 'latest'")
        }
        var revoked: [RevokedTokens] = []
        for element in answer["revoked"]?.elements ?? [] {
            revoked.append(
                RevokedTokens(
                    id: element["id"]?.text ?? "", at: element["at"]?.integer ?? 0, ends: element["ends"]?.integer ?? 0)
            )
        }
        return LinkRevocations(latest: latest, revoked: revoked)
    }

    package func acknowledge(_ acknowledgement: LinkAcknowledgement) async throws {
        var quarantined: [JSONValue] = []
        for entry in acknowledgement.quarantined {
            quarantined.append(.object(["entry": .string(entry.entry), "reason": .string(entry.reason)]))
        }
        let body: JSONValue = .object([
            "version": .int(acknowledgement.version), "hash": .string(acknowledgement.hash),
            "quarantined": .array(quarantined),
        ])
        let response: HTTPClientResponse = try await self.send("POST", "acknowledgement", query: nil, body: body)
        _ = try await self.body(of: response, max: Self.answerBytesMax)
    }

    package func report(_ batch: TrafficBatch) async throws {
        var lines: [JSONValue] = []
        for (line, sums) in batch.lines {
            let parts: [Substring] = line.api.split(separator: ".", maxSplits: 1)
            lines.append(
                .object([
                    "tenant": .string(line.tenant), "api": .string(String(parts.first ?? "")),
                    "environment": .string(parts.count > 1 ? String(parts[1]) : ""), "route": .string(line.route),
                    "application": .string(line.application), "minute": .int(line.minute),
                    "status_class": .int(Int64(line.statusClass)), "requests": .int(sums.requests),
                    "duration_us": .int(sums.durationMicroseconds),
                    "duration_us_max": .int(sums.durationMicrosecondsMax),
                    "bytes_in": .int(sums.bytesIn), "bytes_out": .int(sums.bytesOut),
                ]))
        }
        let body: JSONValue = .object(["sequence": .int(batch.sequence), "lines": .array(lines)])
        let response: HTTPClientResponse = try await self.send("POST", "records", query: nil, body: body)
        _ = try await self.body(of: response, max: Self.answerBytesMax)
    }

    /// Whether the control plane did not know who calls, the last time it answered.
    package var isRefused: Bool { self.refusal.load(ordering: .relaxed) }

    /// The certificate for a request, with those between it and the root, PEM.
    package func certificate(for request: String) async throws -> String {
        let response: HTTPClientResponse = try await self.send(
            "POST", "certificate", query: nil, body: .object(["request": .string(request)]))
        let answer: JSONValue = try JSONReader.parse(try await self.body(of: response, max: Self.answerBytesMax))
        guard let chain: String = answer["chain"]?.text else {
            throw LinkError.refused(status: response.status, detail: "expected 'chain'")
        }
        return chain
    }

    private func send(
        _ method: String, _ verb: String, query: String?, body: JSONValue?
    ) async throws -> HTTPClientResponse {
        let path: String = "/v1/gateways/\(PercentCoding.encode(self.id))/\(verb)"
        var fields: HTTPFields = HTTPFields()
        if let token: String = self.token { fields.append("Authorization", "Bearer \(token)") }
        if verb == "snapshot", let key: String = self.key { fields.append(GatewayKey.field, key) }
        if body != nil { fields.append("Content-Type", "application/json") }
        let url: URLParts = URLParts(
            scheme: self.base.scheme, host: self.base.host, port: self.base.port, path: path, query: query)
        return try await self.client.send(
            HTTPClientRequest(method: HTTPMethod(method), url: url, fields: fields, body: body?.serialized() ?? []))
    }

    private func body(of response: HTTPClientResponse, max: Int) async throws -> [UInt8] {
        let bytes: [UInt8] = try await response.body.collect(max: max)
        self.refusal.store(response.status == 401, ordering: .relaxed)
        if response.isSuccess { return bytes }
        let detail: String? = (try? JSONReader.parse(bytes))?["detail"]?.text
        throw LinkError.refused(status: response.status, detail: detail ?? "")
    }
}

/// Why a control plane did not take a call.
package enum LinkError: Error, Sendable, CustomStringConvertible {
    case refused(status: Int, detail: String)

    package var description: String {
        switch self {
        case .refused(401, let detail):
            "the control plane does not know this gateway's token or certificate (401\(detail.isEmpty ? "" : ": \(detail)"))"
        case .refused(let status, let detail): "the control plane answered \(status): \(detail)"
        }
    }
}
