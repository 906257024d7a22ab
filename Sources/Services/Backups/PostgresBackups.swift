import Glibc
import JSON
import REST
import Store

/// What an installation on PostgreSQL is told: its own tools back it up better than we could, and whether they are set up.
enum PostgresBackups {
    /// What is looked at, with what it should be.
    private static let wanted: [(name: String, isFine: @Sendable (String) -> Bool, advice: String)] = [
        ("wal_level", { $0 == "replica" || $0 == "logical" }, "set wal_level = replica, and restart the server"),
        ("archive_mode", { $0 == "on" || $0 == "always" }, "set archive_mode = on, and restart the server"),
        (
            "archive_command", { !$0.isEmpty && $0 != "(disabled)" },
            "set archive_command (or archive_library), so that every finished piece of the log is kept elsewhere"
        ),
        ("max_wal_senders", { (Int($0) ?? 0) > 0 }, "set max_wal_senders to 2 or more: pg_basebackup needs them"),
        (
            "data_checksums", { $0 == "on" },
            "enable checksums (pg_checksums), so that damage is noticed while it is read"
        ),
    ]

    /// Stands among the settings when the last piece of the server's log could not be archived.
    static let archiveFails: String = "archive fails"
    private static let archiveIsFailing: String = """
        SELECT 1 FROM pg_stat_archiver
            WHERE last_failed_time > last_archived_time OR (last_archived_time IS NULL AND failed_count > 0)
        """

    /// The problem that answers a request for a backup: what to use, what is set, and what should be.
    static func refusal(_ store: Store) async throws -> APIProblem {
        let settings: [String: String] = try await store.read { reader in
            var found: [String: String] = [:]
            let rows: [(name: String, value: String)] = try reader.rows(
                """
                SELECT name, setting FROM pg_settings WHERE name IN
                    ('wal_level', 'archive_mode', 'archive_command', 'archive_library', 'max_wal_senders', 'data_checksums')
                """
            ) { (row: Row) throws(StoreError) -> (name: String, value: String) in (try row.text(0), try row.text(1)) }
            for row in rows { found[row.name] = row.value }
            if try reader.first(Self.archiveIsFailing, decode: { (row: Row) throws(StoreError) -> Bool in true }) != nil
            {
                found[Self.archiveFails] = "yes"
            }
            return found
        }
        return Self.refusal(settings: settings, hasTool: Self.isInPath("pg_basebackup"))
    }

    static func refusal(settings: [String: String], hasTool: Bool) -> APIProblem {
        var problems: [JSONValue] = []
        var shown: JSONObject = JSONObject()
        for item in Self.wanted {
            // Not everyone may see every setting.
            guard var value: String = settings[item.name] else { continue }
            if item.name == "archive_command" {
                if !item.isFine(value) { value = settings["archive_library"] ?? "" }
                // A command may hold credentials.
                shown.append(item.name, .string(item.isFine(value) ? "set" : "not set"))
            } else {
                shown.append(item.name, .string(value))
            }
            if !item.isFine(value) { problems.append(.string("\(item.name): \(item.advice)")) }
        }
        if settings[Self.archiveFails] != nil {
            problems.append(
                "archive_command: the last piece of the log could not be archived; the server's log says why")
        }
        if !hasTool {
            problems.append(
                "pg_basebackup is not on this machine: install PostgreSQL's client tools where backups are made")
        }
        let state: String =
            problems.isEmpty
            ? "They are set up." : "To be put right: " + problems.compactMap(\.text).joined(separator: "; ") + "."
        var problem: APIProblem = APIProblem.conflict(
            "This platform runs on PostgreSQL: back that up with its own tools, pg_basebackup and an archive of its log (or pg_dump for a single moment), and keep master.key elsewhere. \(state)"
        )
        problem.members["postgresql"] = .object(["settings": .object(shown), "problems": .array(problems)])
        return problem
    }

    private static func isInPath(_ name: String) -> Bool {
        guard let path: UnsafeMutablePointer<CChar> = getenv("PATH") else { return false }
        for folder in String(cString: path).split(separator: ":") where access("\(folder)/\(name)", X_OK) == 0 {
            return true
        }
        return false
    }
}
