/// Why the store refused or failed. Each case says whose fault it is and whether the same call may succeed later.
package enum StoreError: Error, Sendable, Equatable {
    /// A declared rule of a table was broken: the caller's values, nothing is written. `detail` names the columns as
    /// SQLite prints them (`apis.tenant, apis.name`), or is empty where the engine does not say.
    case constraint(ConstraintKind, detail: String)
    /// The disk or the file system refuses (full, I/O error, read-only). Nothing is written; retry later: it recovers by itself.
    case unavailable(reason: String)
    /// A queue of the store is at its limit. Nothing was tried; retry after a moment.
    case overloaded(queue: String, limit: Int)
    /// The closure used its time up; a read's snapshot is gone, nothing is written.
    case timedOut(after: Duration)
    /// The data folder was written by a newer version: this binary knows `service` only up to migration `known`.
    case newerDatabase(service: String, number: Int, known: Int)
    /// The database lacks migrations that this binary works with, and whoever opened it was not to apply them: `service` is at
    /// migration `number`, 0 for none.
    case olderDatabase(service: String, number: Int, needed: Int)
    /// A migration that was applied has since been edited. Migrations are for ever: add another one.
    case changedMigration(service: String, number: Int, name: String)
    /// Another process works on this data folder; `pid` is nil when it has not written its number yet.
    case locked(folder: String, pid: Int32?)
    /// The data folder or a file in it cannot be created or written.
    case notWritable(path: String, reason: String)
    /// The database file is damaged or is no database of this product. Restore a backup.
    case corrupt(reason: String)
    /// The database belongs to something else: it has tables, and none of ours.
    case foreignDatabase(reason: String)
    /// The store's settings or the server they lead to are none this product can work with.
    case misconfigured(String)
    /// Other transactions kept getting in the way. Nothing is written; retry after a moment.
    case conflict
    /// A column holds another type than the code asked for, or NULL where it must not be.
    case decoding(column: String, expected: String, found: String)
    /// A bug in the calling code: invalid SQL, wrong parameters, a transaction used after its end.
    case misuse(String)
    /// The store was closed; nothing was tried.
    case closed

    /// The kinds of rule a table can declare.
    package enum ConstraintKind: String, Sendable {
        case unique, foreignKey, notNull, check, type
    }

    /// Whether the cause lies outside the program and the data: disk, file system, damaged file.
    var isEnvironmental: Bool {
        switch self {
        case .unavailable, .corrupt, .notWritable: return true
        default: return false
        }
    }

    /// Whether closures of a group that failed with this should be tried one by one. After damage or an I/O error that
    /// would only cost the disk more time; a full disk may still take the small ones.
    var mayHitOnlyOneClosure: Bool {
        switch self {
        case .corrupt, .notWritable, .closed: return false
        case .unavailable(let reason): return reason.hasPrefix(SQLiteResult.noSpace)
        default: return true
        }
    }
}

extension StoreError: CustomStringConvertible {
    /// One English sentence for logs and start-up messages: what happened and what to do.
    package var description: String {
        switch self {
        case .constraint(let kind, let detail):
            return "the change breaks a \(kind.rawValue) rule\(detail.isEmpty ? "" : ": \(detail)")"
        case .unavailable(let reason):
            return "the store is unavailable: \(reason)"
        case .overloaded(let queue, let limit):
            return "the store's \(queue) queue is full (\(limit) waiting); retry later"
        case .timedOut(let limit):
            return "the database work took longer than \(limit)"
        case .newerDatabase(let service, let number, let known):
            return "the database was written by a newer version: service '\(service)' is at migration \(number), "
                + "this binary knows \(known == 0 ? "none" : "up to \(known)"); start the newer binary, or restore a backup made by this one"
        case .olderDatabase(let service, let number, let needed):
            return
                "the database is of an older version: service '\(service)' is at migration \(number == 0 ? "none" : "\(number)") "
                + "and this needs \(needed); nothing was changed. Use the binary of the platform that serves it, or start the "
                + "platform with this one, which brings it up to date"
        case .changedMigration(let service, let number, let name):
            return
                "migration \(number) '\(name)' of service '\(service)' differs from the one that was applied to this database; "
                + "this binary does not belong to this data"
        case .locked(let folder, let pid):
            let owner: String = pid.map { "process \($0)" } ?? "another process"
            return "the data folder '\(folder)' is in use by \(owner); stop it, or choose another folder"
        case .notWritable(let path, let reason):
            return "cannot write '\(path)': \(reason); check owner, mode and mount of the data folder"
        case .corrupt(let reason):
            return "the database is damaged: \(reason); restore the data folder from a backup"
        case .foreignDatabase(let reason):
            return "this is no database of this product: \(reason); name the right one, or an empty one"
        case .misconfigured(let text):
            return text
        case .conflict:
            return "other changes to the same things kept getting in the way; retry later"
        case .decoding(let column, let expected, let found):
            return "column '\(column)' should hold \(expected) and holds \(found)"
        case .misuse(let text):
            return "the store was used wrongly: \(text)"
        case .closed:
            return "the store is closed"
        }
    }
}
