import GatewayConfiguration

/// What a response's head says about storing it: whether, how long, and for whom. Nil where it is not to be stored.
struct Freshness {
    private let key: CacheKey
    private let origin: [UInt8]
    private let control: CacheControl
    private let lifetime: Int64
    private let initialAge: Int64
    private let received: UInt64
    private let varyNames: [String]
    private let varyValues: [String]
    private let tags: [String]
    private let staleWhileRevalidate: Int64
    private let staleIfError: Int64

    /// Statuses a response may be stored with although it does not say how long it is fresh (RFC 9110, 15.1).
    private static let defaultStatuses: Set<Int> = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]
    /// Tags of one response at most.
    private static let tagsMax: Int = 64

    init?(_ head: ResponseHead, _ note: CacheExchange, _ context: PolicyContext) {
        // Parts of a response and answers to conditions are passed on and not kept.
        guard head.status >= 200, head.status != 206, head.status != 304, !note.control.isNoStore else { return nil }
        let control: CacheControl = CacheControl(head.fields.joined("cache-control") ?? "")
        let isUnderstood: Bool = Freshness.defaultStatuses.contains(head.status)
        if control.isNoStore, !(control.isMustUnderstand && isUnderstood) { return nil }
        if control.isPrivate || head.fields.has("set-cookie") { return nil }
        if note.isOfCaller, !control.isPublic, control.sharedMaxAge == nil, !control.isMustRevalidate { return nil }
        guard let names: [String] = VaryFields.names(head.fields.joined("vary")) else { return nil }
        if let declared: UInt64 = head.declaredLength, declared > UInt64(note.policy.bodyBytesMax), !head.isBodyless {
            return nil
        }
        let wall: Int64 = context.time.wallSeconds
        let date: Int64 = head.fields.first("date").flatMap { HTTPDate.seconds($0, now: wall) } ?? wall
        var lifetime: Int64? = Freshness.explicit(control, head, date: date, now: wall)
        if lifetime == nil, isUnderstood, note.policy.lifetime > 0 { lifetime = note.policy.lifetime }
        let hasValidator: Bool = head.fields.has("etag") || head.fields.has("last-modified")
        // Without a lifetime it can only be used after asking, for which it needs something to ask with.
        if (lifetime ?? 0) <= 0, !(hasValidator && isUnderstood) { return nil }
        self.key = note.key
        self.origin = note.origin
        self.control = control
        self.lifetime = max(0, lifetime ?? 0)
        self.received = context.time.monotonic
        self.initialAge = Freshness.age(head, date: date, note, context)
        self.varyNames = names
        var values: [String] = []
        for name in names { values.append(VaryFields.value(name, in: context.request.fields, context.edits)) }
        self.varyValues = values
        self.tags = Freshness.tags(head, note.policy.tagHeader)
        self.staleWhileRevalidate = control.staleWhileRevalidate ?? note.policy.staleWhileRevalidate
        self.staleIfError = control.staleIfError ?? note.policy.staleIfError
    }

    /// RFC 9111, 4.2.1: what is meant for shared caches first.
    private static func explicit(_ control: CacheControl, _ head: ResponseHead, date: Int64, now: Int64) -> Int64? {
        if let seconds: Int64 = control.sharedMaxAge ?? control.maxAge { return seconds }
        guard let index: Int = head.fields.index(of: "expires") else { return nil }
        // Not a date ("0"): in the past.
        guard let expires: Int64 = HTTPDate.seconds(head.fields.text(at: index), now: now) else { return 0 }
        return max(0, expires - date)
    }

    /// RFC 9111, 4.2.3.
    private static func age(_ head: ResponseHead, date: Int64, _ note: CacheExchange, _ context: PolicyContext) -> Int64
    {
        let now: UInt64 = context.time.monotonic
        let delay: Int64 = Int64(clamping: (now > note.requested ? now - note.requested : 0) / 1_000_000_000)
        let stated: Int64 = head.fields.first("age").map { CacheControl.seconds($0) } ?? 0
        return max(max(0, context.time.wallSeconds - date), stated + delay)
    }

    private static func tags(_ head: ResponseHead, _ name: String) -> [String] {
        guard let text: String = head.fields.joined(name) else { return [] }
        var tags: [String] = []
        for part in text.split(whereSeparator: { $0 == "," || $0 == " " }) where tags.count < self.tagsMax {
            tags.append(String(part))
        }
        return tags
    }

    func entry(status: Int, fields: FieldLines, body: [[UInt8]]) -> CacheEntry {
        // A stage behind the upstream (compression) may have named more fields it varies by.
        CacheEntry(
            key: self.key, status: status, fields: fields, body: body, origin: self.origin,
            varyNames: self.varyNames, varyValues: self.varyValues, lifetime: self.lifetime,
            initialAge: self.initialAge, received: self.received, control: self.control, tags: self.tags,
            staleWhileRevalidate: self.staleWhileRevalidate,
            staleIfError: self.staleIfError)
    }

    /// A stored response after the origin said that it is unchanged (RFC 9111, 4.3.4): with the fields of the confirmation.
    static func renewed(
        _ entry: CacheEntry, _ head: ResponseHead, _ note: CacheExchange, _ context: PolicyContext
    ) -> CacheEntry {
        var fields: FieldLines = entry.fields
        for index in head.fields.lines.indices {
            let name: String = head.fields.nameText(at: index).lowercased()
            if self.kept.contains(name) { continue }
            // A weakened tag stays weak: the body is not the origin's byte by byte.
            if name == "etag", let own: String = entry.etag, EntityTag.weaklyEqual(own, head.fields.text(at: index)) {
                continue
            }
            fields.set(head.fields.nameText(at: index), head.fields.text(at: index))
        }
        let control: CacheControl = CacheControl(fields.joined("cache-control") ?? "")
        let wall: Int64 = context.time.wallSeconds
        let date: Int64 = head.fields.first("date").flatMap { HTTPDate.seconds($0, now: wall) } ?? wall
        let whole: ResponseHead = ResponseHead()
        whole.fields = fields
        let lifetime: Int64 = self.explicit(control, whole, date: date, now: wall) ?? note.policy.lifetime
        return CacheEntry(
            key: entry.key, status: entry.status, fields: fields, body: entry.body, origin: entry.origin,
            varyNames: entry.varyNames, varyValues: entry.varyValues, lifetime: max(0, lifetime),
            initialAge: self.age(head, date: date, note, context), received: context.time.monotonic, control: control,
            tags: entry.tags, staleWhileRevalidate: control.staleWhileRevalidate ?? note.policy.staleWhileRevalidate,
            staleIfError: control.staleIfError ?? note.policy.staleIfError)
    }

    /// Fields of a confirmation that say nothing about the stored body, or belong to one exchange.
    private static let kept: Set<String> = [
        "age", "content-encoding", "content-length", "content-range", "content-type", "set-cookie", "vary",
        "cache-status",
    ]
}
