package import Contracts
package import Time

/// What one row of traffic is about: a minute of one route, for one application and one class of status.
package struct TrafficKey: Sendable, Hashable {
    package let tenant: String
    /// Start of the minute, milliseconds since 1970.
    package let minute: Int64
    package let apiID: String
    package let environment: String
    package let applicationID: String
    package let route: String
    package let statusClass: Int
}

/// The lines of one report, checked and summed by key: what goes into the store as one row each.
///
/// A line that cannot be right is left out and counted, so that one bad line does not cost the others.
package struct TrafficRollup: Sendable {
    /// Most lines of a report that are read.
    package static let linesMax: Int = 50_000
    /// Longest name in a line, bytes.
    package static let nameBytesMax: Int = 512
    /// How far ahead of ours a gateway's clock may be.
    package static let clockAhead: Duration = .seconds(300)
    /// How long rows are kept, and how old a line may be.
    package static let retention: Duration = .seconds(30 * 86_400)
    static let minuteMilliseconds: Int64 = 60_000

    package private(set) var rows: [TrafficKey: TrafficSums] = [:]
    /// Lines left out.
    package private(set) var refusedLines: Int = 0

    /// - Parameter now: lines of minutes well after it, or before retention, are refused.
    package init(_ report: TrafficReport, now: Timestamp) {
        let earliest: Int64 = now.adding(.zero - Self.retention).milliseconds
        let latest: Int64 = now.adding(Self.clockAhead).milliseconds
        for line in report.lines.prefix(Self.linesMax) {
            // A gateway may name any moment of the minute. Checked first: rounding the smallest number would overflow.
            guard (earliest...latest).contains(line.minute) else {
                self.refusedLines += 1
                continue
            }
            let minute: Int64 = line.minute.floorDivided(by: Self.minuteMilliseconds) * Self.minuteMilliseconds
            let sums: TrafficSums = TrafficSums(
                requests: line.requests, durationMicroseconds: line.durationMicroseconds,
                durationMicrosecondsMax: line.durationMicrosecondsMax, bytesIn: line.bytesIn, bytesOut: line.bytesOut)
            guard sums.isPlausible, (1...5).contains(line.statusClass),
                Self.areNames([line.tenant, line.apiID, line.environment, line.route, line.applicationID]),
                !line.tenant.isEmpty
            else {
                self.refusedLines += 1
                continue
            }
            let key: TrafficKey = TrafficKey(
                tenant: line.tenant, minute: minute, apiID: line.apiID, environment: line.environment,
                applicationID: line.applicationID, route: line.route, statusClass: line.statusClass)
            self.rows[key, default: TrafficSums()].add(sums)
        }
        self.refusedLines += max(0, report.lines.count - Self.linesMax)
    }

    private static func areNames(_ names: [String]) -> Bool {
        for name in names where name.utf8.count > Self.nameBytesMax { return false }
        return true
    }
}
