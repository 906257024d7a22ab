import Synchronization

/// What a stored response is found by: tenant first, then API, host, and path with query.
struct CacheKey: Hashable, Sendable {
    let bytes: [UInt8]

    init(tenant: String, api: String, host: [UInt8], target: [UInt8]) {
        var bytes: [UInt8] = CacheKey.prefix(tenant: tenant, api: api)
        for byte in host { bytes.append(ASCIIBytes.lowered(byte)) }
        bytes.append(0)
        bytes.append(contentsOf: target)
        self.bytes = bytes
    }

    /// What the keys of an API begin with; without an API, those of a tenant.
    static func prefix(tenant: String, api: String?) -> [UInt8] {
        var bytes: [UInt8] = Array(tenant.utf8)
        bytes.append(0)
        guard let api: String = api else { return bytes }
        bytes.append(contentsOf: api.utf8)
        bytes.append(0)
        return bytes
    }

    /// Another address of the same host.
    func with(target: [UInt8]) -> CacheKey {
        guard let end: Int = self.bytes.lastIndex(of: 0) else { return self }
        return CacheKey(bytes: Array(self.bytes[...end]) + target)
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }
}

/// A stored response: immutable but for the mark that it was used.
final class CacheEntry: Sendable {
    let key: CacheKey
    let status: Int
    /// Without `Age`.
    let fields: FieldLines
    let body: [[UInt8]]
    /// What besides the address it was asked by; see `CacheExchange.origin`.
    let origin: [UInt8]
    /// Lower-case names of the request's fields it was chosen by, and the values they had.
    let varyNames: [String]
    let varyValues: [String]
    /// Seconds it is fresh for.
    let lifetime: Int64
    /// Its age in seconds when it came (RFC 9111, 4.2.3).
    let initialAge: Int64
    /// Monotonic nanoseconds when it came.
    let received: UInt64
    let control: CacheControl
    let tags: [String]
    /// Seconds it may be used after its time, while it is renewed, and when that fails.
    let staleWhileRevalidate: Int64
    let staleIfError: Int64
    let bytes: Int
    /// Asked for since the hand of the clock passed.
    let isUsed: Atomic<Bool> = Atomic(false)

    /// What an entry costs besides its bytes.
    private static let overheadBytes: Int = 512

    init(
        key: CacheKey, status: Int, fields: FieldLines, body: [[UInt8]], origin: [UInt8] = [], varyNames: [String],
        varyValues: [String], lifetime: Int64, initialAge: Int64, received: UInt64, control: CacheControl,
        tags: [String],
        staleWhileRevalidate: Int64, staleIfError: Int64
    ) {
        self.key = key
        self.status = status
        self.fields = fields
        self.body = body
        self.origin = origin
        self.varyNames = varyNames
        self.varyValues = varyValues
        self.lifetime = lifetime
        self.initialAge = initialAge
        self.received = received
        self.control = control
        self.tags = tags
        self.staleWhileRevalidate = staleWhileRevalidate
        self.staleIfError = staleIfError
        var bytes: Int = CacheEntry.overheadBytes + key.bytes.count * 2 + origin.count + fields.bytes.count * 2
        for piece in body { bytes += piece.count }
        self.bytes = bytes
    }

    /// Seconds since the origin made or confirmed it.
    func age(now: UInt64) -> Int64 {
        self.initialAge + Int64(clamping: (now > self.received ? now - self.received : 0) / 1_000_000_000)
    }

    /// Seconds it stays fresh; negative: it is stale for so long.
    func timeLeft(now: UInt64) -> Int64 { self.lifetime - self.age(now: now) }

    /// Whether it is stale for so short a time that it is used while it is renewed (RFC 5861, section 3).
    func isRenewedBehind(now: UInt64) -> Bool {
        self.staleWhileRevalidate > 0 && -self.timeLeft(now: now) <= self.staleWhileRevalidate
    }

    /// Whether it may never be used once it is stale (RFC 9111, 5.2.2.2, 5.2.2.8, 5.2.2.10).
    var mustRevalidate: Bool {
        self.control.isMustRevalidate || self.control.isProxyRevalidate || self.control.sharedMaxAge != nil
            || self.control.isNoCache
    }

    var etag: String? { self.fields.first("etag") }
    var lastModified: String? { self.fields.first("last-modified") }
    var hasValidator: Bool { self.etag != nil || self.lastModified != nil }
}

/// The values of a request's fields that a response varies by.
enum VaryFields {
    /// The lower-case names a `Vary` value lists; nil when it says `*`: such a response is never chosen again.
    static func names(_ text: String?) -> [String]? {
        guard let text: String = text else { return [] }
        var names: [String] = []
        for part in text.split(separator: ",") {
            let name: String = part.filter { $0 != " " && $0 != "\t" }.lowercased()
            if name == "*" { return nil }
            if !name.isEmpty, !names.contains(name) { names.append(name) }
        }
        return names
    }

    /// The value a request has for a field when it goes upstream, in a form in which equal meanings are mostly equal: list members
    /// without space around them; of `accept-encoding` and `accept` also without case.
    static func value(_ name: String, in fields: FieldTable, _ edits: RequestEdits) -> String {
        var joined: String = edits.removes(name) ? "" : self.sent(name, in: fields)
        for value in edits.addedValues(name) { joined += (joined.isEmpty ? "" : ",") + value }
        return self.normal(joined, of: name)
    }

    private static func sent(_ name: String, in fields: FieldTable) -> String {
        var joined: String = ""
        var index: Int = -1
        var key: String = name
        key.withUTF8 { (wanted: UnsafeBufferPointer<UInt8>) in
            while true {
                index = fields.index(of: UnsafeRawBufferPointer(wanted), from: index + 1)
                if index < 0 { return }
                if !joined.isEmpty { joined += "," }
                joined += String(decoding: fields.value(at: index), as: UTF8.self)
            }
        }
        return joined
    }

    private static func normal(_ joined: String, of name: String) -> String {
        if joined.isEmpty { return joined }
        var value: String = ""
        for part in joined.split(separator: ",") {
            var trimmed: Substring = part
            while let first: Character = trimmed.first, first == " " || first == "\t" { trimmed.removeFirst() }
            while let last: Character = trimmed.last, last == " " || last == "\t" { trimmed.removeLast() }
            if trimmed.isEmpty { continue }
            if !value.isEmpty { value += "," }
            value += trimmed
        }
        return name == "accept-encoding" || name == "accept" ? value.lowercased() : value
    }
}
