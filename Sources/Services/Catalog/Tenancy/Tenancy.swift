package import Contracts
import REST
import Store

/// How tenants end and are archived.
package struct TenancyRules: Sendable {
    /// For how long the end of a tenant can be called off.
    let deletionGrace: Duration
    let exports: TenantExportRules
    /// The other services that keep something of tenants.
    let others: [any TenantData]

    package init(deletionGrace: Duration, exports: TenantExportRules, others: [any TenantData]) {
        self.deletionGrace = deletionGrace
        self.exports = exports
        self.others = others
    }

    /// How much counts against quotas, of all services.
    var counts: [String: String] {
        var counts: [String: String] = CatalogData.counts
        for service in self.others { counts.merge(service.tenantCounts) { first, _ in first } }
        return counts
    }

    package static let deletionGraceDefault: Duration = .seconds(7 * 86_400)
    package static let deletionGraceRange: ClosedRange<Duration> = .zero ... .seconds(90 * 86_400)
    package static let exportsKeptDefault: Duration = .seconds(86_400)
    package static let exportsKeptRange: ClosedRange<Duration> = .seconds(60) ... .seconds(30 * 86_400)
}

/// What carries them out.
final class Tenancy: Sendable {
    let rules: TenancyRules
    let work: TenantWork

    init(services: ServiceEnvironment, rules: TenancyRules) {
        self.rules = rules
        self.work = TenantWork(
            services: services, data: [CatalogData(store: services.store)] + rules.others, exports: rules.exports)
    }
}
