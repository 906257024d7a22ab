import Bytes
package import HTTP
import JSON
import Store
import Time

/// The `Idempotency-Key` of a POST: per caller and route, kept for a day, bound to the request by a hash.
struct IdempotencyKey: Sendable {
    /// Longest key accepted, bytes.
    static let lengthMax: Int = 255
    /// How long a stored answer is given again.
    static let lifetime: Duration = .seconds(86_400)

    let caller: String
    let route: String
    let key: String
    /// SHA-256 over path, query and body, hex.
    let requestHash: String

    /// The answer stored for this key, if any. - Throws: 422 when the key was used with another request.
    func storedAnswer(in transaction: Transaction) throws -> HTTPResponse? {
        let oldest: Int64 = transaction.now.adding(.zero - Self.lifetime).milliseconds
        let row: StoredAnswer? = try transaction.first(
            """
            SELECT request_hash, status, fields, body FROM rest_idempotency
            WHERE caller = $1 AND route = $2 AND key = $3 AND created_at >= $4
            """, .text(self.caller), .text(self.route), .text(self.key), .int(oldest)
        ) { (row: Row) throws(StoreError) -> StoredAnswer in
            StoredAnswer(
                requestHash: try row.text(0), status: Int(try row.int(1)), fields: try row.text(2),
                body: try row.bytes(3))
        }
        guard let row: StoredAnswer else { return nil }
        guard row.requestHash == self.requestHash else {
            throw APIProblem(
                .idempotencyMismatch,
                "This Idempotency-Key was used with a different request in the last 24 hours. Use a new key for a new request."
            )
        }
        return row.response()
    }

    func store(_ answer: HTTPResponse, in transaction: Transaction) throws {
        guard case .bytes(let body) = answer.body else { return }
        var names: [JSONValue] = []
        for field in answer.fields { names.append(.array([.string(field.name), .string(field.value)])) }
        try transaction.execute(
            """
            INSERT INTO rest_idempotency (caller, route, key, request_hash, status, fields, body, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            ON CONFLICT (caller, route, key) DO UPDATE SET request_hash = excluded.request_hash, status = excluded.status,
                fields = excluded.fields, body = excluded.body, created_at = excluded.created_at
            """, .text(self.caller), .text(self.route), .text(self.key), .text(self.requestHash),
            .int(Int64(answer.status)),
            .text(JSONValue.array(names).jsonText), .bytes(body), .int(transaction.now.milliseconds))
    }

    /// Answers that go in one transaction, so that none holds the writer.
    static let expiredMax: Int = 500

    /// Removes answers older than a day. - Returns: whether there may be more.
    static func expire(in transaction: Transaction) throws -> Bool {
        try transaction.execute(
            """
            DELETE FROM rest_idempotency WHERE (caller, route, key) IN
                (SELECT caller, route, key FROM rest_idempotency WHERE created_at < $1 LIMIT \(Self.expiredMax))
            """, .int(transaction.now.adding(.zero - Self.lifetime).milliseconds)) == Self.expiredMax
    }
}

extension HTTPResponse {
    fileprivate static let replayedField: String = "Idempotent-Replayed"

    /// Whether it was stored when the request was made for the first time, and nothing was done now.
    package var wasRepeated: Bool { self.fields.contains(Self.replayedField) }
}

private struct StoredAnswer: Sendable {
    let requestHash: String
    let status: Int
    let fields: String
    let body: [UInt8]

    func response() -> HTTPResponse {
        var fields: HTTPFields = HTTPFields()
        let names: [JSONValue] = (try? JSONReader.parse(self.fields))?.elements ?? []
        for pair in names {
            guard let words: [JSONValue] = pair.elements, words.count == 2 else { continue }
            fields.append(words[0].text ?? "", words[1].text ?? "")
        }
        fields.append(HTTPResponse.replayedField, "true")
        return HTTPResponse(status: self.status, fields: fields, body: .bytes(self.body))
    }
}
