import CPostgres

/// Why PostgreSQL refused a statement, and what that means for the transaction.
struct PostgresFailure {
    enum Kind {
        /// Another transaction got in the way: the closure runs again.
        case conflict
        /// The connection is of no more use. What was not committed is undone.
        case lost
        /// The statement's own failure; the transaction is ended by it.
        case statement
    }

    static let readOnlyCode: String = "25006"
    /// How the reason of a full disk begins.
    static let noSpace: String = "no space left on the database server"

    let kind: Kind
    let error: StoreError
    /// The server's code (SQLSTATE); empty where the connection broke.
    var code: String = ""

    func asMisuse(_ text: String) -> PostgresFailure {
        var failure: PostgresFailure = PostgresFailure(kind: .statement, error: .misuse(text))
        failure.code = self.code
        return failure
    }

    private init(kind: Kind, error: StoreError) {
        self.kind = kind
        self.error = error
    }

    /// A connection that broke.
    init(lost reason: String) {
        self.kind = .lost
        self.error = .unavailable(reason: reason)
    }

    /// The failure a result holds; nil when it is none.
    init?(_ result: OpaquePointer, sql: String, timeLimit: Duration) {
        switch PQresultStatus(result) {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_SINGLE_TUPLE, PGRES_PIPELINE_SYNC: return nil
        default: break
        }
        let message: String = Self.field(result, CPOSTGRES_DIAG_MESSAGE) ?? Self.line(PQresultErrorMessage(result))
        guard let code: String = Self.field(result, CPOSTGRES_DIAG_SQLSTATE) else {
            // libpq's own words: the connection broke while the answer was awaited.
            self.kind = .lost
            self.error = .unavailable(reason: "the connection to PostgreSQL was lost (\(message))")
            return
        }
        self.code = code
        switch code {
        case "40001", "40P01", "40003":
            self.kind = .conflict
            self.error = .conflict
        case "57P01", "57P02", "57P03", "57P05", "25P03":
            self.kind = .lost
            self.error = .unavailable(reason: "PostgreSQL ended the connection (\(message))")
        default:
            self.kind = code.hasPrefix("08") ? .lost : .statement
            self.error = Self.error(code, message, result, sql: sql, timeLimit: timeLimit)
        }
    }

    private static func error(
        _ code: String, _ message: String, _ result: OpaquePointer, sql: String, timeLimit: Duration
    ) -> StoreError {
        switch code {
        case "23505": return .constraint(.unique, detail: Self.columns(result))
        case "23503": return .constraint(.foreignKey, detail: Self.columns(result))
        case "23502": return .constraint(.notNull, detail: Self.column(result))
        case "23514": return .constraint(.check, detail: Self.field(result, CPOSTGRES_DIAG_CONSTRAINT) ?? "")
        // A value of another type than the column's, too large for it, or (22021) a text with a zero byte.
        case "42804", "22P02", "22003", "22021", "54000": return .constraint(.type, detail: message)
        case "57014": return .timedOut(after: timeLimit)
        case "55P03": return .timedOut(after: .milliseconds(PostgresLimits.lockMillisecondsMax))
        case "53100":
            return .unavailable(
                reason: "\(Self.noSpace) (\(message)); free disk space, it resumes by itself")
        case "25006":
            return .unavailable(
                reason:
                    "the database is read-only (\(message)); point store.url at the primary, or end its read-only mode")
        case "42501":
            return .unavailable(reason: "the database user lacks a right (\(message)); grant it, it resumes by itself")
        case "XX001", "XX002": return .corrupt(reason: message)
        default: break
        }
        switch code.prefix(2) {
        case "08", "53", "57", "58", "XX": return .unavailable(reason: "PostgreSQL refuses (\(message), \(code))")
        case "23": return .constraint(.check, detail: Self.field(result, CPOSTGRES_DIAG_CONSTRAINT) ?? "")
        default: return .misuse("\(message) (\(code)) in: \(sql)")
        }
    }

    static func field(_ result: OpaquePointer, _ code: Int32) -> String? {
        PQresultErrorField(result, code).map { String(cString: $0) }
    }

    /// "notes.name".
    private static func column(_ result: OpaquePointer) -> String {
        let table: String = Self.field(result, CPOSTGRES_DIAG_TABLE) ?? ""
        return "\(table).\(Self.field(result, CPOSTGRES_DIAG_COLUMN) ?? "")"
    }

    /// "notes.tenant, notes.name", as SQLite says it, out of "Key (tenant, name)=(t, a) …" in whatever language the server
    /// speaks. The values after the sign are the caller's and not repeated. Empty when the detail has another form.
    private static func columns(_ result: OpaquePointer) -> String {
        guard let detail: String = Self.field(result, CPOSTGRES_DIAG_DETAIL),
            let table: String = Self.field(result, CPOSTGRES_DIAG_TABLE)
        else { return "" }
        let bytes: [UInt8] = Array(detail.utf8)
        guard let opening: Int = bytes.firstIndex(of: UInt8(ascii: "(")) else { return "" }
        var end: Int = opening
        while end + 2 < bytes.count, bytes[end..<end + 3] != [41, 61, 40] { end += 1 }
        guard end + 2 < bytes.count else { return "" }
        var names: [String] = []
        for name: ArraySlice<UInt8> in bytes[(opening + 1)..<end].split(separator: UInt8(ascii: ",")) {
            names.append("\(table).\(String(decoding: name.drop { $0 == 32 }, as: UTF8.self))")
        }
        return names.joined(separator: ", ")
    }

    /// A message of libpq in one line.
    static func line(_ text: UnsafePointer<CChar>?) -> String {
        guard let text else { return "no reason given" }
        let lines: [Substring] = String(cString: text).split(whereSeparator: { $0.isNewline })
        var words: [String] = []
        for line: Substring in lines { words.append(String(line.drop { $0 == " " || $0 == "\t" })) }
        return words.isEmpty ? "no reason given" : words.joined(separator: "; ")
    }
}

extension StoreError {
    /// Whether the server's disk is full.
    var isNoSpaceOnServer: Bool {
        if case .unavailable(let reason) = self { return reason.hasPrefix(PostgresFailure.noSpace) }
        return false
    }
}
