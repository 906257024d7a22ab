package import Store
import Time

extension GeolocationService {
    package static let migrations: ServiceMigrations = ServiceMigrations(
        service: "geolocation",
        steps: [
            Migration(
                number: 1, name: "locations",
                sql: """
                    CREATE TABLE locations (
                        tenant text NOT NULL, user_id text NOT NULL, latitude double NOT NULL, longitude double NOT NULL,
                        accuracy double NOT NULL, located_at int64 NOT NULL, version int64 NOT NULL,
                        PRIMARY KEY (tenant, user_id));
                    """)
        ])
}

/// The table `locations`: where each user was last seen.
enum LocationTable {
    static let pageRows: Int = 5_000
    private static let columns: String = "user_id, latitude, longitude, accuracy, located_at, version"

    static func find(_ userID: String, in store: any Queryable) throws -> UserLocation? {
        try store.first(
            "SELECT \(Self.columns) FROM locations WHERE tenant = $1 AND user_id = $2",
            .text(GeolocationService.tenant),
            .text(userID), decode: Self.decode)
    }

    static func all(after: String, limit: Int, in store: any Queryable) throws -> [UserLocation] {
        try store.rows(
            "SELECT \(Self.columns) FROM locations WHERE tenant = $1 AND user_id > $2 ORDER BY user_id LIMIT $3",
            .text(GeolocationService.tenant), .text(after), .int(Int64(limit)), decode: Self.decode)
    }

    static func put(_ location: UserLocation, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO locations (tenant, user_id, latitude, longitude, accuracy, located_at, version)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (tenant, user_id) DO UPDATE SET latitude = excluded.latitude, longitude = excluded.longitude,
                accuracy = excluded.accuracy, located_at = excluded.located_at, version = excluded.version
            """, .text(GeolocationService.tenant), .text(location.userID), .double(location.point.latitude),
            .double(location.point.longitude), .double(location.accuracy), .int(location.timestamp.milliseconds),
            .int(location.version))
    }

    private static func decode(_ row: Row) throws(StoreError) -> UserLocation {
        guard let point: GeographicPoint = GeographicPoint(latitude: try row.double(1), longitude: try row.double(2))
        else {
            throw StoreError.misuse("a stored location lies outside of the earth")
        }
        return UserLocation(
            userID: try row.text(0), point: point, accuracy: try row.double(3),
            timestamp: Timestamp(milliseconds: try row.int(4)), version: try row.int(5))
    }
}
