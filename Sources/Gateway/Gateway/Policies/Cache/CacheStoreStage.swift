import GatewayConfiguration

/// Stores responses as they pass (RFC 9111, 3), renews those the origin confirmed, and forgets what a change made wrong.
final class CacheStoreStage: ResponseStage, @unchecked Sendable {
    init() { super.init(rank: .cacheStore) }

    override func replacement(for head: ResponseHead, _ context: PolicyContext) -> LocalAnswer? {
        guard let note: CacheExchange = context.note(CacheExchange.self), let entry: CacheEntry = note.stale else {
            return nil
        }
        let now: UInt64 = context.time.monotonic
        if head.status == 304, note.isValidating {
            let renewed: CacheEntry = Freshness.renewed(entry, head, note, context)
            note.store.store(renewed, since: note.moment)
            note.finish(isStored: true, now: now)
            return CacheAnswers.answer(
                renewed, context.request, now: now,
                status: note.policy.tellsStatus ? "hit; \(note.forward); fwd-status=304; stored" : nil)
        }
        let isFailure: Bool = head.status == 500 || (head.status >= 502 && head.status <= 504)
        guard isFailure, let stale: CacheEntry = note.staleForError(now: now) else { return nil }
        return CacheAnswers.answer(
            stale, context.request, now: now,
            status: note.policy.tellsStatus ? "hit; \(note.forward); fwd-status=\(head.status)" : nil)
    }

    override func makeFilter(_ head: ResponseHead, _ context: PolicyContext) -> ResponseFilter? {
        guard head.isFromUpstream, let note: CacheExchange = context.note(CacheExchange.self) else { return nil }
        if note.invalidates, head.status >= 200, head.status < 400 { self.invalidate(note, head) }
        let mayStore: Bool = note.mayStore && !context.isResponsePersonal
        let entry: Freshness? = mayStore ? Freshness(head, note, context) : nil
        if entry == nil { note.finish(isStored: false, now: context.time.monotonic) }
        return CacheFilter(note, entry, context)
    }

    /// A change that was done makes what is stored of its address wrong, and of those it names on the same host (RFC 9111, 4.4).
    private func invalidate(_ note: CacheExchange, _ head: ResponseHead) {
        note.store.invalidate(note.key)
        for name in ["location", "content-location"] {
            guard let target: String = head.fields.first(name), target.hasPrefix("/"), !target.hasPrefix("//") else {
                continue
            }
            note.store.invalidate(note.key.with(target: Array(target.utf8)))
        }
    }
}

/// Copies a response's body into the store as it passes.
private final class CacheFilter: ResponseFilter {
    private let note: CacheExchange
    private var freshness: Freshness?
    private unowned(unsafe) let context: PolicyContext
    private var fields: FieldLines = FieldLines()
    private var status: Int = 0
    private var body: [[UInt8]] = []
    private var count: Int = 0

    init(_ note: CacheExchange, _ freshness: Freshness?, _ context: PolicyContext) {
        self.note = note
        self.freshness = freshness
        self.context = context
        super.init()
    }

    override func head(_ head: ResponseHead) -> HeadOutcome {
        self.status = head.status
        if self.freshness != nil {
            self.fields = head.fields
            self.fields.remove("age")
        }
        if self.note.policy.tellsStatus {
            let stored: String = self.freshness == nil ? "" : "; stored"
            head.fields.add("Cache-Status", "passerelle; \(self.note.forward); fwd-status=\(head.status)\(stored)")
        }
        return .pass
    }

    override func body(_ bytes: UnsafeRawBufferPointer, _ out: inout FilterOutput) {
        guard self.freshness != nil else { return }
        self.count += bytes.count
        if self.count > self.note.policy.bodyBytesMax {
            self.freshness = nil
            self.body = []
            self.note.finish(isStored: false, now: self.context.time.monotonic)
            return
        }
        self.body.append([UInt8](bytes))
    }

    override func end(_ out: inout FilterOutput) {
        guard let freshness: Freshness = self.freshness else { return }
        // Many small pieces cost more than their bytes.
        if self.body.count > 1, self.count / self.body.count < 4096 { self.body = [Array(self.body.joined())] }
        self.note.store.store(
            freshness.entry(status: self.status, fields: self.fields, body: self.body), since: self.note.moment)
        self.note.finish(isStored: true, now: self.context.time.monotonic)
    }

    override func abandoned() { self.note.finish(isStored: false, now: 0) }
}
