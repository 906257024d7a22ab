package import JSON
import Time

/// The sums of one group, perhaps of one interval: what an answer about traffic lists.
package struct TrafficGroup: Sendable, Equatable {
    package let name: String
    /// Start of the interval, milliseconds since 1970; nil when the whole span is one.
    package let start: Int64?
    package private(set) var all: TrafficSums = TrafficSums()
    package private(set) var clientErrors: Int64 = 0
    package private(set) var serverErrors: Int64 = 0

    package init(name: String, start: Int64?) {
        self.name = name
        self.start = start
    }

    package mutating func add(_ sums: TrafficSums, statusClass: Int) {
        self.all.add(sums)
        if statusClass == 4 { self.clientErrors += sums.requests }
        if statusClass == 5 { self.serverErrors += sums.requests }
    }

    /// - Parameter member: what the group's name is called, for example `api_id`.
    package func json(member: String) -> JSONValue {
        var object: JSONObject = [member: .string(self.name)]
        if let start: Int64 = self.start { object["time"] = .string(Timestamp(milliseconds: start).rfc3339) }
        object["requests"] = .int(self.all.requests)
        object["client_errors"] = .int(self.clientErrors)
        object["server_errors"] = .int(self.serverErrors)
        object["duration_ms_mean"] = .number(
            orNull: Double(self.all.durationMicroseconds) / Double(max(1, self.all.requests)) / 1_000)
        object["duration_ms_max"] = .double(Double(self.all.durationMicrosecondsMax) / 1_000)
        object["bytes_in"] = .int(self.all.bytesIn)
        object["bytes_out"] = .int(self.all.bytesOut)
        return .object(object)
    }
}

extension TrafficQuestion {
    /// The whole answer.
    package func answer(_ groups: [TrafficGroup]) -> JSONValue {
        var object: JSONObject = [
            "from": .string(Timestamp(milliseconds: self.minutes.lowerBound).rfc3339),
            "to": .string(Timestamp(milliseconds: self.minutes.upperBound).rfc3339),
            "by": .string(self.grouping.rawValue),
        ]
        if let interval: Interval = self.interval { object["interval"] = .string(interval.rawValue) }
        object["items"] = .array(
            groups.map { (group: TrafficGroup) -> JSONValue in group.json(member: self.grouping.member) })
        return .object(object)
    }
}
