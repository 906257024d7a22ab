import Store
import Time

/// A row of log_members.
struct MemberRow: Sendable {
    let group: String
    let name: String
    let topics: Set<String>
    /// When the member counts as dead unless it shows life, in `LogTime`.
    let until: Int64

    init(group: String, name: String, topics: Set<String>, until: Int64) {
        self.group = group
        self.name = name
        self.topics = topics
        self.until = until
    }

    init(_ row: Row) throws(StoreError) {
        self.group = try row.text(0)
        self.name = try row.text(1)
        self.topics = Set(try row.text(2).split(separator: ",").map(String.init))
        self.until = try row.int(3)
    }
}

/// The SQL of log_members.
enum MemberTable {
    /// Shows that a member lives, or brings it into the group.
    static func beat(_ member: MemberRow, in transaction: Transaction) throws(StoreError) {
        try transaction.execute(
            """
            INSERT INTO log_members (group_name, member, topics, until) VALUES ($1, $2, $3, $4)
            ON CONFLICT (group_name, member) DO UPDATE SET until = $4
            """, .text(member.group), .text(member.name), .text(member.topics.sorted().joined(separator: ",")),
            .int(member.until))
    }

    static func leave(_ group: String, _ name: String, in transaction: Transaction) throws(StoreError) {
        try transaction.execute(
            "DELETE FROM log_members WHERE group_name = $1 AND member = $2", .text(group), .text(name))
    }

    /// Removes a member that has not shown life since it was seen.
    static func forget(_ member: MemberRow, in transaction: Transaction) throws(StoreError) {
        try transaction.execute(
            "DELETE FROM log_members WHERE group_name = $1 AND member = $2 AND until = $3", .text(member.group),
            .text(member.name), .int(member.until))
    }

    static func rows(in database: some Queryable) throws(StoreError) -> [MemberRow] {
        try database.rows(
            "SELECT group_name, member, topics, until FROM log_members ORDER BY group_name, member",
            decode: MemberRow.init)
    }

    /// Members and leases of processes that cannot be there any more: this one has just locked the data folder.
    static func removeAll(in transaction: Transaction) throws(StoreError) {
        try transaction.execute("DELETE FROM log_members")
        try transaction.execute("UPDATE log_leases SET holder = NULL WHERE holder IS NOT NULL")
    }
}
