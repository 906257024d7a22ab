import REST
import ServiceTestKit
import Store

/// Looks for a text in everything the store holds: every column of every table.
enum StoredText {
    static func contains(_ text: String, in harness: ServiceHarness) async throws -> Bool {
        try await harness.services.store.read { reader in
            let isSQLite: Bool = reader.engine == .sqlite
            let columns: [(table: String, column: String)] = try reader.rows(isSQLite ? Self.sqlite : Self.postgresql) {
                (try $0.text(0), try $0.text(1))
            }
            for (table, column) in columns {
                let condition: String =
                    isSQLite
                    ? "instr(CAST(\"\(column)\" AS BLOB), CAST($1 AS BLOB)) > 0"
                    : "position($1::bytea IN convert_to(\"\(column)\"::text, 'UTF8')) > 0"
                let found: Int64? = try reader.first(
                    "SELECT 1 FROM \"\(table)\" WHERE \(condition) LIMIT 1",
                    isSQLite ? .text(text) : .bytes(Array(text.utf8))
                ) { try $0.int(0) }
                if found != nil { return true }
            }
            return false
        }
    }

    private static let sqlite: String = """
        SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c
        WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'
        """
    private static let postgresql: String = """
        SELECT table_name::text, column_name::text FROM information_schema.columns
        WHERE table_schema = current_schema() AND data_type <> 'bytea'
        UNION ALL SELECT 'log_batches', 'batch'
        """
}
