/// A statement's text, checked once, and what it was prepared as. Belongs to one connection and its thread.
///
/// The values decide the types of the parameters (`int64`, `text` …), as they do on SQLite; PostgreSQL prepares a text anew
/// for each combination it meets. NULL fits every type.
final class PostgresStatement {
    struct Variant {
        let name: String
        /// By parameter; 0 where only NULL was given so far and PostgreSQL chose.
        let types: [UInt32]
    }

    let sql: String
    let parameterCount: Int
    /// A plain SELECT: changes no table. What begins with WITH may.
    let isQuery: Bool
    private var variants: [Variant] = []

    /// Throws `.misuse` for what the store does not run: several statements, other parameters than `$1`, `$2` …, or one left out.
    init(_ sql: String) throws(StoreError) {
        self.sql = sql
        var numbers: Set<Int> = []
        let tokens: [SQLToken] = SQLToken.split(sql)
        for (index, token): (Int, SQLToken) in tokens.enumerated() {
            if token.text == ";", index + 1 < tokens.count {
                throw .misuse("expected exactly one statement in: \(sql)")
            }
            if token.text == "?" { throw Self.unknownParameter("?", sql) }
            if token.text == ":", index + 1 < tokens.count, tokens[index + 1].text != ":",
                index == 0 || tokens[index - 1].text != ":"
            {
                throw Self.unknownParameter(":" + tokens[index + 1].text, sql)
            }
            guard token.text.utf8.first == UInt8(ascii: "$") else { continue }
            guard let number: Int = Int(token.text.dropFirst()), number >= 1 else {
                throw Self.unknownParameter(token.text, sql)
            }
            numbers.insert(number)
        }
        self.parameterCount = numbers.max() ?? 0
        self.isQuery = tokens.first?.text.uppercased() == "SELECT"
        for number: Int in stride(from: 1, through: self.parameterCount, by: 1) where !numbers.contains(number) {
            throw .misuse("parameter $\(number) is missing in: \(sql)")
        }
    }

    private static func unknownParameter(_ name: String, _ sql: String) -> StoreError {
        .misuse("parameter '\(name)' is not of the form $1, $2 … in: \(sql)")
    }

    /// What fits these values, if it was prepared before.
    func variant(for values: [SQLValue]) -> Variant? {
        for variant: Variant in self.variants {
            var fits: Bool = true
            for (index, value): (Int, SQLValue) in values.enumerated() {
                let type: UInt32 = value.postgresType
                if type != 0, type != variant.types[index] { fits = false }
            }
            if fits { return variant }
        }
        return nil
    }

    func add(_ variant: Variant) { self.variants.append(variant) }
}

extension SQLValue {
    /// The number of its type; 0 leaves it to PostgreSQL.
    var postgresType: UInt32 {
        switch self {
        case .null: 0
        case .int: PostgresType.int64
        case .double: PostgresType.float64
        case .text: PostgresType.text
        case .bytes: PostgresType.bytes
        }
    }
}
