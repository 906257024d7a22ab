/// One step of a service's schema. Once released it never changes: the next change is the next number.
///
/// `sql` holds one or more statements in the subset SQLite and PostgreSQL share. Column types are neutral: `bytes`,
/// `int64`, `text`, `json`, `double`, `bool`; the runner maps them. `WITHOUT ROWID` after a table means "keep the rows in
/// the order of the primary key" (small rows only) and is left out where the engine has no such thing.
package struct Migration: Sendable {
    package let number: Int
    package let name: String
    package let sql: String

    package init(number: Int, name: String, sql: String) {
        self.number = number
        self.name = name
        self.sql = sql
    }
}

/// A service's schema, from migration 1 on without gaps.
package struct ServiceMigrations: Sendable {
    package let service: String
    package let steps: [Migration]

    package init(service: String, steps: [Migration]) {
        self.service = service
        self.steps = steps
    }
}
