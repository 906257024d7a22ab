package import Store

/// What a service keeps of tenants: how it is exported, and how it ends. Offered by every service that keeps any, used by `catalog`.
package protocol TenantData: Sendable {
    /// The service's name: where an export has what is its.
    var tenantDataName: String { get }

    /// Every table of the service with a column `tenant`, in the order in which a tenant's end empties them.
    var tenantTables: [TenantRows] { get }

    /// How much is counted against a tenant's quotas, by the quota's name: `SELECT count(*) FROM apis WHERE tenant = $1`.
    var tenantCounts: [String: String] { get }

    /// What an export has besides the rows of the tables.
    var tenantSections: [TenantSection] { get }

    /// Does some of what a stage of a tenant's end asks of the service, and says what is left of it.
    ///
    /// Called until it is done, each time in a transaction of its own; after a crash it is called again. So each call does a bounded
    /// amount, and finds by itself what is left.
    func end(_ stage: TenantStage, of ending: TenantEnding, in transaction: Transaction) throws -> TenantStep

    /// Makes what is kept of people unreadable who were this tenant's alone, in the transaction that ends their accounts.
    func forget(persons: [String], of ending: TenantEnding, in transaction: Transaction) throws

    /// Comes after a step is durable: what is remembered beside the store goes, too.
    func ended(_ step: TenantStep) async

    /// Removes what is kept outside of the platform's store. - Returns: how much that was.
    func removeElsewhere(of tenant: String) async throws -> Int
}

extension TenantData {
    package var tenantSections: [TenantSection] { [] }

    package var tenantCounts: [String: String] { [:] }

    package func end(_ stage: TenantStage, of ending: TenantEnding, in transaction: Transaction) throws -> TenantStep {
        TenantStep()
    }

    package func forget(persons: [String], of ending: TenantEnding, in transaction: Transaction) throws {}

    package func ended(_ step: TenantStep) async {}

    package func removeElsewhere(of tenant: String) async throws -> Int { 0 }
}

/// A part of a tenant's export.
package struct TenantSection: Sendable {
    /// Its folder in the archive, below the service's.
    package let name: String
    /// What is left out of it, and why: for the archive's manifest.
    package let withheld: [String]
    /// - Parameters: the tenant, and the `next` of the page before.
    package let page: @Sendable (_ tenant: String, _ after: String?) async throws -> TenantPage

    package init(
        _ name: String, withheld: [String] = [],
        page: @escaping @Sendable (_ tenant: String, _ after: String?) async throws -> TenantPage
    ) {
        self.name = name
        self.withheld = withheld
        self.page = page
    }
}

/// A tenant that ends, as the services know it.
package struct TenantEnding: Sendable {
    package let tenant: String
    /// Whether accounts that held roles in this tenant only are erased; otherwise they stay, without roles.
    package let erasesUsers: Bool
    /// Who acts: the platform, within the trace of the request that asked for it.
    package let author: Author

    package init(tenant: String, erasesUsers: Bool, author: Author) {
        self.tenant = tenant
        self.erasesUsers = erasesUsers
        self.author = author
    }
}

/// What is done of a tenant's end, in this order.
package enum TenantStage: String, Sendable, CaseIterable {
    /// Gateways stop to serve its APIs.
    case traffic
    /// Subscriptions and applications end.
    case consumers
    /// APIs are deleted.
    case apis
    /// Service accounts, clients, roles, sessions and tokens end; accounts that are nobody else's are erased.
    case access
    /// Its keys are destroyed.
    case keys
    /// What is left of rows goes.
    case rows
}

/// What a call of `end` did, and whether something is left.
package struct TenantStep: Sendable {
    package var isDone: Bool = true
    /// Whether it waits for others: there is nothing to do before a moment has passed.
    package var waits: Bool = false
    /// Ids of sessions, tokens, grants and clients that ended.
    package var credentials: [String] = []
    /// Accounts that were this tenant's alone.
    package var persons: [String] = []

    package init() {}

    /// One after which more is to be done.
    package static var more: TenantStep {
        var step: TenantStep = TenantStep()
        step.isDone = false
        return step
    }

    /// One that has to wait.
    package static var waiting: TenantStep {
        var step: TenantStep = .more
        step.waits = true
        return step
    }
}
