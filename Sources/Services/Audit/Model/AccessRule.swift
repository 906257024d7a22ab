import JSON
import Time

/// What counts as unusual access: so many entries of a kind by one caller within a window.
///
/// Pure: an entry in, what it counts for out.
package enum AccessRule: String, Sendable, CaseIterable {
    /// One caller is refused again and again: somebody looks for what is open.
    case refusals
    /// Sign-ins or tokens are refused to one address again and again: somebody guesses.
    case guessing
    /// One caller reads the audit log again and again.
    case reading
    /// One caller takes the audit log out again and again.
    case exporting
    /// Somebody's personal data was exported or erased.
    case personalData = "personal-data"

    /// Counts begin anew at each full window.
    static let window: Duration = .seconds(600)

    /// How many within a window are unusual where nothing else is set. Told once a window, with the entry that reaches it.
    var thresholdDefault: Int64 {
        switch self {
        case .refusals: 20
        case .guessing: 100
        case .reading: 100
        case .exporting: 5
        case .personalData: 1
        }
    }

    /// What an entry counts for.
    struct Count: Sendable, Equatable {
        let rule: AccessRule
        /// Whose auditors are told: the tenant of the entry, or nobody's but the platform's.
        let tenant: String
        /// The caller; of an address the id of the key that seals it.
        let who: String
        let amount: Int64
        /// When the window began, milliseconds since 1970 UTC.
        let since: Int64
    }

    /// The event types that count for anything: others need no second look.
    static let eventTypes: Set<String> = [
        "access.refused", "access.refused-anonymous", "audit.read", "personal-data.exported", "personal-data.erased",
    ]

    static func count(of entry: JSONValue) -> Count? {
        guard let rule: AccessRule = Self.rule(entry),
            let time: Timestamp = entry["time"]?.text.flatMap({ Timestamp(rfc3339: $0) })
        else { return nil }
        let length: Int64 = Self.window.components.seconds * 1_000
        return Count(
            rule: rule, tenant: entry["tenant"]?.text ?? "",
            who: (rule == .guessing ? entry["resource"]?["id"]?.text : entry["actor"]?["user_id"]?.text) ?? "",
            amount: rule == .guessing ? entry["changes"]?["count"]?.integer ?? 1 : 1,
            since: time.milliseconds - time.milliseconds % length)
    }

    private static func rule(_ entry: JSONValue) -> AccessRule? {
        switch entry["event_type"]?.text {
        case "access.refused"?: .refusals
        case "access.refused-anonymous"?: .guessing
        case "audit.read"?: entry["resource"]?["id"]?.text == "export" ? .exporting : .reading
        case "personal-data.exported"?, "personal-data.erased"?: .personalData
        default: nil
        }
    }
}

/// From how many accesses of a kind within a window on somebody is told.
package struct AccessThresholds: Sendable, Equatable {
    /// 0 is never.
    package static let range: ClosedRange<Int> = 0...1_000_000

    private var set: [AccessRule: Int64] = [:]

    package init() {}

    package subscript(rule: AccessRule) -> Int64 {
        get { self.set[rule] ?? rule.thresholdDefault }
        set { self.set[rule] = newValue }
    }
}
