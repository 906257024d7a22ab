import Files
import KeyRing
import Store
import TestKit
import Time

/// A key ring over a store of its own, with the tables that tests seal values into, and a clock that the test moves.
final class KeyRingFixture: Sendable {
    let place: StorePlace
    let clock: ManualClock
    let store: Store
    let master: MasterKeyFile

    /// Values of tenants, and of the platform.
    static let columns: [SealedColumn] = [
        SealedColumn("notes", keys: [.text("tenant"), .text("name"), .integer("version")]) { "note/\($0[1])/\($0[2])" },
        SealedColumn("things", keys: [.text("name")]) { "thing/\($0[0])" },
    ]

    private static let migrations: [ServiceMigrations] = [
        KeyRing.migrations,
        ServiceMigrations(
            service: "test",
            steps: [
                Migration(
                    number: 1, name: "values",
                    sql: """
                        CREATE TABLE notes (
                            tenant text NOT NULL, name text NOT NULL, version int64 NOT NULL, sealed bytes NOT NULL,
                            PRIMARY KEY (tenant, name, version));
                        CREATE TABLE things (name text NOT NULL PRIMARY KEY, sealed bytes NOT NULL);
                        """)
            ]),
    ]

    init() async throws {
        self.place = try await StorePlace(likeAll: "keys") { url in
            try await Store.open(StoreConfiguration(folder: "", url: url), migrations: Self.migrations).close()
        }
        self.clock = ManualClock()
        self.store = try Store.open(
            StoreConfiguration(folder: self.place.folder.path, url: self.place.url, clock: self.clock),
            migrations: Self.migrations)
        self.master = MasterKeyFile(folder: self.place.folder.path)
    }

    deinit {
        let (place, store): (StorePlace, Store) = (self.place, self.store)
        Task {
            await store.close()
            // Only now may the database go.
            withExtendedLifetime(place) {}
        }
    }

    /// A ring as a process has it after its start.
    func ring(_ change: (inout KeyRingConfiguration) -> Void = { _ in }) async throws -> KeyRing {
        var configuration: KeyRingConfiguration = KeyRingConfiguration(master: .file(self.master))
        change(&configuration)
        return try await KeyRing.open(store: self.store, configuration: configuration, clock: self.clock)
    }

    func putNote(_ text: String, _ name: String, version: Int64 = 1, tenant: String, _ ring: KeyRing) async throws {
        try await self.store.write { transaction in
            let sealed: [UInt8] = try ring.seal(
                Array(text.utf8), name: "note/\(name)/\(version)", tenant: tenant, in: transaction)
            try transaction.execute(
                "INSERT INTO notes (tenant, name, version, sealed) VALUES ($1, $2, $3, $4)", .text(tenant), .text(name),
                .int(version), .bytes(sealed))
        }
    }

    func note(_ name: String, version: Int64 = 1, tenant: String, _ ring: KeyRing) async throws -> String? {
        try await self.store.read { reader in
            let sealed: [UInt8] =
                try reader.first(
                    "SELECT sealed FROM notes WHERE tenant = $1 AND name = $2 AND version = $3", .text(tenant),
                    .text(name), .int(version)
                ) { try $0.bytes(0) } ?? []
            return try ring.open(sealed, name: "note/\(name)/\(version)", tenant: tenant, in: reader).map {
                String(decoding: $0, as: UTF8.self)
            }
        }
    }

    func putThing(_ sealed: [UInt8], _ name: String) async throws {
        try await self.store.write { transaction in
            try transaction.execute(
                "INSERT INTO things (name, sealed) VALUES ($1, $2)", .text(name), .bytes(sealed))
        }
    }

    func thing(_ name: String) async throws -> [UInt8] {
        try await self.store.read { reader in
            try reader.first("SELECT sealed FROM things WHERE name = $1", .text(name)) { try $0.bytes(0) } ?? []
        }
    }

    /// One number of one row.
    func number(_ sql: String) async throws -> Int64 {
        try await self.store.read { reader in try reader.first(sql) { try $0.int(0) } ?? -1 }
    }
}
