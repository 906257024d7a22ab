package import GatewayConfiguration
import HTTP
import Synchronization
import Tokens

/// A document made ready to serve: immutable, shared by all loops. Each loop keeps its own reference and changes it between two
/// events, so no request sees half of a change.
///
/// What a request needs is in pages of plain values: matching and deciding touch no reference counts. Successive snapshots share
/// the pages that did not change. APIs, applications and routes have places in these pages; a place is given again when what had
/// it is gone.
package final class Snapshot: Sendable {
    /// Counts up at the source of the document; 0 for a file.
    package let version: Int64
    /// The document's hash, as `DocumentDigest` makes it.
    package let hash: String
    package let router: Router
    /// By the numbers that decisions give.
    let applications: SharedPages<EntryKey>
    let subscriptions: SharedPages<SubscriptionName>

    /// APIs in file order.
    let placed: ContiguousArray<PlacedAPI>
    let live: LiveState
    let share: LimitShare
    private let apiTable: SharedPages<PlacedAPI?>
    private let routeTable: SharedPages<CompiledRoute?>
    let rules: SharedPages<RouteRules>
    let apiRules: SharedPages<APIRules>
    let applicationRules: SharedPages<ApplicationRules>
    let blocks: SharedPages<CompiledBlock?>
    let accessRules: SharedPages<AccessRule>
    let accessNames: SharedPages<TextRange>
    let limits: SharedPages<CompiledLimit>
    /// Words of APIs, of tenants, and of subscriptions: of limits by application, then of limits by key for each key.
    let words: SharedPages<UnsafeMutablePointer<LimitWord>?>
    /// Keeps the words of subscriptions alive; those of an API belong to the API.
    private let placedApplications: SharedPages<PlacedApplication?>
    /// The same for those of tenants.
    let tenants: [PlacedTenant]
    /// The claims that limits count by; see `CompiledLimit.claim`.
    let claimPaths: SharedPages<ClaimPath>
    let credentials: CredentialTable
    /// What credentials other than keys consist of; see `Credential.detail`.
    let credentialDetails: SharedPages<CredentialDefinition.Kind?>
    let subscriptionTable: SubscriptionTable
    private let texts: [TextChunk]
    /// What the next snapshot is made from; the first one that is takes it away.
    private let compiler: Mutex<SnapshotCompiler?>

    init(
        _ compiler: sending SnapshotCompiler, router: Router, placed: ContiguousArray<PlacedAPI>,
        applications: SharedPages<PlacedApplication?>, tenants: [PlacedTenant], live: LiveState, version: Int64,
        hash: String
    ) {
        self.version = version
        self.hash = hash
        self.live = live
        self.share = live.share
        self.router = router
        self.placed = placed
        self.placedApplications = applications
        self.tenants = tenants
        self.apiTable = compiler.tables.apis.share()
        self.routeTable = compiler.tables.routes.share()
        self.applications = compiler.tables.applications.share()
        self.subscriptions = compiler.tables.subscriptionNames.share()
        self.rules = compiler.tables.rules.share()
        self.apiRules = compiler.tables.apiRules.share()
        self.applicationRules = compiler.tables.applicationRules.share()
        self.blocks = compiler.tables.blocks.share()
        self.accessRules = compiler.tables.accessRules.share()
        self.accessNames = compiler.tables.accessNames.share()
        self.limits = compiler.tables.limits.share()
        self.words = compiler.tables.words.share()
        self.claimPaths = compiler.tables.claimPaths.share()
        self.credentials = CredentialTable(compiler.tables.credentials.share())
        self.credentialDetails = compiler.tables.credentialDetails.share()
        self.subscriptionTable = SubscriptionTable(compiler.tables.subscriptions.share())
        self.texts = compiler.tables.text.chunks
        self.compiler = Mutex(compiler)
    }

    /// APIs in file order.
    package var apis: [CompiledAPI] { self.placed.map { $0.api } }
    /// Theirs, in the same order, each followed by those that routes of the API have for themselves.
    package var upstreams: [CompiledUpstream] { self.placed.flatMap { $0.api.upstreams } }
    package var routes: RouteList { RouteList(table: self.routeTable, placed: self.placed) }

    /// The route at an index that matching gave.
    func route(at index: RouteIndex) -> CompiledRoute {
        guard let route: CompiledRoute = self.routeTable[index.value] else {
            preconditionFailure("no route has this index")
        }
        return route
    }

    /// The same without a reference count; good as long as the snapshot.
    @inline(__always)
    func routeInUse(_ index: RouteIndex) -> Unmanaged<CompiledRoute> {
        guard let route: CompiledRoute = self.routeTable.pointer(index.value).pointee else {
            preconditionFailure("no route has this index")
        }
        return .passUnretained(route)
    }

    /// Numbers below which all places of APIs are.
    var placeCount: Int { self.apiTable.count }

    /// The API at a place that rules of this snapshot name.
    func api(at place: Int32) -> CompiledAPI {
        guard let placed: PlacedAPI = self.apiTable[Int(place)] else {
            preconditionFailure("a route of the snapshot belongs to an API that is not in it")
        }
        return placed.api
    }

    /// What `RouteRules.upstream` and `Forwarding.upstream` name.
    func upstream(_ index: Int32) -> CompiledUpstream {
        if index >= 0 { return self.api(at: index).upstream }
        let route: CompiledRoute = self.routes[Int(-2 - index)]
        return route.ownUpstream ?? self.api(at: self.rules[Int(-2 - index)].api).upstream
    }

    /// Pages of memory, the router's apart, that the other snapshot does not have.
    func pagesNotShared(with other: Snapshot) -> Int {
        self.apiTable.pagesNotShared(with: other.apiTable) + self.routeTable.pagesNotShared(with: other.routeTable)
            + self.rules.pagesNotShared(with: other.rules) + self.limits.pagesNotShared(with: other.limits)
            + self.words.pagesNotShared(with: other.words)
            + self.applicationRules.pagesNotShared(with: other.applicationRules)
            + self.subscriptions.pagesNotShared(with: other.subscriptions)
    }

    /// A snapshot without any API: every request is answered 404.
    package static func empty(_ live: LiveState) -> Snapshot {
        Snapshot.compile(GatewayDocument(), previous: nil, carrying: live).snapshot
    }

    /// Makes a document ready. Not on a loop. Costs what changed since `previous`, and a comparison of entries that did not; from
    /// nothing, or where something is in conflict, some microseconds a route.
    ///
    /// An API that cannot be served (its routes conflict with another's, a limit is exceeded) is quarantined: named in the
    /// result, left out, and its version in `previous` stays if there is one. APIs that did not change have precedence over
    /// those that did; among these, earlier ones. `unreadable` names entries that could not even be read: of an API the version
    /// in `previous` stays. One compilation at a time for a `LiveState`.
    package static func compile(
        _ document: GatewayDocument, unreadable: [UnreadableEntry] = [], version: Int64 = 0, hash: String = "",
        previous: Snapshot?, carrying live: LiveState
    ) -> (snapshot: Snapshot, quarantined: [Quarantine]) {
        let compiler: SnapshotCompiler? = previous?.takeCompiler(of: live)
        let next: DocumentToCompile = DocumentToCompile(
            document: document, unreadable: unreadable, version: version, hash: hash)
        if let compiler, let snapshot: Snapshot = compiler.update(to: next) { return (snapshot, compiler.quarantined) }
        let fresh: SnapshotCompiler = SnapshotCompiler(live: live, routes: previous?.routes.count ?? 0)
        let snapshot: Snapshot = fresh.compile(next, after: previous)
        return (snapshot, fresh.quarantined)
    }

    private func takeCompiler(of live: LiveState) -> SnapshotCompiler? {
        guard live === self.live else { return nil }
        return self.compiler.withLock { compiler in compiler.take() }
    }

    /// The same for what came over the link.
    package static func compile(
        _ document: HashedDocument, previous: Snapshot?, carrying live: LiveState
    ) -> (snapshot: Snapshot, quarantined: [Quarantine]) {
        self.compile(
            document.document, unreadable: document.unreadable, version: document.version, hash: document.hash,
            previous: previous, carrying: live)
    }

    /// What a credential consists of; nil for keys, of which only the digest is known.
    func credentialKind(_ credential: Credential) -> CredentialDefinition.Kind? {
        credential.detail < 0 ? nil : self.credentialDetails[Int(credential.detail)]
    }

    /// Finds a request's route; see `Router`.
    package func match(_ request: RequestView) -> Match { self.router.match(request) }
}

/// Something of a document that could not be served, and why.
package struct Quarantine: Sendable, Equatable {
    package enum Kind: String, Sendable {
        case api
        case application
        case plan
        case tenant
    }

    package let kind: Kind
    package let key: EntryKey
    /// Sentences for people.
    package let problems: [String]
    /// Whether an earlier version is still served.
    package let isEarlierVersionLive: Bool
}

/// The routes of a snapshot, by the index that matching gives.
package struct RouteList: Sendable {
    fileprivate let table: SharedPages<CompiledRoute?>
    fileprivate let placed: ContiguousArray<PlacedAPI>

    package subscript(index: Int) -> CompiledRoute {
        guard let route: CompiledRoute = self.table[index] else { preconditionFailure("no route has this index") }
        return route
    }

    /// Routes there are. Looks at every API.
    package var count: Int { self.placed.reduce(0) { $0 + $1.api.routes.count } }
}

/// What a subscription is called in records.
package struct SubscriptionName: Sendable, Equatable {
    package let id: String
    package let application: EntryKey
    package let api: String
    package let plan: String?
}

/// An API's part of a decision.
struct APIRules: BitwiseCopyable {
    /// What a challenge names.
    var realm: TextRange
}

/// An application's part of a decision.
struct ApplicationRules: BitwiseCopyable {
    var identity: IdentityNumber
    var isActive: Bool
    /// Its id.
    var name: TextRange = TextRange()
}
