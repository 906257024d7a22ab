import Contracts
import Documents
import EventLog
import GatewayConfiguration
import JSON
import REST
import Store
import Telemetry
import Time

/// Keeps the document of every gateway group up to date with what is committed, and wakes the gateways that wait for it.
///
/// Woken by each audit entry: there is no change without one. Reads `gateway_changes` above its version and reloads just those
/// entities, so the cost follows the change. What it holds can be rebuilt from the store at any time.
actor SnapshotPublisher {
    /// Most changes taken into one version.
    static let changesMax: Int64 = 1_000

    private let services: ServiceEnvironment
    private let catalog: any CatalogOffer
    private let portal: any PortalOffer
    private let secrets: (any SecretsOffer)?
    private let tracker: DeploymentTracker
    private let directory: GatewayDirectory
    private let prepared: PreparedEntries
    private var groups: [String: GroupDocument] = [:]
    /// Where each API's entries are, so that those which end can be taken out.
    private var places: [EntryKey: Set<Place>] = [:]
    private var version: Int64 = 0
    /// Whether everything that was committed before the start has been taken in.
    private var isLoaded: Bool = false
    /// Whether the tracker has yet to look at what was published.
    private var mustRefreshTracker: Bool = false
    /// Gateways that wait for the next version.
    private let followers: Followers

    private struct Place: Hashable, Sendable {
        let group: String
        let entry: EntryKey
    }

    /// What a change amounts to, read from the store.
    private struct Loaded: Sendable {
        let change: GatewayChanges.Change
        /// The entries of an API by group; of other kinds one entry for all groups.
        var entries: [Entry]
    }

    private struct Entry: Sendable {
        let group: String?
        let key: EntryKey
        /// nil: there is none any more, or it is refused.
        var read: ReadEntry?
        /// Why it cannot be in a snapshot; what was there before stays.
        var refusal: String?
        /// Of an API.
        var revision: Int64 = 0

        init(_ kind: EntryKind, _ key: EntryKey, _ json: JSONValue?, secrets: EntrySecrets = [:], group: String? = nil)
        {
            self.group = group
            self.key = key
            do throws(InvalidDocument) {
                self.read = try json.map { (json: JSONValue) throws(InvalidDocument) in
                    try ReadEntry(kind, json: json, secrets: secrets)
                }
            } catch {
                self.refusal = error.problems.map { "\($0.pointer): \($0.message)" }.joined(separator: "\n")
            }
        }

        init(_ key: EntryKey, group: String, refusal: String) {
            self.group = group
            self.key = key
            self.refusal = refusal
        }

        init(_ key: EntryKey, group: String, read: ReadEntry) {
            self.group = group
            self.key = key
            self.read = read
        }
    }

    init(
        services: ServiceEnvironment, catalog: any CatalogOffer, portal: any PortalOffer,
        secrets: (any SecretsOffer)?, tracker: DeploymentTracker, directory: GatewayDirectory, prepared: PreparedEntries
    ) {
        self.prepared = prepared
        self.secrets = secrets
        self.services = services
        self.catalog = catalog
        self.portal = portal
        self.tracker = tracker
        self.directory = directory
        self.followers = Followers(clock: services.clock)
    }

    /// Follows the log until cancelled.
    func run() async {
        await self.services.afterEachAuditEntry(failure: "snapshots could not be published") {
            try await self.publish()
        }
    }

    /// Takes in everything that is committed.
    func publish() async throws {
        while true {
            let since: Int64 = self.version
            let catalog: any CatalogOffer = self.catalog
            let portal: any PortalOffer = self.portal
            let secrets: (any SecretsOffer)? = self.secrets
            let prepared: PreparedEntries = self.prepared
            await prepared.settled()
            let loaded: [Loaded] = try await self.services.store.read { reader in
                try Self.load(
                    since: since, catalog: catalog, portal: portal, secrets: secrets, prepared: prepared, in: reader)
            }
            guard let last: Loaded = loaded.last else { break }
            guard since == self.version else { continue }
            for entry in loaded { self.take(entry) }
            self.version = last.change.version
            for group in self.groups.keys { self.groups[group]?.advance(to: self.version) }
            self.mustRefreshTracker = true
            if loaded.count < Int(Self.changesMax) { break }
        }
        if !self.isLoaded {
            for group in self.groups.keys { self.groups[group]?.forgetPast() }
            self.isLoaded = true
        }
        guard self.mustRefreshTracker else { return }
        self.wakeAll()
        try await self.tracker.refresh()
        self.mustRefreshTracker = false
    }

    private static func load(
        since: Int64, catalog: any CatalogOffer, portal: any PortalOffer, secrets: (any SecretsOffer)?,
        prepared: PreparedEntries, in store: any Queryable
    ) throws -> [Loaded] {
        var loaded: [Loaded] = []
        for change in try GatewayChanges.since(since, limit: Self.changesMax, in: store) {
            let key: EntryKey = EntryKey(tenant: change.tenant, id: change.id)
            switch change.kind {
            case .api:
                loaded.append(
                    try Self.loadAPI(change, catalog: catalog, secrets: secrets, prepared: prepared, in: store))
            case .application:
                let json: JSONValue? = try portal.gatewayApplication(tenant: change.tenant, id: change.id, in: store)
                loaded.append(Loaded(change: change, entries: [Entry(.application, key, json)]))
            case .plan:
                let json: JSONValue? = try catalog.gatewayPlan(tenant: change.tenant, name: change.id, in: store)
                loaded.append(Loaded(change: change, entries: [Entry(.plan, key, json)]))
            case .tenant:
                let json: JSONValue? = try catalog.gatewayTenant(change.tenant, in: store)
                loaded.append(Loaded(change: change, entries: [Entry(.tenant, key, json)]))
            }
        }
        return loaded
    }

    private static func loadAPI(
        _ change: GatewayChanges.Change, catalog: any CatalogOffer, secrets: (any SecretsOffer)?,
        prepared: PreparedEntries, in store: any Queryable
    ) throws -> Loaded {
        var loaded: Loaded = Loaded(change: change, entries: [])
        guard let api: APIRecord = try catalog.api(tenant: change.tenant, reference: change.id, in: store) else {
            return loaded
        }
        for place in try LiveTable.of(apiID: change.id, tenant: change.tenant, in: store) {
            guard
                let environment: EnvironmentRecord = try catalog.environment(
                    tenant: change.tenant, name: place.environment, in: store)
            else { continue }
            let basis: SnapshotEntry.Basis = SnapshotEntry.Basis(api, revision: place.revision, environment)
            if let read: ReadEntry = prepared.take(basis) {
                loaded.entries.append(Entry(basis.key, group: place.gatewayGroup, read: read))
                continue
            }
            guard
                let revision: RevisionRecord = try catalog.revision(
                    tenant: change.tenant, apiID: api.id, number: place.revision, in: store)
            else { continue }
            var entry: Entry = Self.resolved(
                basis.json(revision.gateway), basis.key, group: place.gatewayGroup, secrets: secrets, in: store)
            entry.revision = place.revision
            loaded.entries.append(entry)
        }
        return loaded
    }

    /// The entry with the present versions in its references, and what they stand for.
    private static func resolved(
        _ json: JSONValue, _ key: EntryKey, group: String, secrets: (any SecretsOffer)?, in store: any Queryable
    ) -> Entry {
        let names: Set<String> = SecretReference.names(in: json)
        if names.isEmpty { return Entry(.api, key, json, group: group) }
        var known: EntrySecrets = [:]
        var versions: [String: Int64] = [:]
        do {
            for name in names.sorted() {
                guard let version: Int64 = try secrets?.currentVersion(tenant: key.tenant, name: name, in: store),
                    let value: String = try secrets?.value(
                        tenant: key.tenant, name: name, version: version, in: store)
                else {
                    let refusal: String = "\(SecretReference.scheme)\(name): there is no such secret"
                    return Entry(key, group: group, refusal: refusal)
                }
                versions[name] = version
                known["\(name)@\(version)"] = value
            }
        } catch {
            return Entry(key, group: group, refusal: "its secrets do not open: \(error)")
        }
        let fixed: JSONValue = SecretReference.replacing(in: json) { name, _ in
            versions[name].map { "\(SecretReference.scheme)\(name)@\($0)" }
        }
        return Entry(.api, key, fixed, secrets: known, group: group)
    }

    private func take(_ loaded: Loaded) {
        let version: Int64 = loaded.change.version
        guard loaded.change.kind == .api else {
            for entry in loaded.entries { self.takeEverywhere(loaded.change.kind, entry, version) }
            return
        }
        let owner: EntryKey = EntryKey(tenant: loaded.change.tenant, id: loaded.change.id)
        var places: Set<Place> = []
        for entry in loaded.entries {
            let group: String = entry.group ?? ""
            places.insert(Place(group: group, entry: entry.key))
            self.openGroup(group)
            if entry.refusal == nil { self.groups[group]?.set(.api, entry.key, entry.read, version: version) }
            self.directory.note(
                refusal: entry.refusal, group: group, entry: entry.key.text, revision: entry.revision)
            self.logRefusal(of: entry)
        }
        for place in self.places[owner] ?? [] where !places.contains(place) {
            self.groups[place.group]?.set(.api, place.entry, nil, version: version)
            self.directory.note(refusal: nil, group: place.group, entry: place.entry.text, revision: 0)
        }
        self.places[owner] = places.isEmpty ? nil : places
    }

    /// Applications, plans and limits of tenants: every group has them. The group `` holds them for groups that open later.
    private func takeEverywhere(_ kind: GatewayChanges.Kind, _ entry: Entry, _ version: Int64) {
        let entryKind: EntryKind =
            switch kind {
            case .api: .api
            case .application: .application
            case .plan: .plan
            case .tenant: .tenant
            }
        self.openGroup("")
        self.logRefusal(of: entry)
        if entry.refusal != nil { return }
        for group in self.groups.keys { self.groups[group]?.set(entryKind, entry.key, entry.read, version: version) }
    }

    private func logRefusal(of entry: Entry) {
        guard let refusal: String = entry.refusal else { return }
        self.services.logger.log(
            .error, "an entry cannot be in a snapshot",
            ["entry": .string(entry.key.text), "reason": .string(refusal)])
    }

    /// A group begins with what all groups have.
    private func openGroup(_ group: String) {
        if self.groups[group] != nil { return }
        self.groups[group] = self.groups[""] ?? GroupDocument(version: self.version)
    }

    // MARK: Gateways

    /// What a gateway gets that runs version `since`.
    enum Answer: Sendable {
        case unchanged
        case whole(HashedDocument)
        case delta(SnapshotDelta, HashedDocument)
    }

    /// The snapshot of a group, as soon as it is newer than `since`; unchanged after `wait`.
    ///
    /// - Parameter hash: of what the gateway runs; when it is not what this version had, the whole document is sent.
    func snapshot(group: String, since: Int64, hash: String, wait: Duration) async -> Answer {
        self.openGroup(group)
        if let answer: Answer = self.answer(group: group, since: since, hash: hash) { return answer }
        await self.followers.wait(atMost: wait)
        return self.answer(group: group, since: since, hash: hash) ?? .unchanged
    }

    private func answer(group: String, since: Int64, hash: String) -> Answer? {
        guard let document: GroupDocument = self.groups[group] else { return nil }
        if document.version == since {
            return hash == document.document.hash || hash.isEmpty && since == 0 ? nil : .whole(document.document)
        }
        if let delta: SnapshotDelta = document.delta(since: since) { return .delta(delta, document.document) }
        return .whole(document.document)
    }

    var latestVersion: Int64 { self.version }

    /// Whether a gateway can run what it says: nothing newer than there is, and of the latest version what it really holds. A
    /// gateway that served another history of the control plane, from a backup or another folder, comes with numbers of that.
    func holds(version: Int64, hash: String, group: String) -> Bool {
        self.openGroup(group)
        guard let document: GroupDocument = self.groups[group] else { return false }
        return version < document.version || (version == document.version && hash == document.document.hash)
    }

    /// Ends every wait, also at shutdown.
    func wakeAll() { self.followers.wakeAll() }
}
