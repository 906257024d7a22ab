import Audit
import Files
import JSON
import Store

enum StoreCommands {
    static let all: [Command] = [migrate]

    static let migrate: Command = Command(
        "store migrate",
        summary: "Move a data folder's database to PostgreSQL, and compare every row and the audit log afterwards",
        options: [
            .init("data", "FOLDER", "the data folder to move; no process may use it (./data)"),
            .init("to", "URL", "an empty PostgreSQL database, without a password in the address"),
            .init("to-file", "FILE", "a file with the address, which may hold a password (PASSERELLE_STORE_URL)"),
        ],
        example: "passerelle store migrate --data ./data --to-file /etc/passerelle/store-url"
    ) { arguments, console in
        let folder: String = arguments["data"] ?? "./data"
        let url: String = try Self.target(arguments)
        guard Files.exists("\(folder)/passerelle.db") else {
            throw CommandError.failed("\(folder) is no data folder: there is no passerelle.db in it.")
        }
        let summary: StoreCopy.Summary
        do {
            summary = try Self.copy(folder, to: url, console)
        } catch {
            throw CommandError.failed("\(error)")
        }
        let entries: Int64 = try await Self.verifyAuditLog(url, console)
        switch console.format {
        case .json:
            let tables: [JSONValue] = summary.tables.map {
                .object(["table": .string($0.name), "rows": .int($0.rows)])
            }
            console.printJSON(
                .object(["rows": .int(summary.rows), "tables": .array(tables), "audit_entries": .int(entries)]))
        case .table:
            console.print(
                """
                \(summary.rows) rows in \(summary.tables.count) tables copied and compared, \(entries) audit entries verified.
                Start the platform with store.url or PASSERELLE_STORE_URL and the same data folder: it keeps the master key.
                \(folder)/passerelle.db is unchanged; move it away once you are content.
                """)
        }
    }

    /// Blocks its thread: nothing else goes on in this process.
    private static func copy(_ folder: String, to url: String, _ console: Console) throws -> StoreCopy.Summary {
        let copy: StoreCopy = try StoreCopy(folder: folder, to: url, migrations: Platform.migrations) { progress in
            switch progress {
            case .copied(let table, let rows): console.progress("\(table): \(rows) rows copied")
            case .compared(let table, let rows): console.progress("\(table): \(rows) rows compared")
            }
        }
        return try copy.run()
    }

    /// The target as a platform would see it: every entry against the tree.
    private static func verifyAuditLog(_ url: String, _ console: Console) async throws -> Int64 {
        let verdict: AuditVerdict
        do {
            var configuration: StoreConfiguration = StoreConfiguration(folder: "", url: url, readers: 1)
            configuration.schema = .partial
            let store: Store = try Store.open(configuration, migrations: AuditVerification.migrations)
            verdict = try await AuditVerification.run(on: store, checkpoint: nil, trusting: []) { count in
                console.progress("\(count) audit entries read")
            }
            await store.close()
        } catch {
            throw CommandError.failed("The copy is complete, but its audit log cannot be read: \(error)")
        }
        console.progress("", isFinal: false)
        guard verdict.isSound else {
            throw CommandError.failed(
                "The copy is complete, but its audit log is not sound, as it is in the folder: "
                    + verdict.lines.joined(separator: " "))
        }
        return verdict.head.size
    }

    private static func target(_ arguments: Arguments) throws(CommandError) -> String {
        if let file: String = arguments["to-file"] { return try Settings.storeURL(inFile: file) }
        if let url: String = arguments["to"] {
            // user:password@ shows to everyone who can list processes.
            let authority: Substring = url.drop { $0 != "/" }.drop { $0 == "/" }.prefix { $0 != "/" }
            if let at: Substring.Index = authority.lastIndex(of: "@"), authority[..<at].contains(":") {
                throw .usage("--to holds a password, which everyone can see who lists processes: use --to-file FILE.")
            }
            return url
        }
        if let url: String = Login.environment("PASSERELLE_STORE_URL") { return url }
        throw .usage("Where to? Give --to-file FILE, PASSERELLE_STORE_URL, or --to URL.")
    }
}
