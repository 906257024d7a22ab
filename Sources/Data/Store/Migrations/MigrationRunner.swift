import Time

/// Brings a database to the schema this binary knows: everything is checked first, then applied in one transaction. Or only
/// checks it, for those who may not change what others serve.
///
/// The table `schema_migrations (service, number, name, checksum, applied_at)` holds what was applied. The checksum is
/// FNV-1a (64 bits, hex) over the migration's words, so that only layout and comments may change afterwards.
struct MigrationRunner {
    private static let own: ServiceMigrations = ServiceMigrations(
        service: "store",
        steps: [
            Migration(
                number: 1, name: "probe",
                sql: """
                    CREATE TABLE store_probe (id int64 PRIMARY KEY, written_at int64 NOT NULL);
                    INSERT INTO store_probe (id, written_at) VALUES (1, 0);
                    """)
        ])
    private static let list: String = """
        CREATE TABLE schema_migrations (
            service text NOT NULL, number int64 NOT NULL, name text NOT NULL, checksum text NOT NULL, applied_at int64 NOT NULL,
            PRIMARY KEY (service, number)
        )
        """

    /// Columns of that table.
    private static let listColumns: Int = 5

    private let database: Database
    private let services: [ServiceMigrations]
    private let now: Timestamp

    init(_ database: Database, _ services: [ServiceMigrations], now: Timestamp) throws(StoreError) {
        self.database = database
        self.services = [Self.own] + services
        self.now = now
        try self.checkNumbering()
    }

    /// Does what opening the store asks for.
    func prepare(_ use: SchemaUse) throws(StoreError) {
        switch use {
        case .migrate: _ = try self.run()
        case .complete: try self.check(isPartial: false)
        case .partial: try self.check(isPartial: true)
        }
    }

    /// Applies what is missing; returns how many migrations that were. Either all or none.
    func run() throws(StoreError) -> Int {
        // The list is read inside: another process may be at the same.
        try self.database.beginMigrations()
        do throws(StoreError) {
            let isListed: Bool = try self.isListed()
            let missing: [Step] = try self.missing(isListed ? try self.applied() : [])
            if !isListed { try self.apply(Self.list) }
            for step: Step in missing { try self.apply(step) }
            try self.database.endMigrations(commits: !missing.isEmpty)
            return missing.count
        } catch {
            try? self.database.endMigrations(commits: false)
            throw error
        }
    }

    // MARK: - Checks

    /// Changes nothing. Throws `.olderDatabase` where a step is missing, and what `run` would throw.
    ///
    /// - Parameter isPartial: services that were not given may be of any version, and of those that were, what they need will do.
    private func check(isPartial: Bool) throws(StoreError) {
        guard try self.isListed() else {
            throw .foreignDatabase(reason: "\(self.database.shown) is empty: no platform was ever started on it")
        }
        let applied: [Applied] = try self.applied().filter {
            !isPartial || $0.service == StoreCopy.marker.service || self.steps(of: $0.service) != nil
        }
        let done: [String: Int] = try self.done(applied)
        for service: ServiceMigrations in self.services {
            let needed: Int = isPartial ? service.needed : service.steps.count
            let last: Int = done[service.service] ?? 0
            if last < needed { throw .olderDatabase(service: service.service, number: last, needed: needed) }
        }
    }

    private func steps(of service: String) -> [Migration]? {
        self.services.first { $0.service == service }?.steps
    }

    /// Whether the database holds a list of migrations. Throws when it holds other things and no list.
    private func isListed() throws(StoreError) -> Bool {
        let columns: Int64 = try self.database.integer(self.database.listColumns) ?? 0
        if columns > 0 {
            guard columns == Int64(Self.listColumns) else {
                throw .foreignDatabase(reason: "\(self.database.shown) has another product's table schema_migrations")
            }
            return true
        }
        guard try self.database.integer(self.database.tableCount) == 0 else {
            throw .foreignDatabase(reason: "\(self.database.shown) has tables but no list of migrations")
        }
        return false
    }

    private struct Step {
        let service: String
        let migration: Migration
    }

    private struct Applied {
        let service: String
        let number: Int
        let checksum: String
    }

    private func checkNumbering() throws(StoreError) {
        var names: Set<String> = []
        for service: ServiceMigrations in self.services {
            guard names.insert(service.service).inserted else {
                throw .misuse("service '\(service.service)' is listed twice")
            }
            var next: Int = 1
            for step: Migration in service.steps {
                guard step.number == next else {
                    throw .misuse("service '\(service.service)': expected migration \(next) and found \(step.number)")
                }
                next += 1
            }
        }
    }

    /// What is not applied yet, in order. Throws when the database holds something this binary does not know.
    private func missing(_ applied: [Applied]) throws(StoreError) -> [Step] {
        let done: [String: Int] = try self.done(applied)
        var missing: [Step] = []
        for service: ServiceMigrations in self.services {
            let last: Int = done[service.service] ?? 0
            for migration: Migration in service.steps where migration.number > last {
                missing.append(Step(service: service.service, migration: migration))
            }
        }
        return missing
    }

    /// The highest number applied of each service. Throws when an entry is none this binary knows.
    private func done(_ applied: [Applied]) throws(StoreError) -> [String: Int] {
        var done: [String: Int] = [:]
        for entry: Applied in applied {
            try self.check(entry)
            done[entry.service] = max(done[entry.service] ?? 0, entry.number)
        }
        return done
    }

    private func check(_ entry: Applied) throws(StoreError) {
        let known: [Migration] = self.steps(of: entry.service) ?? []
        if entry.service == StoreCopy.marker.service, known.isEmpty {
            throw .misconfigured(
                "\(self.database.shown) holds an unfinished copy of an installation: "
                    + "run 'passerelle store migrate' again, or empty the database")
        }
        guard entry.number >= 1, entry.number <= known.count else {
            throw .newerDatabase(service: entry.service, number: entry.number, known: known.count)
        }
        let migration: Migration = known[entry.number - 1]
        guard Self.checksum(migration.sql(for: self.database.kind)) == entry.checksum else {
            throw .changedMigration(service: entry.service, number: entry.number, name: migration.name)
        }
    }

    /// Highest numbers first, so that the message about a newer database names the newest.
    private func applied() throws(StoreError) -> [Applied] {
        var found: [Applied] = []
        let sql: String = "SELECT service, number, checksum FROM schema_migrations ORDER BY number DESC, service"
        try self.database.visit(sql, []) { (row: Row) throws(StoreError) -> Bool in
            found.append(Applied(service: try row.text(0), number: Int(try row.int(1)), checksum: try row.text(2)))
            return true
        }
        return found
    }

    // MARK: - Applying

    private func apply(_ step: Step) throws(StoreError) {
        do throws(StoreError) {
            try self.apply(step.migration.sql(for: self.database.kind))
        } catch {
            guard case .misuse(let text) = error else { throw error }
            throw .misuse(
                "migration \(step.migration.number) '\(step.migration.name)' of service '\(step.service)': \(text)")
        }
        _ = try self.database.execute(
            "INSERT INTO schema_migrations (service, number, name, checksum, applied_at) VALUES ($1, $2, $3, $4, $5)",
            [
                .text(step.service), .int(Int64(step.migration.number)), .text(step.migration.name),
                .text(Self.checksum(step.migration.sql(for: self.database.kind))), .int(self.now.nanoseconds),
            ])
    }

    private func apply(_ sql: String) throws(StoreError) {
        for statement: String in try SchemaDialect.of(self.database.kind).statements(sql) {
            try self.database.change(statement)
        }
    }

    static func checksum(_ sql: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for token: SQLToken in SQLToken.split(sql) {
            for byte: UInt8 in token.text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            // A zero byte after each word, which no word holds, so that "a b" and "ab" differ.
            hash = hash &* 0x100_0000_01b3
        }
        let digits: String = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
