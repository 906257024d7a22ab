import Synchronization
import TestKit
import Testing
import Time

@testable import Store

/// How far concurrent writers are.
private final class Progress: Sendable {
    let acknowledged: Atomic<Int> = Atomic(0)
    let isBack: Atomic<Bool> = Atomic(false)
}

/// What goes wrong between the store and its server, and what it says about it.
@Suite struct PostgresFaultTests {
    private static func configuration(_ url: String) -> StoreConfiguration {
        var configuration: StoreConfiguration = StoreConfiguration(folder: "", url: url)
        configuration.writers = 2
        return configuration
    }

    /// Opens a store and says why that failed.
    private static func refusal(_ configuration: StoreConfiguration) async throws -> String {
        do {
            let store: Store = try Store.open(configuration, migrations: [TestStore.notes])
            await store.close()
            return "none"
        } catch {
            return error.description
        }
    }

    private static func insert(_ store: Store, _ name: String) async throws {
        try await store.write { try $0.execute("INSERT INTO notes (tenant, name) VALUES ('t', $1)", .text(name)) }
    }

    private static func names(_ store: Store) async throws -> [String] {
        try await store.read { try $0.rows("SELECT name FROM notes ORDER BY name") { try $0.text(0) } }
    }

    private static func isFailing(_ health: StoreHealth) -> Bool {
        guard case .failing = health else { return false }
        return true
    }

    // MARK: - Addresses, rights, versions

    @Test(arguments: [
        ("mysql://app:geheim@127.0.0.1/db", "unknown scheme: expected postgresql://USER@HOST:PORT/DATABASE"),
        ("postgresql://app:geheim%@127.0.0.1/db", "cannot be read: expected postgresql://USER@HOST:PORT/DATABASE"),
        (
            "postgresql://app:geheim@127.0.0.1:1/db",
            "no connection to PostgreSQL app@127.0.0.1:1/db: connection to server"
        ),
        ("postgresql://app:geheim@nowhere.invalid/db", "no connection to PostgreSQL app@nowhere.invalid:5432/db:"),
    ])
    func aWrongAddressIsSaidWithoutItsPassword(_ url: String, _ words: String) async throws {
        let refusal: String = try await Self.refusal(Self.configuration(url))
        #expect(refusal.contains(words), "\(refusal)")
        #expect(!refusal.contains("geheim"))
        #expect(!refusal.contains("\n"))
    }

    @Test func anUnknownDatabaseUserAndPasswordAreNamed() async throws {
        let server: PostgresServer = .shared
        let unknown: String = try await Self.refusal(Self.configuration(server.url("missing")))
        #expect(unknown.contains("database \"missing\" does not exist"), "\(unknown)")
        let user: String = try await Self.refusal(Self.configuration(server.url("postgres", user: "nobody")))
        #expect(user.contains("role \"nobody\" does not exist"), "\(user)")
        server.run("CREATE ROLE secret LOGIN PASSWORD 'right'")
        let password: String = try await Self.refusal(
            Self.configuration(server.url("postgres", user: "secret:wrong")))
        #expect(password.contains("password authentication failed for user \"secret\""), "\(password)")
        #expect(!password.contains("wrong"))
        let none: String = try await Self.refusal(Self.configuration(server.url("postgres", user: "secret")))
        #expect(none.contains("no password supplied"), "\(none)")
    }

    @Test func missingRightsAreNamed() async throws {
        let place: StorePlace = StorePlace(.postgresql)
        place.run("CREATE ROLE weak LOGIN")
        let url: String = (place.url ?? "").replacing("app@", with: "weak@")
        let atOpen: String = try await Self.refusal(Self.configuration(url))
        #expect(atOpen.contains("lacks a right (permission denied for schema public); grant it"), "\(atOpen)")

        place.run("GRANT ALL ON SCHEMA public TO weak")
        let store: Store = try Store.open(Self.configuration(url), migrations: [TestStore.notes])
        try await Self.insert(store, "a")
        place.run("ALTER TABLE notes OWNER TO app")
        await #expect {
            try await Self.insert(store, "b")
        } throws: { error in
            guard case StoreError.unavailable(let reason) = error else { return false }
            return reason.hasPrefix("the database user lacks a right (permission denied for table notes)")
        }
        place.run("GRANT ALL ON notes TO weak")
        try await Self.insert(store, "c")
        #expect(store.health == .ok)
        await store.close()
    }

    @Test func anOldServerAndAnotherEncodingAreRefused() async throws {
        let place: StorePlace = StorePlace(.postgresql)
        var configuration: StoreConfiguration = Self.configuration(place.url ?? "")
        configuration.serverVersionMin = 990_000
        let old: String = try await Self.refusal(configuration)
        #expect(old.contains("is version 15."), "\(old)")
        #expect(old.hasSuffix(": expected 99 or newer"), "\(old)")

        PostgresServer.shared.run("CREATE DATABASE latin ENCODING 'SQL_ASCII' TEMPLATE template0")
        defer { PostgresServer.shared.dropDatabase("latin") }
        let latin: String = try await Self.refusal(Self.configuration(PostgresServer.shared.url("latin")))
        #expect(latin.contains("has the encoding SQL_ASCII: expected UTF8"), "\(latin)")
    }

    @Test func aStandbyIsRefused() async throws {
        let place: StorePlace = StorePlace(.postgresql)
        place.run("ALTER DATABASE \(place.database ?? "") SET default_transaction_read_only = on")
        let refusal: String = try await Self.refusal(Self.configuration(place.url ?? ""))
        #expect(refusal.contains("session is read-only"), "\(refusal)")
    }

    /// As after its server became a standby, or when an administrator stops changes: said, and over when it is over.
    @Test func aDatabaseThatBecomesReadOnlyIsNamedAndWorkResumes() async throws {
        let place: StorePlace = StorePlace(.postgresql)
        let name: String = place.database ?? ""
        let server: PostgresServer = .shared
        let store: Store = try Store.open(Self.configuration(place.url ?? ""), migrations: [TestStore.notes])
        try await Self.insert(store, "a")
        server.run("ALTER DATABASE \(name) SET default_transaction_read_only = on")
        server.run("SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = '\(name)'")
        await #expect {
            try await Self.insert(store, "b")
        } throws: { error in
            guard case StoreError.unavailable(let reason) = error else { return false }
            return reason.contains("read-only")
        }
        #expect(Self.isFailing(store.health))
        server.run("ALTER DATABASE \(name) RESET default_transaction_read_only")
        try await eventually("the store recovers") { store.health == .ok }
        try await Self.insert(store, "c")
        #expect(try await Self.names(store) == ["a", "c"])
        await store.close()
    }

    /// Where the server waits for replicas, a commit that they did not confirm in time is no commit yet.
    @Test func aCommitThatReplicasDidNotConfirmIsNotAcknowledged() async throws {
        let server: PostgresServer = PostgresServer()
        var configuration: StoreConfiguration = Self.configuration(server.url("postgres"))
        configuration.writeTimeMax = .milliseconds(500)
        let store: Store = try Store.open(configuration, migrations: [TestStore.notes])
        server.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        server.run("SELECT pg_reload_conf()")
        var refusal: String = ""
        // The setting takes a moment.
        try await eventually("a commit is not confirmed") {
            do {
                try await Self.insert(store, "\(Int.random(in: 0..<Int.max))")
                return false
            } catch {
                refusal = "\(error)"
                return true
            }
        }
        #expect(refusal.contains("may have been made or not"), "\(refusal)")
        server.run("ALTER SYSTEM SET synchronous_standby_names = ''")
        server.run("SELECT pg_reload_conf()")
        try await eventually("work resumes") { (try? await Self.insert(store, "last")) != nil }
        await store.close()
    }

    // MARK: - The server goes away and comes back

    @Test func aRestartedServerIsFoundAgain() async throws {
        let server: PostgresServer = PostgresServer()
        let log: CapturedLog = CapturedLog()
        var configuration: StoreConfiguration = Self.configuration(server.url("postgres"))
        configuration.logger = log.logger()
        let store: Store = try Store.open(configuration, migrations: [TestStore.notes])
        try await Self.insert(store, "a")
        server.stop()
        await #expect {
            try await Self.insert(store, "b")
        } throws: { error in
            guard case StoreError.unavailable(let reason) = error else { return false }
            return reason.hasPrefix("no connection to PostgreSQL app@127.0.0.1")
        }
        #expect(Self.isFailing(store.health))
        await #expect(throws: StoreError.self) { try await Self.names(store) }
        server.start()
        // Nobody asks for anything: the store looks by itself.
        try await eventually("the store recovers") { store.health == .ok }
        try await Self.insert(store, "c")
        #expect(try await Self.names(store) == ["a", "c"])
        #expect(log.entries("store works again").count >= 1)
        // Restarted between two requests: nobody notices.
        server.stop()
        server.start()
        try await Self.insert(store, "d")
        await store.close()
    }

    @Test func anIdleStoreNoticesThatItsServerIsGone() async throws {
        let server: PostgresServer = PostgresServer()
        let store: Store = try Store.open(Self.configuration(server.url("postgres")), migrations: [TestStore.notes])
        server.stop("immediate")
        try await eventually("the store notices") { Self.isFailing(store.health) }
        await store.close()
    }

    @Test func whatWasAcknowledgedBeforeACrashIsThere() async throws {
        let server: PostgresServer = PostgresServer()
        let store: Store = try Store.open(Self.configuration(server.url("postgres")), migrations: [TestStore.notes])
        let progress: Progress = Progress()
        let acknowledged: [String] = try await withThrowingTaskGroup(of: [String].self) { group in
            for task in 0..<4 {
                group.addTask {
                    var names: [String] = []
                    var index: Int = 0
                    while !progress.isBack.load(ordering: .relaxed) {
                        let name: String = "\(task)-\(index)"
                        index += 1
                        guard (try? await Self.insert(store, name)) != nil else {
                            try await Task.sleep(for: .milliseconds(1))
                            continue
                        }
                        names.append(name)
                        progress.acknowledged.add(1, ordering: .relaxed)
                    }
                    return names
                }
            }
            group.addTask {
                defer { progress.isBack.store(true, ordering: .relaxed) }
                try await eventually("there is something to lose") {
                    progress.acknowledged.load(ordering: .relaxed) > 10
                }
                server.stop("immediate")
                server.start()
                return []
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        try await eventually("the store recovers") { store.health == .ok }
        let found: Set<String> = Set(try await Self.names(store))
        #expect(found.isSuperset(of: acknowledged))
        await store.close()
    }

    @Test func aServerThatFallsSilentIsGivenUp() async throws {
        let place: StorePlace = StorePlace(.postgresql)
        let proxy: TCPProxy = TCPProxy(to: UInt16(PostgresServer.shared.port))
        var configuration: StoreConfiguration = Self.configuration(place.url(port: Int(proxy.port)))
        configuration.writeTimeMax = .milliseconds(200)
        configuration.silenceMax = .milliseconds(100)
        let store: Store = try Store.open(configuration, migrations: [TestStore.notes])
        try await Self.insert(store, "a")
        proxy.set(.silent)
        await #expect(throws: StoreError.self) { try await Self.insert(store, "b") }
        #expect(Self.isFailing(store.health))
        proxy.set(.open)
        try await eventually("the store recovers") { store.health == .ok }
        try await Self.insert(store, "c")
        #expect(try await Self.names(store).contains("c"))
        await store.close()
        proxy.close()
    }

    /// Whether it was committed cannot be known, so it is not tried again by itself.
    @Test(arguments: [true, false])
    func aConnectionLostDuringACommitIsSaid(_ isCommitted: Bool) async throws {
        let place: StorePlace = StorePlace(.postgresql)
        let proxy: TCPProxy = TCPProxy(to: UInt16(PostgresServer.shared.port))
        let store: Store = try Store.open(
            Self.configuration(place.url(port: Int(proxy.port))), migrations: [TestStore.notes])
        try await Self.insert(store, "counter")
        proxy.breakAt("COMMIT", forwards: isCommitted)
        await #expect {
            try await store.write { try $0.execute("UPDATE notes SET size = size + 1") }
        } throws: { error in
            guard case StoreError.unavailable(let reason) = error else { return false }
            return reason.contains("may have been made or not")
        }
        #expect(place.run("SELECT size FROM notes") == (isCommitted ? "1" : "0"))
        try await store.write { try $0.execute("UPDATE notes SET size = size + 10") }
        #expect(place.run("SELECT size FROM notes") == (isCommitted ? "11" : "10"))
        await store.close()
        proxy.close()
    }

    /// Before the commit nothing has happened, so the closure runs again on a new connection and nobody notices.
    @Test func aConnectionLostBeforeTheCommitIsMadeAnew() async throws {
        let place: StorePlace = StorePlace(.postgresql)
        let proxy: TCPProxy = TCPProxy(to: UInt16(PostgresServer.shared.port))
        let store: Store = try Store.open(
            Self.configuration(place.url(port: Int(proxy.port))), migrations: [TestStore.notes])
        try await Self.insert(store, "a")
        proxy.breakAt("marked", forwards: true)
        try await Self.insert(store, "marked")
        #expect(try await Self.names(store) == ["a", "marked"])
        await store.close()
        proxy.close()
    }

    // MARK: - Time

    @Test func aStatementThatTakesTooLongIsEnded() async throws {
        let place: StorePlace = StorePlace(.postgresql)
        var configuration: StoreConfiguration = Self.configuration(place.url ?? "")
        configuration.writeTimeMax = .milliseconds(100)
        let store: Store = try Store.open(configuration, migrations: [TestStore.notes])
        await #expect(throws: StoreError.timedOut(after: .milliseconds(100))) {
            try await store.write { tx in try tx.visit("SELECT 1 FROM pg_sleep(30)", []) { _ in true } }
        }
        #expect(store.health == .ok)
        try await Self.insert(store, "a")
        await store.close()
    }
}
