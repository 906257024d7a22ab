import Store

/// The tables of `observability`: one in the platform's store, the telemetry in a store of its own, so that traffic never waits
/// for a change nor a change for traffic, and telemetry can be thrown away alone.
enum ObservabilityMigrations {
    /// Platform-wide: the key that seals readers' positions is nobody's in particular.
    static let platform: ServiceMigrations = ServiceMigrations(
        service: "observability",
        steps: [
            Migration(
                number: 1, name: "keys",
                sql: "CREATE TABLE observability_keys (name text NOT NULL PRIMARY KEY, sealed bytes NOT NULL);")
        ])

    // `traffic_reports` is not tenant-first: a report holds lines of many tenants. It remembers which ones were counted.
    static let telemetry: ServiceMigrations = ServiceMigrations(
        service: "telemetry",
        steps: [
            Migration(
                number: 1, name: "traffic",
                sql: """
                    CREATE TABLE traffic_minutes (
                        tenant text NOT NULL, minute int64 NOT NULL, api_id text NOT NULL, environment text NOT NULL,
                        application_id text NOT NULL, route text NOT NULL, status_class int64 NOT NULL,
                        requests int64 NOT NULL, duration_us int64 NOT NULL, duration_us_max int64 NOT NULL,
                        bytes_in int64 NOT NULL, bytes_out int64 NOT NULL,
                        PRIMARY KEY (tenant, minute, api_id, environment, application_id, route, status_class)) WITHOUT ROWID;
                    CREATE INDEX traffic_minutes_age ON traffic_minutes (minute);
                    CREATE TABLE traffic_reports (
                        gateway_id text NOT NULL, sequence int64 NOT NULL, received_at int64 NOT NULL,
                        PRIMARY KEY (gateway_id, sequence)) WITHOUT ROWID;
                    CREATE INDEX traffic_reports_age ON traffic_reports (received_at);
                    """)
        ])
}
