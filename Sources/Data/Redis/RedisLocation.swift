import HTTP

/// Where a server is: `redis://[user@]host[:port][/database]`, `rediss://` over TLS. The password is given apart.
package struct RedisLocation: Sendable, Equatable {
    package var isEncrypted: Bool
    package var user: String?
    package var host: String
    package var port: UInt16
    package var database: Int

    package static let portDefault: UInt16 = 6379
    package static let databaseMax: Int = 65_535

    package init(parsing text: String) throws(RedisError) {
        let expected: String = "expected a URL such as redis://127.0.0.1:6379/0"
        let isEncrypted: Bool = text.hasPrefix("rediss://")
        guard isEncrypted || text.hasPrefix("redis://") else { throw .url(expected) }
        var rest: Substring = text.dropFirst(isEncrypted ? 9 : 8)
        self.isEncrypted = isEncrypted
        self.user = nil
        self.database = 0
        if let at: Substring.Index = rest.lastIndex(of: "@") {
            guard let user: String = PercentCoding.decode(rest[..<at]), !user.contains(":") else {
                throw .url("\(expected); the password stands in a file of its own")
            }
            self.user = user.isEmpty ? nil : user
            rest = rest[rest.index(after: at)...]
        }
        if let slash: Substring.Index = rest.firstIndex(of: "/") {
            let number: Substring = rest[rest.index(after: slash)...]
            if !number.isEmpty {
                guard let database: Int = Int(number), (0...Self.databaseMax).contains(database) else {
                    throw .url("\(expected); '\(number)' is no number of a database")
                }
                self.database = database
            }
            rest = rest[..<slash]
        }
        // The same rules for hosts and ports as everywhere.
        guard let parts: URLParts = URLParts("http://\(rest)/") else { throw .url(expected) }
        self.host = parts.host
        self.port = rest.hasSuffix("]") || !rest.contains(":") ? Self.portDefault : parts.port
    }
}
