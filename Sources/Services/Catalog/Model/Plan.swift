import JSON
import Store

/// The limits a subscription carries.
struct Plan: Sendable {
    /// Most plans of a tenant.
    static let countMax: Int = 1_000

    let name: String
    /// Most requests in a window; nil is unlimited.
    let limit: Int64?
    let windowMilliseconds: Int64?
    /// Most requests in a span of the calendar; nil is unlimited.
    let quota: Int64?
    /// `minute`, `hour`, `day`, `week`, `month` or `year`, in UTC.
    let quotaWindow: String?
    /// Most requests at once; nil is unlimited.
    let concurrency: Int64?
    /// Whether subscriptions wait until someone approves them.
    let approval: Bool
    let version: Int64

    var json: JSONValue {
        .object([
            "name": .string(self.name), "rate_limit": self.rateLimit, "quota": self.quotaLimit,
            "concurrency": self.concurrency.map { .int($0) } ?? .null, "approval": .bool(self.approval),
        ])
    }

    private var quotaLimit: JSONValue {
        guard let quota: Int64 = self.quota, let window: String = self.quotaWindow else { return .null }
        return .object(["limit": .int(quota), "window": .string(window)])
    }

    private var rateLimit: JSONValue {
        guard let limit: Int64 = self.limit, let window: Int64 = self.windowMilliseconds else { return .null }
        return .object(["limit": .int(limit), "window": .string(PlanWindow.text(milliseconds: window))])
    }

    /// The plan as an entry of the gateway document's `plans`.
    func gatewayEntry(tenant: String) -> JSONValue {
        var entry: JSONObject = ["id": .string(self.name), "tenant": .string(tenant)]
        if self.limit != nil { entry["rate_limit"] = self.rateLimit }
        if self.quota != nil { entry["quota"] = self.quotaLimit }
        if let concurrency: Int64 = self.concurrency { entry["concurrency"] = .int(concurrency) }
        return .object(entry)
    }

    static let columns: String = "name, rate_limit, rate_window_ms, approval, version, quota, quota_window, concurrency"

    init(
        name: String, limit: Int64?, windowMilliseconds: Int64?, quota: Int64? = nil, quotaWindow: String? = nil,
        concurrency: Int64? = nil, approval: Bool, version: Int64
    ) {
        self.name = name
        self.limit = limit
        self.windowMilliseconds = windowMilliseconds
        self.quota = quota
        self.quotaWindow = quotaWindow
        self.concurrency = concurrency
        self.approval = approval
        self.version = version
    }

    init(_ row: Row) throws(StoreError) {
        self.name = try row.text(0)
        self.limit = try row.optionalInt(1)
        self.windowMilliseconds = try row.optionalInt(2)
        self.approval = try row.bool(3)
        self.version = try row.int(4)
        self.quota = try row.optionalInt(5)
        self.quotaWindow = try row.optionalText(6)
        self.concurrency = try row.optionalInt(7)
    }
}

/// The windows of rate limits in text: a whole number and a unit, from `1s` to `31d`.
enum PlanWindow {
    static let secondsMax: Int64 = 31 * 86_400
    private static let units: [(name: Character, seconds: Int64)] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)]

    /// Nil unless the text is such a window.
    static func milliseconds(_ text: String) -> Int64? {
        let digits: Substring = text.dropLast()
        guard let unit = Self.units.first(where: { $0.name == text.last }),
            digits.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }),
            let count: Int64 = Int64(digits), count > 0, count <= Self.secondsMax / unit.seconds
        else { return nil }
        return count * unit.seconds * 1_000
    }

    /// The shortest text for a window.
    static func text(milliseconds: Int64) -> String {
        let seconds: Int64 = milliseconds / 1_000
        for unit in Self.units where seconds % unit.seconds == 0 { return "\(seconds / unit.seconds)\(unit.name)" }
        return "\(seconds)s"
    }
}
