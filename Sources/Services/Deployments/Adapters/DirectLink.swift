import Contracts
package import Gateway
import GatewayConfiguration

/// The link of a gateway in the same process: the same protocol, by direct call.
package final class DirectLink: GatewayLink, RevocationLink {
    private let service: DeploymentsService
    private let id: String
    private let group: String
    private let address: String

    package init(service: DeploymentsService, id: String, group: String, address: String) {
        self.service = service
        self.id = id
        self.group = group
        self.address = address
    }

    package func pull(since version: Int64, hash: String, wait: Duration) async throws -> LinkPull {
        try await self.service.heard(id: self.id, group: self.group, address: self.address)
        let answer: SnapshotPublisher.Answer = await self.service.publisher.snapshot(
            group: self.group, since: version, hash: hash, wait: wait)
        try await self.service.heard(id: self.id, group: self.group, address: self.address)
        let live: Int = self.service.liveGateways(ofGroup: self.group)
        switch answer {
        case .unchanged: return LinkPull(.unchanged, liveGateways: live)
        case .whole(let document), .delta(_, let document):
            return LinkPull(.document(document), liveGateways: live)
        }
    }

    package func add(_ changes: [CounterChange]) async throws -> [Int64] {
        try await self.service.count(
            changes.map {
                CountedAmount(
                    key: $0.key, window: Int64($0.window), ends: $0.ends, amount: $0.amount)
            })
    }

    package func purges(since number: Int64?, wait: Duration) async throws -> PurgeFeed {
        try await self.service.purges.feed(gateway: self.id, since: number, wait: wait)
    }

    package func revocations(after number: Int64, wait: Duration) async throws -> LinkRevocations {
        let news: RevocationNews.News = try await self.service.revocations.news(after: number, wait: wait)
        return LinkRevocations(
            latest: news.latest,
            revoked: news.revocations.map { RevokedTokens(id: $0.id, at: $0.seconds.at, ends: $0.seconds.ends) })
    }

    package func acknowledge(_ acknowledgement: LinkAcknowledgement) async throws {
        try await self.service.acknowledged(
            id: self.id, group: self.group, version: acknowledgement.version, hash: acknowledgement.hash,
            quarantined: acknowledgement.quarantined.map { QuarantinedEntry(entry: $0.entry, reason: $0.reason) })
    }

    package func report(_ batch: TrafficBatch) async throws {
        var lines: [TrafficReport.Line] = []
        for (line, sums) in batch.lines {
            let parts: [Substring] = line.api.split(separator: ".", maxSplits: 1)
            lines.append(
                TrafficReport.Line(
                    tenant: line.tenant, apiID: String(parts.first ?? ""),
                    environment: parts.count > 1 ? String(parts[1]) : "", route: line.route,
                    applicationID: line.application, minute: line.minute, statusClass: line.statusClass,
                    requests: sums.requests, durationMicroseconds: sums.durationMicroseconds,
                    durationMicrosecondsMax: sums.durationMicrosecondsMax, bytesIn: sums.bytesIn,
                    bytesOut: sums.bytesOut))
        }
        try await self.service.traffic.accept(
            TrafficReport(gatewayID: self.id, sequence: batch.sequence, lines: lines))
    }
}
