import CSQLite
import Glibc

/// Turns SQLite's result codes into our errors.
enum SQLiteResult {
    /// How the reason of a full disk begins.
    static let noSpace: String = "no space left for the database"

    /// The error for an extended result code. Takes the text from the connection, so call it before anything else runs there.
    static func error(_ code: Int32, _ connection: OpaquePointer?, sql: String = "") -> StoreError {
        let detail: String = sqlite3_errmsg(connection).map { String(cString: $0) } ?? ""
        let system: Int32 = connection == nil ? 0 : sqlite3_system_errno(connection)
        switch code & 0xff {
        case SQLITE_CONSTRAINT:
            return Self.constraint(code, detail)
        case SQLITE_FULL:
            return .unavailable(
                reason: "no space left for the database (\(detail)); free disk space, it resumes by itself")
        case SQLITE_IOERR where system == ENOSPC || system == EDQUOT || system == EFBIG:
            return .unavailable(
                reason: "no space left for the database (\(Self.name(system))); free disk space, it resumes by itself")
        case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH:
            return .unavailable(
                reason: "the database is read-only (\(detail)); check owner, mode and mount of the data folder")
        case SQLITE_IOERR, SQLITE_CANTOPEN, SQLITE_NOLFS, SQLITE_PROTOCOL:
            let cause: String = system == 0 ? "code \(code)" : Self.name(system)
            return .unavailable(
                reason: "input/output error on the database (\(detail), \(cause)); check disk and kernel log")
        case SQLITE_NOMEM:
            return .unavailable(reason: "out of memory in the database")
        case SQLITE_BUSY, SQLITE_LOCKED:
            return .unavailable(reason: "the database is locked by another program (\(detail))")
        case SQLITE_CORRUPT, SQLITE_NOTADB:
            return .corrupt(reason: "'\(Self.file(connection))': \(detail)")
        case SQLITE_TOOBIG:
            return .misuse("a value or statement is larger than the database takes: \(sql)")
        default:
            return .misuse("\(detail) (code \(code)) in: \(sql)")
        }
    }

    /// The database file of a connection: what to look at, or to restore.
    static func file(_ connection: OpaquePointer?) -> String {
        guard let connection, let name: UnsafePointer<CChar> = sqlite3_db_filename(connection, "main") else {
            return ""
        }
        return String(cString: name)
    }

    /// "No space left on device" for ENOSPC.
    static func name(_ errno: Int32) -> String {
        String(cString: strerror(errno))
    }

    private static func constraint(_ code: Int32, _ detail: String) -> StoreError {
        let kind: StoreError.ConstraintKind
        switch code >> 8 {
        case 3: kind = .foreignKey  // SQLITE_CONSTRAINT_FOREIGNKEY
        case 5: kind = .notNull  // SQLITE_CONSTRAINT_NOTNULL
        case 6, 8, 10: kind = .unique  // PRIMARYKEY, UNIQUE, ROWID
        case 12: return .constraint(.type, detail: detail)  // SQLITE_CONSTRAINT_DATATYPE: a STRICT table
        default: kind = .check
        }
        // "UNIQUE constraint failed: apis.tenant, apis.name": what follows the colon.
        guard let colon: String.Index = detail.firstIndex(of: ":") else { return .constraint(kind, detail: "") }
        return .constraint(kind, detail: String(detail[detail.index(after: colon)...].drop { $0 == " " }))
    }
}
