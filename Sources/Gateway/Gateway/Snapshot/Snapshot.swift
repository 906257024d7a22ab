package import GatewayConfiguration
import HTTP
import Tokens

/// A document made ready to serve: immutable, shared by all loops. Each loop keeps its own reference and changes it between two
/// events, so no request sees half of a change.
///
/// What a request needs is in flat arrays of plain values: matching and deciding touch no reference counts.
package final class Snapshot: Sendable {
    /// Counts up at the source of the document; 0 for a file.
    package let version: Int64
    /// The document's hash, as `DocumentDigest` makes it.
    package let hash: String
    package let apis: ContiguousArray<CompiledAPI>
    package let routes: ContiguousArray<CompiledRoute>
    /// One for each API, at the same place.
    package let upstreams: ContiguousArray<CompiledUpstream>
    package let applications: ContiguousArray<EntryKey>
    package let subscriptions: ContiguousArray<SubscriptionName>
    package let router: Router

    let live: LiveState
    /// Of the routes that have one; see `RouteRules.pipeline`.
    let pipelines: ContiguousArray<RoutePipeline>
    let share: LimitShare
    let rules: FlatArray<RouteRules>
    /// Each route's place in file order; routes stand in the order they were compiled.
    let orders: FlatArray<Int32>
    let apiRules: FlatArray<APIRules>
    let applicationRules: FlatArray<ApplicationRules>
    let blocks: FlatArray<CompiledBlock>
    let limits: FlatArray<CompiledLimit>
    /// Words of subscriptions: of limits by application, then of limits by key for each key.
    let words: FlatArray<UnsafeMutablePointer<LimitWord>>
    /// The claims that limits count by; see `CompiledLimit.claim`.
    let claimPaths: [ClaimPath]
    let credentials: CredentialTable
    /// What credentials other than keys consist of; see `Credential.detail`.
    let credentialDetails: [CredentialDefinition.Kind]
    let subscriptionTable: SubscriptionTable
    let text: FlatArray<UInt8>
    /// Keeps the words alive.
    private let boxes: [LimitBox]
    let places: [EntryKey: Int]
    let applicationDefinitions: [EntryKey: ApplicationDefinition]

    init(_ parts: SnapshotParts, router: Router, live: LiveState, version: Int64, hash: String) {
        self.version = version
        self.hash = hash
        self.live = live
        self.pipelines = ContiguousArray(parts.pipelines)
        self.share = live.share
        self.router = router
        self.apis = ContiguousArray(parts.apis)
        self.routes = ContiguousArray(parts.routes)
        var upstreams: ContiguousArray<CompiledUpstream> = []
        for api in parts.apis { upstreams.append(api.upstream) }
        self.upstreams = upstreams
        self.applications = ContiguousArray(parts.applications)
        self.subscriptions = ContiguousArray(parts.subscriptionNames)
        self.rules = FlatArray(parts.rules)
        self.orders = FlatArray(parts.orders)
        self.apiRules = FlatArray(parts.apiRules)
        self.applicationRules = FlatArray(parts.applicationRules)
        self.blocks = FlatArray(parts.blocks)
        self.limits = FlatArray(parts.limits)
        self.words = FlatArray(parts.words)
        self.credentials = CredentialTable(parts.credentials)
        self.claimPaths = parts.claimPaths
        self.credentialDetails = parts.credentialDetails
        self.subscriptionTable = SubscriptionTable(parts.subscriptions)
        self.text = FlatArray(parts.text.bytes)
        self.boxes = parts.boxes
        self.places = parts.places
        self.applicationDefinitions = parts.applicationDefinitions
    }

    /// A snapshot without any API: every request is answered 404.
    package static func empty(_ live: LiveState) -> Snapshot {
        Snapshot.compile(GatewayDocument(), previous: nil, carrying: live).snapshot
    }

    /// Makes a document ready. Not on a loop: takes about a microsecond a route.
    ///
    /// An API that cannot be served (its routes conflict with another's, a limit is exceeded) is quarantined: named in the
    /// result, left out, and its version in `previous` stays if there is one. APIs that did not change have precedence over
    /// those that did; among these, earlier ones. `unreadable` names entries that could not even be read: of an API the version
    /// in `previous` stays. One compilation at a time for a `LiveState`.
    package static func compile(
        _ document: GatewayDocument, unreadable: [UnreadableEntry] = [], version: Int64 = 0, hash: String = "",
        previous: Snapshot?, carrying live: LiveState
    ) -> (snapshot: Snapshot, quarantined: [Quarantine]) {
        live.beginGeneration()
        let compiler: SnapshotCompiler = SnapshotCompiler(
            previous: previous, live: live, routes: previous?.routes.count ?? 0)
        compiler.addAPIs(document.apis)
        compiler.addUnreadable(unreadable)
        compiler.addApplications(document.applications, plans: document.plans)
        live.endGeneration()
        let snapshot: Snapshot = Snapshot(
            compiler.parts, router: compiler.router.build(), live: live, version: version, hash: hash)
        return (snapshot, compiler.quarantined)
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
    }

    package let kind: Kind
    package let key: EntryKey
    /// Sentences for people.
    package let problems: [String]
    /// Whether an earlier version is still served.
    package let isEarlierVersionLive: Bool
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
}

/// What a compilation collects.
struct SnapshotParts {
    var apis: [CompiledAPI] = []
    var routes: [CompiledRoute] = []
    var places: [EntryKey: Int] = [:]
    var applications: [EntryKey] = []
    var applicationDefinitions: [EntryKey: ApplicationDefinition] = [:]
    var subscriptionNames: [SubscriptionName] = []
    var rules: [RouteRules] = []
    var pipelines: [RoutePipeline] = []
    var orders: [Int32] = []
    var apiRules: [APIRules] = []
    var applicationRules: [ApplicationRules] = []
    var blocks: [CompiledBlock] = []
    var limits: [CompiledLimit] = []
    var words: [UnsafeMutablePointer<LimitWord>] = []
    var boxes: [LimitBox] = []
    var claimPaths: [ClaimPath] = []
    var credentials: [Credential] = []
    var credentialDetails: [CredentialDefinition.Kind] = []
    var subscriptions: [SubscriptionRules] = []
    var text: TextBlob = TextBlob()
}
