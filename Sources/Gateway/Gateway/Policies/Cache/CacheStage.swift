import GatewayConfiguration
import HTTP
import Synchronization

/// Answers from stored responses (RFC 9111, as a shared cache), and prepares the request where that cannot be.
final class CacheStage: RequestStage, @unchecked Sendable {
    let policy: CachePolicy
    private let tenant: String
    private let api: String
    private let route: [UInt8]
    private let force: BalanceKey?
    private let versions: [[UInt8]]
    private let store: CacheStore

    init(_ policy: CachePolicy, api: APIDefinition, route: RouteDefinition, store: CacheStore) {
        self.policy = policy
        self.tenant = api.tenant
        self.api = api.id
        self.route = Array(route.id.utf8)
        let canary: CanaryDefinition? = (route.upstream ?? api.upstream).canary
        self.force = canary?.force.map { BalanceKey($0) }
        self.versions = canary?.versions.map { Array($0.name.utf8) } ?? []
        self.store = store
        super.init(rank: .cache)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        if context.work != nil, let note: CacheExchange = context.note(CacheExchange.self) {
            note.hasWaited = true
            return self.lookUp(note, request, context, &decision)
        }
        let key: CacheKey = self.key(request, query: context.ownQuery(decision.forwarding))
        let note: CacheExchange = CacheExchange(
            key: key, origin: self.origin(request, context), store: self.store, policy: self.policy)
        note.requested = context.time.monotonic
        context.setNote(note)
        note.isOfCaller =
            context.caller.application >= 0 || context.identity != nil || context.isVouchedFor
            || CacheStage.value("authorization", request) != nil
        switch request.method {
        case .get, .head: break
        case .options, .other:
            note.forward = "fwd=method"
            return .next
        default:
            note.forward = "fwd=method"
            note.invalidates = true
            return .next
        }
        if self.policy.honorsRequests {
            var text: String? = CacheStage.value("cache-control", request)
            if text == nil, CacheStage.value("pragma", request)?.lowercased().contains("no-cache") == true {
                text = "no-cache"
            }
            if let text: String = text { note.control = CacheControl(text) }
        }
        let isPartial: Bool = CacheStage.value("range", request) != nil
        let hasOwnRule: Bool =
            CacheStage.value("if-match", request) != nil || CacheStage.value("if-unmodified-since", request) != nil
        if note.control.isNoStore || isPartial || hasOwnRule || request.contentLength != 0 {
            note.forward = "fwd=bypass"
            return .next
        }
        return self.lookUp(note, request, context, &decision)
    }

    private func lookUp(
        _ note: CacheExchange, _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        let now: UInt64 = context.time.monotonic
        guard let entry: CacheEntry = self.store.find(note.key, origin: note.origin, request.fields, context.edits),
            self.mayUse(entry, note)
        else {
            if note.control.isOnlyIfCached { return decision.refuse(.notCached) }
            return self.miss(note, request, now)
        }
        if self.isFreshEnough(entry, note.control, now: now) {
            self.store.hits.wrappingAdd(1, ordering: .relaxed)
            return .answer(self.hit(entry, request, now: now, status: "hit; ttl=\(entry.timeLeft(now: now))"))
        }
        if self.mayBeStale(entry, note.control, now: now) {
            self.store.hits.wrappingAdd(1, ordering: .relaxed)
            if entry.isRenewedBehind(now: now) { self.renewInBackground(entry, note, request, context) }
            return .answer(self.hit(entry, request, now: now, status: "hit; ttl=\(entry.timeLeft(now: now))"))
        }
        if note.control.isOnlyIfCached { return decision.refuse(.notCached) }
        return self.renew(entry, note, request, context, now: now)
    }

    /// Responses to callers with credentials are for all only when they say so (RFC 9111, 3.5).
    private func mayUse(_ entry: CacheEntry, _ note: CacheExchange) -> Bool {
        if !note.isOfCaller { return true }
        return entry.control.isPublic || entry.control.sharedMaxAge != nil || entry.control.isMustRevalidate
    }

    private func isFreshEnough(_ entry: CacheEntry, _ control: CacheControl, now: UInt64) -> Bool {
        if control.isNoCache || entry.control.isNoCache { return false }
        let left: Int64 = entry.timeLeft(now: now)
        if left <= 0 { return false }
        if let most: Int64 = control.maxAge, entry.age(now: now) > most { return false }
        if let least: Int64 = control.minFresh, left < least { return false }
        return true
    }

    /// Whether it may be used although it is stale: the client takes stale ones, or it is renewed behind the scenes.
    private func mayBeStale(_ entry: CacheEntry, _ control: CacheControl, now: UInt64) -> Bool {
        if control.isNoCache || entry.mustRevalidate || control.minFresh != nil { return false }
        let staleFor: Int64 = -entry.timeLeft(now: now)
        if let most: Int64 = control.maxAge, entry.age(now: now) > most, control.maxStale == nil { return false }
        if let most: Int64 = control.maxStale, staleFor <= most { return true }
        return entry.isRenewedBehind(now: now)
    }

    // MARK: Forwarding

    private func miss(_ note: CacheExchange, _ request: RequestView, _ now: UInt64) -> StageOutcome {
        self.store.misses.wrappingAdd(1, ordering: .relaxed)
        note.forward = "fwd=uri-miss"
        note.mayStore = request.method == .get
        // A request that asks for a condition gets what fits the client's copy: it is no answer for others.
        let isConditional: Bool =
            CacheStage.value("if-none-match", request) != nil || CacheStage.value("if-modified-since", request) != nil
        if request.method != .get || isConditional || note.hasWaited || note.isOfCaller { return .next }
        switch self.store.part(note.key, now: now) {
        case .lead(let fill):
            note.fill = fill
            return .next
        case .follow(let fill): return .suspend(CacheWait(fill))
        case .alone: return .next
        }
    }

    /// Asks the origin whether a stale response is still right.
    private func renew(
        _ entry: CacheEntry, _ note: CacheExchange, _ request: RequestView, _ context: PolicyContext, now: UInt64
    ) -> StageOutcome {
        self.store.misses.wrappingAdd(1, ordering: .relaxed)
        note.forward = note.control.isNoCache || note.control.maxAge != nil ? "fwd=request" : "fwd=stale"
        note.mayStore = request.method == .get
        if request.method == .get, !note.hasWaited, !note.isOfCaller, !note.control.isNoCache {
            switch self.store.part(note.key, now: now) {
            case .lead(let fill): note.fill = fill
            case .follow(let fill): return .suspend(CacheWait(fill))
            case .alone: break
            }
        }
        self.validate(entry, note, context)
        return .next
    }

    private func validate(_ entry: CacheEntry, _ note: CacheExchange, _ context: PolicyContext) {
        note.stale = entry
        context.fallback = StaleFallback(note, context)
        guard entry.hasValidator else { return }
        note.isValidating = true
        context.edits.removeField("if-none-match")
        context.edits.removeField("if-modified-since")
        if let tag: String = entry.etag { context.edits.addField("If-None-Match", tag) }
        if let date: String = entry.lastModified { context.edits.addField("If-Modified-Since", date) }
    }

    /// Has a stale response renewed after it was used; one request at a time does.
    private func renewInBackground(
        _ entry: CacheEntry, _ note: CacheExchange, _ request: RequestView, _ context: PolicyContext
    ) {
        guard request.method == .get, case .lead(let fill) = self.store.part(note.key, now: context.time.monotonic)
        else {
            return
        }
        let stage: CacheStage = self
        let (key, origin): (CacheKey, [UInt8]) = (note.key, note.origin)
        let isOfCaller: Bool = note.isOfCaller
        context.refresh = { (other: PolicyContext) in
            let note: CacheExchange = CacheExchange(
                key: key, origin: origin, store: stage.store, policy: stage.policy)
            note.requested = other.time.monotonic
            note.forward = "fwd=stale"
            note.mayStore = true
            note.isOfCaller = isOfCaller
            note.fill = fill
            other.setNote(note)
            stage.validate(entry, note, other)
        }
    }

    // MARK: Answering

    /// The stored response as an answer to this request; 304 where the client's own condition finds it unchanged.
    private func hit(_ entry: CacheEntry, _ request: RequestView, now: UInt64, status: String) -> LocalAnswer {
        CacheAnswers.answer(entry, request, now: now, status: self.policy.tellsStatus ? status : nil)
    }

    private func key(_ request: RequestView, query: [UInt8]) -> CacheKey {
        var target: [UInt8] = [UInt8](request.path)
        if !query.isEmpty {
            target.append(0x3F)
            target.append(contentsOf: query)
        }
        return CacheKey(tenant: self.tenant, api: self.api, host: [UInt8](request.host), target: target)
    }

    /// Scheme, route, forced version, and the target that stages have put in place of the client's: none of them holds a NUL.
    private func origin(_ request: RequestView, _ context: PolicyContext) -> [UInt8] {
        var origin: [UInt8] = [context.isSecure ? 1 : 2]
        origin.append(contentsOf: self.route)
        origin.append(0)
        if let named: UnsafeRawBufferPointer = self.force?.text(request),
            let version: [UInt8] = self.versions.first(where: { $0.elementsEqual(named) })
        {
            origin.append(contentsOf: version)
        }
        origin.append(0)
        if let path: [UInt8] = context.edits.path { origin.append(contentsOf: path) }
        origin.append(0)
        if let query: [UInt8] = context.edits.query { origin.append(contentsOf: [0x3F] + query) }
        return origin
    }

    /// The values of all fields of a name, joined.
    static func value(_ name: StaticString, _ request: RequestView) -> String? {
        var joined: String?
        var index: Int = -1
        while true {
            index = request.fields.index(
                of: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), from: index + 1)
            if index < 0 { return joined }
            let text: String = String(decoding: request.fields.value(at: index), as: UTF8.self)
            joined = joined.map { $0 + ", " + text } ?? text
        }
    }
}

/// Waits for the response that another request fetches; after a while it is fetched anyway.
final class CacheWait: PolicyWork, @unchecked Sendable {
    // Safe to share: holds nothing that changes.
    private let fill: CacheFill

    init(_ fill: CacheFill) { self.fill = fill }

    override var timeout: UInt64 { self.fill.patience }
    override var goesOnAfterTimeout: Bool { true }
    override func start(_ done: @escaping @Sendable () -> Void) { self.fill.wait(done) }
}

/// What the cache knows of one exchange, from the request's stage to the response's.
final class CacheExchange {
    let key: CacheKey
    /// What else decides which response the upstream gives: requests for one address may go to several places. Apart from the key,
    /// which purges name.
    let origin: [UInt8]
    let store: CacheStore
    let policy: CachePolicy
    /// When it began, as the store counts purges.
    let moment: UInt64
    /// The request's directives.
    var control: CacheControl = CacheControl()
    /// Monotonic nanoseconds when the request came.
    var requested: UInt64 = 0
    /// Why it goes to the upstream, as `Cache-Status` says it.
    var forward: String = "fwd=bypass"
    var mayStore: Bool = false
    /// The caller has shown credentials.
    var isOfCaller: Bool = false
    var invalidates: Bool = false
    var hasWaited: Bool = false
    /// The response that is not fresh enough.
    var stale: CacheEntry?
    /// The upstream was asked whether it is still right.
    var isValidating: Bool = false
    /// Others wait for this exchange.
    var fill: CacheFill?

    init(key: CacheKey, origin: [UInt8], store: CacheStore, policy: CachePolicy) {
        self.key = key
        self.origin = origin
        self.store = store
        self.policy = policy
        self.moment = store.moment
    }

    /// The exchange ended, whichever way: nobody waits any more.
    deinit { self.fill?.finish(isStored: false, now: 0) }

    func finish(isStored: Bool, now: UInt64) { self.fill?.finish(isStored: isStored, now: now) }

    /// The stale response, where it may be used because the upstream failed.
    func staleForError(now: UInt64) -> CacheEntry? {
        guard let entry: CacheEntry = self.stale, !entry.mustRevalidate, !self.control.isNoCache else { return nil }
        let allowed: Int64 = max(entry.staleIfError, self.control.staleIfError ?? 0)
        return allowed > 0 && -entry.timeLeft(now: now) <= allowed ? entry : nil
    }
}

/// Answers with the stale response when the upstream cannot be reached.
private final class StaleFallback: AnswerFallback {
    private let note: CacheExchange
    private unowned(unsafe) let context: PolicyContext

    init(_ note: CacheExchange, _ context: PolicyContext) {
        self.note = note
        self.context = context
        super.init()
    }

    override func answer(for reason: RequestReason) -> LocalAnswer? {
        guard reason.isUpstreamFailure,
            let entry: CacheEntry = self.note.staleForError(now: self.context.time.monotonic)
        else { return nil }
        return CacheAnswers.answer(
            entry, self.context.request, now: self.context.time.monotonic,
            status: self.note.policy.tellsStatus ? "hit; \(self.note.forward); detail=\(reason.slug)" : nil)
    }
}

extension RequestReason {
    /// The upstream did not answer, or nothing that can be passed on.
    var isUpstreamFailure: Bool {
        switch self {
        case .upstreamUnavailable, .upstreamConnectFailed, .upstreamConnectTimeout, .upstreamReset, .upstreamTimeout,
            .upstreamInvalidResponse, .upstreamOverloaded, .circuitOpen:
            return true
        default: return false
        }
    }
}
