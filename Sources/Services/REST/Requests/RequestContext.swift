package import Contracts
import EventLoops
package import HTTP
package import Identifiers
package import JSON
package import Store
package import Time

/// A request as a handler sees it: routed, authenticated, authorised, its parameters and body validated.
package struct RequestContext: Sendable {
    package let request: HTTPRequest
    /// The caller; nil only on routes for anyone.
    package let authenticated: Caller?
    package let parameters: [String: String]
    package let query: [String: String]
    /// The JSON body, valid against the route's schema; null where the route takes none.
    package let body: JSONValue
    /// The raw body of a route that takes bytes.
    package let bytes: [UInt8]
    package let trace: TraceContext
    package var language: Language
    package let services: ServiceEnvironment
    /// The tenant a scoped route is limited to; nil is all tenants, and on other routes.
    package let scope: String?
    /// Nil: the request is decided.
    let apiAccess: APIAccess?
    let idempotency: IdempotencyKey?

    /// The caller of a route that requires one.
    package var caller: Caller {
        guard let caller: Caller = self.authenticated else {
            return Caller(kind: .user, id: Caller.anonymousID, grants: [], ip: self.ip)
        }
        return caller
    }

    package var author: Author { Author(caller: self.caller, trace: self.trace) }
    package var tenant: String { self.parameters["tenant"] ?? "" }
    package var now: Timestamp { self.services.clock.now() }
    package var ip: String { self.request.remoteAddress.host }

    /// A path parameter. - Precondition: the route's path has it.
    package func parameter(_ name: String) -> String {
        guard let value: String = self.parameters[name] else { preconditionFailure("route has no {\(name)}") }
        return value
    }

    package func integer(_ name: String) -> Int? { self.query[name].flatMap { Int($0) } }

    package func page() throws(APIProblem) -> Page {
        try Page(limit: self.integer("limit"), cursor: self.query["cursor"])
    }

    /// Reads on a snapshot of the store.
    package func read<Value: Sendable>(_ body: @escaping @Sendable (Reader) throws -> Value) async throws -> Value {
        try await self.services.store.read(body)
    }

    /// Makes the request's change in one transaction and answers with what the closure returns.
    ///
    /// With an `Idempotency-Key` the answer is stored in the same transaction; a repeat gets the stored answer and changes
    /// nothing, the same key with another request is refused (422).
    package func change(_ body: @escaping @Sendable (Transaction) throws -> HTTPResponse) async throws -> HTTPResponse {
        guard let key: IdempotencyKey = self.idempotency else {
            return try await self.services.store.write { try self.decided(try body($0)) }
        }
        return try await self.services.store.write { transaction in
            if let answer: HTTPResponse = try self.repeated(key, in: transaction) { return answer }
            let answer: HTTPResponse = try self.decided(try body(transaction))
            try key.store(answer, in: transaction)
            return answer
        }
    }

    /// Like `change` for an answer that shows a secret once: what a repeat of the same request gets is `repeated`, without it.
    package func changeShowingSecret(
        _ body: @escaping @Sendable (Transaction) throws -> (answer: HTTPResponse, repeated: HTTPResponse)
    ) async throws -> HTTPResponse {
        guard let key: IdempotencyKey = self.idempotency else {
            return try await self.services.store.write { try self.decided(try body($0).answer) }
        }
        return try await self.services.store.write { transaction in
            if let answer: HTTPResponse = try self.repeated(key, in: transaction) { return answer }
            let made: (answer: HTTPResponse, repeated: HTTPResponse) = try body(transaction)
            _ = try self.decided(made.answer)
            try key.store(made.repeated, in: transaction)
            return made.answer
        }
    }

    /// The answer given before: what the caller was allowed then, and has been told.
    private func repeated(_ key: IdempotencyKey, in transaction: Transaction) throws -> HTTPResponse? {
        guard let answer: HTTPResponse = try key.storedAnswer(in: transaction) else { return nil }
        _ = self.apiAccess?.decide(nil)
        return answer
    }

    /// Before the commit: whether it was decided with the API's labels, where that was left to the handler.
    private func decided(_ answer: HTTPResponse) throws -> HTTPResponse {
        try self.apiAccess?.requireAsked()
        return answer
    }

    /// Checks `If-Match` against the version that is there. Absent: accepted. Otherwise one of its tags must match (412).
    package func requireMatch(version: Int64) throws(APIProblem) {
        guard let header: String = self.request.fields["If-Match"] else { return }
        for tag in header.split(separator: ",") {
            var text: Substring = tag
            while text.first == " " { text = text.dropFirst() }
            while text.last == " " { text = text.dropLast() }
            if text == "*" || text == "\"\(version)\"" { return }
        }
        var problem: APIProblem = APIProblem(
            .preconditionFailed,
            "The resource is at version \(version); If-Match names another. Read it again and retry.")
        problem.fields.append((name: "ETag", value: "\"\(version)\""))
        throw problem
    }
}

extension HTTPResponse {
    /// A JSON answer; `version` becomes its `ETag`.
    package static func json(_ value: JSONValue, status: Int = 200, version: Int64? = nil, location: String? = nil)
        -> HTTPResponse
    {
        var fields: HTTPFields = HTTPFields()
        fields.append("Content-Type", "application/json")
        if let version: Int64 { fields.append("ETag", "\"\(version)\"") }
        if let location: String { fields.append("Location", location) }
        return HTTPResponse(status: status, fields: fields, body: .bytes(value.serialized()))
    }

    /// JSON that is written already.
    package static func json(text: [UInt8]) -> HTTPResponse {
        var fields: HTTPFields = HTTPFields()
        fields.append("Content-Type", "application/json")
        return HTTPResponse(status: 200, fields: fields, body: .bytes(text))
    }

    package static func created(_ value: JSONValue, location: String, version: Int64? = nil) -> HTTPResponse {
        .json(value, status: 201, version: version, location: location)
    }

    package static func accepted(_ value: JSONValue, location: String) -> HTTPResponse {
        .json(value, status: 202, location: location)
    }

    package static var noContent: HTTPResponse { HTTPResponse(status: 204, fields: HTTPFields(), body: .bytes([])) }
}
