import REST
import ServiceTestKit
import Store

/// Looks for a text in everything the store holds: every column of every table.
enum StoredText {
    static func contains(_ text: String, in harness: ServiceHarness) async throws -> Bool {
        try await harness.services.store.read { reader in
            let tables: [String] = try reader.rows(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            ) { try $0.text(0) }
            for table in tables {
                let columns: [String] = try reader.rows("SELECT name FROM pragma_table_info('\(table)')") {
                    try $0.text(0)
                }
                for column in columns {
                    let found: Int64? = try reader.first(
                        "SELECT 1 FROM \(table) WHERE instr(CAST(\"\(column)\" AS BLOB), CAST($1 AS BLOB)) > 0 LIMIT 1",
                        .text(text)
                    ) { try $0.int(0) }
                    if found != nil { return true }
                }
            }
            return false
        }
    }
}
