import JSON

/// An API that a gateway could not compile: its last good version stays live there.
struct QuarantinedEntry: Sendable, Equatable {
    /// The snapshot entry: `tenant/api_id.environment`.
    let entry: String
    let reason: String

    var json: JSONValue { .object(["entry": .string(self.entry), "reason": .string(self.reason)]) }

    static func list(in text: String) -> [QuarantinedEntry] {
        var list: [QuarantinedEntry] = []
        for value in (try? JSONReader.parse(text))?.elements ?? [] {
            list.append(QuarantinedEntry(entry: value["entry"]?.text ?? "", reason: value["reason"]?.text ?? ""))
        }
        return list
    }
}

/// What is known of a gateway.
struct GatewayStatus: Sendable {
    let id: String
    let group: String
    var address: String
    /// The last version it acknowledged.
    var version: Int64
    var hash: String
    var quarantined: [QuarantinedEntry]
    /// When it was last heard, milliseconds of this process's `SteadyTime`; in the table, of the one that wrote the row.
    var lastSeen: Int64
    let firstSeen: Int64

    /// Unheard for this long, a gateway is away: named and not waited for.
    static let awayAfterMilliseconds: Int64 = 15_000

    func saysSame(as other: GatewayStatus) -> Bool {
        self.group == other.group && self.address == other.address && self.version == other.version
            && self.hash == other.hash && self.quarantined == other.quarantined
    }

    func isLive(now: Int64) -> Bool { now - self.lastSeen < Self.awayAfterMilliseconds }

    func json(now: Int64, latest: Int64) -> JSONValue {
        let state: String = !self.isLive(now: now) ? "away" : (self.version < latest ? "behind" : "live")
        return .object([
            "id": .string(self.id), "group": .string(self.group), "address": .string(self.address),
            "state": .string(state), "version": .int(self.version), "latest_version": .int(latest),
            "hash": .string(self.hash), "age_seconds": .int(max(0, (now - self.lastSeen) / 1_000)),
            "quarantined": .array(self.quarantined.map { $0.json }),
        ])
    }
}
