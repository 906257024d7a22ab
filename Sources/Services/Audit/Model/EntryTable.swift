import JSON

/// Entries as lines for people and their programs: JSON Lines, or CSV (RFC 4180) for spreadsheets.
///
/// A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return for a formula and runs it; what users have
/// written stands in these cells. Such a cell gets an apostrophe before it, which makes it a text and is shown by none of them.
enum EntryTable {
    enum Format: String, Sendable, CaseIterable {
        case jsonLines = "jsonl"
        case csv

        var mediaType: String {
            switch self {
            case .jsonLines: AuditExport.mediaType
            case .csv: "text/csv; charset=utf-8; header=present"
            }
        }
    }

    private static let columns: [String] = [
        "leaf", "id", "time", "tenant", "event_type", "actor", "actor_tenant", "ip", "resource_type", "resource_id",
        "resource_version", "git_commit", "trace_id", "changes",
    ]

    /// What comes before the first entry.
    static func head(_ format: Format) -> [UInt8] { format == .csv ? Self.row(Self.columns) : [] }

    static func line(_ leaf: Int64, _ entry: JSONValue, _ format: Format) -> [UInt8] {
        switch format {
        case .jsonLines:
            var object: JSONObject = ["leaf": .int(leaf)]
            for member in entry.object?.members ?? [] { object[member.key] = member.value }
            return JSONValue.object(object).serialized() + [UInt8(ascii: "\n")]
        case .csv:
            return Self.row([
                String(leaf), Self.text(entry["id"]), Self.text(entry["time"]), Self.text(entry["tenant"]),
                Self.text(entry["event_type"]), Self.text(entry["actor"]?["user_id"]),
                Self.text(entry["actor"]?["tenant"]), Self.text(entry["actor"]?["ip"]),
                Self.text(entry["resource"]?["type"]), Self.text(entry["resource"]?["id"]),
                Self.text(entry["resource"]?["version"]), Self.text(entry["git_commit"]),
                Self.text(entry["trace_id"]), entry["changes"]?.jsonText ?? "",
            ])
        }
    }

    /// A value as a cell shows it: one that is closed or erased says just that.
    private static func text(_ value: JSONValue?) -> String {
        switch value {
        case nil, .null?: ""
        case .string(let text)?: text
        case EntryOpener.closed?: "sealed"
        case EntryOpener.erased?: "erased"
        case let other?: other.jsonText
        }
    }

    /// Cells as one line of CSV.
    static func row(_ cells: [String]) -> [UInt8] {
        var line: [UInt8] = []
        for (index, cell) in cells.enumerated() {
            if index > 0 { line.append(UInt8(ascii: ",")) }
            Self.append(cell, to: &line)
        }
        line += [UInt8(ascii: "\r"), UInt8(ascii: "\n")]
        return line
    }

    private static func append(_ cell: String, to line: inout [UInt8]) {
        let quote: UInt8 = UInt8(ascii: "\"")
        var needsQuotes: Bool = false
        for byte in cell.utf8 where [quote, UInt8(ascii: ","), UInt8(ascii: "\r"), UInt8(ascii: "\n")].contains(byte) {
            needsQuotes = true
        }
        if needsQuotes { line.append(quote) }
        if let first: UInt8 = cell.utf8.first, Self.beginsFormula(first) { line.append(UInt8(ascii: "'")) }
        for byte in cell.utf8 {
            if byte == quote { line.append(quote) }
            line.append(byte)
        }
        if needsQuotes { line.append(quote) }
    }

    private static func beginsFormula(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "="), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "@"), UInt8(ascii: "\t"),
            UInt8(ascii: "\r"), UInt8(ascii: "\n"):
            true
        default: false
        }
    }
}
