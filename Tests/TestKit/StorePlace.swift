import Glibc

/// The databases the store's tests run on.
package enum TestEngine: String, Sendable, CaseIterable, CustomStringConvertible {
    case sqlite, postgresql

    /// What tests of the rooms above run on: `PASSERELLE_TEST_STORE=postgresql swift test …`; SQLite when it is not set.
    package static let chosen: TestEngine = {
        let name: String = getenv("PASSERELLE_TEST_STORE").map { String(cString: $0) } ?? ""
        guard let engine: TestEngine = TestEngine(rawValue: name.isEmpty ? "sqlite" : name) else {
            preconditionFailure("PASSERELLE_TEST_STORE: expected sqlite or postgresql and found '\(name)'")
        }
        return engine
    }()

    package var description: String { self.rawValue }
}

/// Where the store of one test is: a folder of its own and, on PostgreSQL, a database of its own. Both go with the last reference.
package final class StorePlace: Sendable {
    package let engine: TestEngine
    package let folder: TemporaryFolder
    /// The database on the shared server; nil on SQLite.
    package let database: String?
    /// Under which the database is given back; nil: it is dropped.
    private let key: String?

    package init(_ engine: TestEngine = .chosen, folder: TemporaryFolder = TemporaryFolder()) {
        self.engine = engine
        self.folder = folder
        self.key = nil
        self.database = engine == .postgresql ? PostgresServer.shared.makeDatabase() : nil
    }

    /// On PostgreSQL with a database that `prepare`, given a URL, makes once for all places with this key, which use it one after
    /// the other and find it as it was then.
    package init(
        likeAll key: String, _ engine: TestEngine = .chosen, prepare: (String) async throws -> Void
    ) async throws {
        self.engine = engine
        self.folder = TemporaryFolder()
        self.key = key
        self.database =
            engine == .postgresql ? try await PostgresServer.shared.takeDatabase(for: key, prepare: prepare) : nil
    }

    deinit {
        guard let database: String = self.database else { return }
        if let key: String = self.key {
            PostgresServer.shared.giveBack(database, for: key)
        } else {
            PostgresServer.shared.dropDatabase(database)
        }
    }

    /// For `StoreConfiguration.url`.
    package var url: String? { self.database.map { PostgresServer.shared.url($0) } }

    /// The same through another port, such as a `TCPProxy`'s.
    package func url(port: Int) -> String {
        "postgresql://app@127.0.0.1:\(port)/\(self.database ?? "")"
    }

    /// Runs SQL behind the store's back; on PostgreSQL only.
    @discardableResult
    package func run(_ sql: String) -> String { PostgresServer.shared.run(sql, database: self.database ?? "postgres") }
}
