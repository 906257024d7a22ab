import JSON
import REST
import Store
import TestKit
import Testing

@testable import Backups

struct PostgresBackupsTests {
    private static let fine: [String: String] = [
        "wal_level": "replica", "archive_mode": "on", "archive_command": "store %p --password hunter2",
        "max_wal_senders": "10", "data_checksums": "on",
    ]

    private static func problems(_ problem: APIProblem) -> [String] {
        (problem.members["postgresql"]?["problems"]?.elements ?? []).compactMap(\.text)
    }

    @Test func saysWhatToUseAndThatItIsSetUp() {
        let problem: APIProblem = PostgresBackups.refusal(settings: Self.fine, hasTool: true)
        #expect(problem.detail.contains("pg_basebackup"))
        #expect(problem.detail.contains("master.key"))
        #expect(problem.detail.hasSuffix("They are set up."))
        #expect(Self.problems(problem).isEmpty)
    }

    @Test(arguments: [
        ("wal_level", "minimal"), ("archive_mode", "off"), ("archive_command", ""), ("archive_command", "(disabled)"),
        ("max_wal_senders", "0"), ("data_checksums", "off"),
    ])
    func namesTheSettingThatIsMissing(_ name: String, _ value: String) {
        var settings: [String: String] = Self.fine
        settings[name] = value
        let found: [String] = Self.problems(PostgresBackups.refusal(settings: settings, hasTool: true))
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("\(name): ") == true)
    }

    @Test func aModuleThatArchivesIsAsGoodAsACommand() {
        var settings: [String: String] = Self.fine
        settings["archive_command"] = "(disabled)"
        settings["archive_library"] = "basic_archive"
        #expect(Self.problems(PostgresBackups.refusal(settings: settings, hasTool: true)).isEmpty)
    }

    @Test func neverShowsTheCommand() {
        let problem: APIProblem = PostgresBackups.refusal(settings: Self.fine, hasTool: true)
        #expect(!problem.detail.contains("hunter2"))
        #expect(problem.members["postgresql"]?.jsonText.contains("hunter2") == false)
    }

    @Test func saysThatTheToolIsMissing() {
        let found: [String] = Self.problems(PostgresBackups.refusal(settings: Self.fine, hasTool: false))
        #expect(found.count == 1)
        #expect(found.first?.contains("pg_basebackup is not on this machine") == true)
    }

    /// What the tests' own server has not set up is named, from its own settings.
    @Test func asksTheServer() async throws {
        let place: StorePlace = StorePlace(.postgresql)
        let store: Store = try Store.open(
            StoreConfiguration(folder: place.folder.path, url: place.url), migrations: [])
        let found: [String] = Self.problems(try await PostgresBackups.refusal(store))
        #expect(found.contains { $0.hasPrefix("archive_mode: ") })
        #expect(!found.contains { $0.hasPrefix("wal_level: ") })
        await store.close()
    }

    @Test func noticesAnArchiveThatFails() async throws {
        let server: PostgresServer = PostgresServer(settings: ["archive_mode = on", "archive_command = 'false'"])
        let folder: TemporaryFolder = TemporaryFolder()
        let store: Store = try Store.open(
            StoreConfiguration(folder: folder.path, url: server.url("postgres")), migrations: [])
        server.run("SELECT pg_switch_wal()")
        var found: [String] = []
        for _ in 0..<600 where found.isEmpty {
            found = Self.problems(try await PostgresBackups.refusal(store)).filter {
                $0.contains("could not be archived")
            }
            if found.isEmpty { try await Task.sleep(for: .milliseconds(50)) }
        }
        #expect(found.count == 1)
        await store.close()
    }
}
