import Contracts
import Store
import Time

/// What a question about traffic is limited to, beside its span.
struct TrafficFilter: Sendable {
    var apiID: String?
    var applicationID: String?
    var environment: String?
}

/// The SQL of the telemetry store.
enum TrafficTable {
    /// Adds a report's rows; false when the report was counted before.
    static func add(
        _ rollup: TrafficRollup, gatewayID: String, sequence: Int64, in transaction: Transaction
    ) throws(StoreError) -> Bool {
        let isNew: Int = try transaction.execute(
            """
            INSERT INTO traffic_reports (gateway_id, sequence, received_at) VALUES ($1, $2, $3)
            ON CONFLICT (gateway_id, sequence) DO NOTHING
            """, .text(gatewayID), .int(sequence), .int(transaction.now.milliseconds))
        guard isNew == 1 else { return false }
        for (key, sums) in rollup.rows { try Self.add(sums, to: key, in: transaction) }
        return true
    }

    private static func add(_ all: TrafficSums, to key: TrafficKey, in transaction: Transaction) throws(StoreError) {
        let sums: TrafficSums = all.kept
        try transaction.execute(
            """
            INSERT INTO traffic_minutes (
                tenant, minute, api_id, environment, application_id, route, status_class, requests, duration_us,
                duration_us_max, bytes_in, bytes_out)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            ON CONFLICT (tenant, minute, api_id, environment, application_id, route, status_class) DO UPDATE SET
                requests = CASE WHEN traffic_minutes.requests + excluded.requests > $13 THEN $13
                    ELSE traffic_minutes.requests + excluded.requests END,
                duration_us = CASE WHEN traffic_minutes.duration_us + excluded.duration_us > $13 THEN $13
                    ELSE traffic_minutes.duration_us + excluded.duration_us END,
                duration_us_max = CASE WHEN excluded.duration_us_max > traffic_minutes.duration_us_max
                    THEN excluded.duration_us_max ELSE traffic_minutes.duration_us_max END,
                bytes_in = CASE WHEN traffic_minutes.bytes_in + excluded.bytes_in > $13 THEN $13
                    ELSE traffic_minutes.bytes_in + excluded.bytes_in END,
                bytes_out = CASE WHEN traffic_minutes.bytes_out + excluded.bytes_out > $13 THEN $13
                    ELSE traffic_minutes.bytes_out + excluded.bytes_out END
            """, .text(key.tenant), .int(key.minute), .text(key.apiID), .text(key.environment),
            .text(key.applicationID),
            .text(key.route), .int(Int64(key.statusClass)), .int(sums.requests), .int(sums.durationMicroseconds),
            .int(sums.durationMicrosecondsMax), .int(sums.bytesIn), .int(sums.bytesOut), .int(TrafficSums.valueMax))
    }

    /// The sums of a tenant's traffic, by interval and name; `limit` + 1 groups at most.
    static func groups(
        tenant: String, _ question: TrafficQuestion, _ filter: TrafficFilter, limit: Int, in database: some Queryable
    ) throws(StoreError) -> [TrafficGroup] {
        var conditions: [String] = ["tenant = $1", "minute >= $2", "minute < $3"]
        var parameters: [SQLValue] = [
            .text(tenant), .int(question.minutes.lowerBound), .int(question.minutes.upperBound),
        ]
        for (column, value) in [
            ("api_id", filter.apiID), ("application_id", filter.applicationID), ("environment", filter.environment),
        ] {
            guard let value: String else { continue }
            parameters.append(.text(value))
            conditions.append("\(column) = $\(parameters.count)")
        }
        let start: String
        if let interval: TrafficQuestion.Interval = question.interval {
            parameters.append(.int(interval.milliseconds))
            start = "minute - minute % $\(parameters.count)"
        } else {
            start = "0"
        }
        let sql: String = """
            SELECT \(question.grouping.column), \(start) AS start, status_class, sum(requests), sum(duration_us),
                max(duration_us_max), sum(bytes_in), sum(bytes_out)
            FROM traffic_minutes WHERE \(conditions.joined(separator: " AND "))
            GROUP BY \(question.grouping.column), start, status_class ORDER BY start, \(question.grouping.column), status_class
            """
        var groups: [TrafficGroup] = []
        try database.visit(sql, parameters) { (row: Row) throws(StoreError) -> Bool in
            let name: String = try row.text(0)
            let at: Int64? = question.interval == nil ? nil : try row.int(1)
            if groups.last?.name != name || groups.last?.start != at {
                groups.append(TrafficGroup(name: name, start: at))
            }
            groups[groups.count - 1].add(
                TrafficSums(
                    requests: try row.int(3), durationMicroseconds: try row.int(4),
                    durationMicrosecondsMax: try row.int(5),
                    bytesIn: try row.int(6), bytesOut: try row.int(7)), statusClass: Int(try row.int(2)))
            return groups.count <= limit
        }
        return groups
    }

    /// Removes rows older than `cutoff` (milliseconds since 1970), at most `limit` of each table; true when some may be left.
    static func removeExpired(before cutoff: Int64, limit: Int, in transaction: Transaction) throws(StoreError) -> Bool
    {
        let minutes: Int = try transaction.execute(
            """
            DELETE FROM traffic_minutes WHERE (tenant, minute, api_id, environment, application_id, route, status_class) IN
                (SELECT tenant, minute, api_id, environment, application_id, route, status_class FROM traffic_minutes
                 WHERE minute < $1 ORDER BY minute LIMIT $2)
            """, .int(cutoff), .int(Int64(limit)))
        let reports: Int = try transaction.execute(
            """
            DELETE FROM traffic_reports WHERE (gateway_id, sequence) IN
                (SELECT gateway_id, sequence FROM traffic_reports WHERE received_at < $1 ORDER BY received_at LIMIT $2)
            """, .int(cutoff), .int(Int64(limit)))
        return minutes == limit || reports == limit
    }
}

extension TrafficQuestion.Grouping {
    fileprivate var column: String {
        switch self {
        case .api: "api_id"
        case .application: "application_id"
        case .route: "route"
        case .environment: "environment"
        }
    }
}
