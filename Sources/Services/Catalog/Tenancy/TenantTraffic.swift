package import Contracts
package import REST
import Store

/// Hands on what gateways report of tenants that there are: a gateway that was away may tell of one that has ended meanwhile.
package struct TenantTraffic: TrafficSink {
    private let sink: any TrafficSink
    private let services: ServiceEnvironment

    package init(sink: any TrafficSink, services: ServiceEnvironment) {
        self.sink = sink
        self.services = services
    }

    package func accept(_ report: TrafficReport) async throws {
        let tenants: Set<String> = Set(report.lines.map(\.tenant))
        let found: Set<String>? = try? await self.services.store.read { reader in
            var ended: Set<String> = []
            for tenant in tenants where try TenantTable.hasEnded(tenant, in: reader) { ended.insert(tenant) }
            return ended
        }
        // Traffic does not wait for a store that is away.
        let ended: Set<String> = found ?? []
        if ended.isEmpty { return try await self.sink.accept(report) }
        try await self.sink.accept(
            TrafficReport(
                gatewayID: report.gatewayID, sequence: report.sequence,
                lines: report.lines.filter { !ended.contains($0.tenant) }))
    }
}
