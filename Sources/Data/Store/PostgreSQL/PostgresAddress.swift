import CPostgres

/// Where the server is and who we are there: a connection URI as libpq reads it.
///
/// The text may hold a password, so nothing shows it: errors and logs get `shown`.
struct PostgresAddress: Sendable {
    /// The URI, secrets included.
    let text: String
    /// `user@host:port/database`.
    let shown: String

    /// Throws `.misconfigured`; the message repeats nothing of the text.
    init(_ text: String) throws(StoreError) {
        guard text.hasPrefix("postgresql://") || text.hasPrefix("postgres://") else {
            throw .misconfigured(
                "the store's address has an unknown scheme: expected postgresql://USER@HOST:PORT/DATABASE, "
                    + "or no address for SQLite in the data folder")
        }
        var problem: UnsafeMutablePointer<CChar>?
        let options: UnsafeMutablePointer<PQconninfoOption>? = PQconninfoParse(text, &problem)
        // libpq's own message would quote the part it does not understand, which may be the password.
        PQfreemem(problem)
        guard let options else {
            throw .misconfigured(
                "the store's address cannot be read: expected postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full; "
                    + "in a password write %XX for : / @ ? # % and spaces")
        }
        defer { PQconninfoFree(options) }
        var values: [String: String] = [:]
        var at: Int = 0
        while let keyword: UnsafeMutablePointer<CChar> = options[at].keyword {
            if let value: UnsafeMutablePointer<CChar> = options[at].val {
                values[String(cString: keyword)] = String(cString: value)
            }
            at += 1
        }
        self.text = text
        self.shown = Self.shown(values)
    }

    private static func shown(_ values: [String: String]) -> String {
        let user: String = values["user"].map { $0 + "@" } ?? ""
        let host: String = values["host"] ?? values["hostaddr"] ?? "localhost"
        return "\(user)\(host):\(values["port"] ?? "5432")/\(values["dbname"] ?? values["user"] ?? "")"
    }

    /// What libpq is told: what the address may override, the address, what it may not.
    var parameters: [(keyword: String, value: String)] {
        [
            ("application_name", "passerelle"),
            ("connect_timeout", "\(PostgresLimits.connectSeconds)"),
            // A peer that is gone without a word is found out: what it does not acknowledge, and what it is asked while nothing is
            // sent. Its kernel answers, so a server that only is slow is not taken for gone.
            ("keepalives_idle", "\(PostgresLimits.keepaliveSeconds)"), ("keepalives_interval", "1"),
            ("keepalives_count", "3"), ("tcp_user_timeout", "\(PostgresLimits.networkMilliseconds)"),
            // Of several hosts, and after a failover, the one that takes writes.
            ("target_session_attrs", "read-write"),
            ("dbname", self.text),
            ("client_encoding", "UTF8"),
        ]
    }
}
