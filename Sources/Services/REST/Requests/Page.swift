import Bytes
package import JSON

/// One page of a list: how many items, and after which key. Cursors are opaque to clients and hold the last key seen.
package struct Page: Sendable {
    package static let limitDefault: Int = 50
    package static let limitMax: Int = 200

    package let limit: Int
    /// The key after which the page starts; nil for the first page.
    package let after: String?

    /// - Throws: an invalid-request problem when the cursor is not one of ours.
    package init(limit: Int?, cursor: String?) throws(APIProblem) {
        self.limit = min(max(limit ?? Self.limitDefault, 1), Self.limitMax)
        guard let cursor: String else {
            self.after = nil
            return
        }
        guard let bytes: [UInt8] = Base64.decodeURL(cursor), let key: String = String(validating: bytes, as: UTF8.self)
        else {
            throw APIProblem.invalid("query:cursor", "expected the `next` of an earlier answer")
        }
        self.after = key
    }

    /// Rows read at once after the first ones, where not all that are read are shown.
    private static let piece: Int = 500

    /// The rows of the page that are shown, and one more where there is one: what `envelope` takes.
    ///
    /// - Parameters:
    ///   - key: of a row: what the next piece is read after.
    ///   - read: the rows after a key, at most so many, in the order of their keys.
    package func rows<Row>(
        key: (Row) -> String, read: (_ after: String, _ limit: Int) throws -> [Row], where isShown: (Row) throws -> Bool
    ) rethrows -> [Row] {
        var shown: [Row] = []
        var (after, limit): (String, Int) = (self.after ?? "", self.limit + 1)
        while true {
            let piece: [Row] = try read(after, limit)
            for row in piece where try isShown(row) {
                shown.append(row)
                if shown.count > self.limit { return shown }
            }
            guard piece.count == limit, let last: Row = piece.last else { return shown }
            (after, limit) = (key(last), Self.piece)
        }
    }

    /// Builds the list's envelope from up to `limit + 1` rows: the extra one only tells that more follow.
    package func envelope<Item>(_ rows: [Item], key: (Item) -> String, json: (Item) throws -> JSONValue) rethrows
        -> JSONValue
    {
        var items: [JSONValue] = []
        for row in rows.prefix(self.limit) { items.append(try json(row)) }
        var next: JSONValue = .null
        if rows.count > self.limit { next = .string(Base64.encodeURL(Array(key(rows[self.limit - 1]).utf8))) }
        return .object(["items": .array(items), "next": next])
    }
}
