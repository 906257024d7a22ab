import GatewayConfiguration

/// A rate limit for others than routes, such as the control plane: the same buckets, and the same words about them.
///
/// Any thread; no locks. Memory is fixed: at most so many subjects are counted, and beyond them the one whose count is the first to
/// be as good as unused makes room.
package final class SubjectLimit: Sendable {
    /// Subjects that are counted at most; a power of two.
    package static let subjectsMax: Int = 1 << 16

    private let name: String
    private let limit: Int64
    private let window: Duration
    private let rule: LimitRule
    private let table: SubjectTable

    /// - Parameters:
    ///   - name: as `RateLimit-Policy` says it; letters, digits and `-`.
    ///   - limit: requests in `window`, 1…; all of them may come at once.
    package init(name: String, limit: Int64, window: Duration, subjectsMax: Int = SubjectLimit.subjectsMax) {
        self.name = "\"\(name)\""
        self.limit = limit
        self.window = window
        self.rule = LimitRule(limit: limit, window: window, algorithm: .tokenBucket, scope: .gateway)
        self.table = SubjectTable(capacity: subjectsMax)
    }

    /// Counts a request of this subject.
    ///
    /// - Parameter now: nanoseconds of the monotonic clock.
    /// - Returns: nil when it is admitted, otherwise the fields of the answer 429.
    package func admit(_ subject: String, now: UInt64) -> [(name: String, value: String)]? {
        // Seeded anew by each process: nobody can choose whose count to share.
        var hasher: Hasher = Hasher()
        hasher.combine(subject)
        let fingerprint: UInt64 = UInt64(bitPattern: Int64(hasher.finalize()))
        if self.table.take(fingerprint, rule: self.rule, now: now) { return nil }
        var words: LimitWords = LimitWords()
        words.add(
            Array(self.name.utf8), quota: UInt64(self.limit), windowSeconds: UInt64(self.window.components.seconds),
            self.table.standing(fingerprint, rule: self.rule, now: now))
        return [
            ("Retry-After", "\(words.retrySeconds)"),
            ("RateLimit-Policy", String(decoding: words.policies, as: UTF8.self)),
            ("RateLimit", String(decoding: words.standings, as: UTF8.self)),
        ]
    }
}

/// What an answer says about limits: `Retry-After` (RFC 9110 section 10.2.3), `RateLimit-Policy` and `RateLimit`
/// (draft-ietf-httpapi-ratelimit-headers-10).
struct LimitWords {
    private(set) var policies: [UInt8] = []
    private(set) var standings: [UInt8] = []
    private var retryNanoseconds: UInt64 = 0

    /// - Parameter name: as a structured-field string with its quotes.
    mutating func add(_ name: some Collection<UInt8>, quota: UInt64, windowSeconds: UInt64, _ standing: LimitStanding) {
        self.begin(name, standing)
        self.policies.append(contentsOf: ";q=\(quota);w=\(windowSeconds)".utf8)
        self.standings.append(
            contentsOf: ";r=\(standing.remaining);t=\(Self.wholeSeconds(standing.resetNanoseconds))".utf8)
    }

    /// The same for requests at once.
    mutating func add(concurrent name: some Collection<UInt8>, quota: UInt64, _ standing: LimitStanding) {
        self.begin(name, standing)
        self.policies.append(contentsOf: ";q=\(quota);qu=\"concurrent-requests\"".utf8)
        self.standings.append(contentsOf: ";r=\(standing.remaining)".utf8)
    }

    /// At least one: "0" would ask the caller to come back at once.
    var retrySeconds: UInt64 { max(1, Self.wholeSeconds(self.retryNanoseconds)) }

    private mutating func begin(_ name: some Collection<UInt8>, _ standing: LimitStanding) {
        if !self.policies.isEmpty {
            self.policies.append(contentsOf: ", ".utf8)
            self.standings.append(contentsOf: ", ".utf8)
        }
        self.policies.append(contentsOf: name)
        self.standings.append(contentsOf: name)
        self.retryNanoseconds = max(self.retryNanoseconds, standing.retryNanoseconds)
    }

    private static func wholeSeconds(_ nanoseconds: UInt64) -> UInt64 { (nanoseconds + 999_999_999) / 1_000_000_000 }
}
