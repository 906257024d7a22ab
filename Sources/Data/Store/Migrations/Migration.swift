/// One step of a service's schema. Once released it never changes: the next change is the next number.
///
/// `sql` holds one or more statements in the subset SQLite and PostgreSQL share. Column types are neutral: `bytes`,
/// `int64`, `text`, `json`, `double`, `bool`; the runner maps them. `WITHOUT ROWID` after a table means "keep the rows in
/// the order of the primary key" (small rows only) and is left out where the engine has no such thing. What the two cannot say
/// alike is given for PostgreSQL apart.
package struct Migration: Sendable {
    package let number: Int
    package let name: String
    private let shared: String
    private let postgresql: String?

    /// - Parameter postgresql: what PostgreSQL runs instead of `sql`; nil when it is the same. Empty does nothing there.
    package init(number: Int, name: String, sql: String, postgresql: String? = nil) {
        self.number = number
        self.name = name
        self.shared = sql
        self.postgresql = postgresql
    }

    /// The text for an engine, with neutral types.
    func sql(for engine: StoreEngineKind) -> String {
        engine == .postgresql ? self.postgresql ?? self.shared : self.shared
    }
}

/// A service's schema, from migration 1 on without gaps.
package struct ServiceMigrations: Sendable {
    package let service: String
    package let steps: [Migration]
    /// How many of them must be there for who opens the store with `SchemaUse.partial`.
    fileprivate(set) var needed: Int

    package init(service: String, steps: [Migration]) {
        self.service = service
        self.steps = steps
        self.needed = steps.count
    }

    /// For who only reads tables that the first `count` steps have made.
    package func needing(_ count: Int) -> ServiceMigrations {
        var copy: ServiceMigrations = self
        copy.needed = min(count, self.steps.count)
        return copy
    }
}
