import GatewayConfiguration
import JSON
import Testing

@testable import Gateway

/// Messages checked by an OpenAPI document, on sockets.
struct ValidationTests {
    private static let document: String = """
        {"openapi": "3.1.0", "info": {"title": "Orders", "version": "1"},
         "paths": {
          "/orders": {
           "get": {"parameters": [
             {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 100}},
             {"name": "tag", "in": "query", "schema": {"type": "array", "items": {"type": "integer"}, "maxItems": 2}},
             {"name": "state", "in": "query", "explode": false, "schema": {"type": "array", "items": {"enum": ["open", "paid"]}}},
             {"name": "filter", "in": "query", "style": "deepObject", "schema": {"$ref": "#/components/schemas/Filter"}},
             {"name": "X-Trace", "in": "header", "schema": {"type": "string", "format": "uuid"}},
             {"name": "session", "in": "cookie", "schema": {"type": "string", "minLength": 3}},
             {"name": "where", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}}],
            "responses": {"200": {"headers": {"X-Total": {"required": true, "schema": {"type": "integer"}}},
              "content": {"application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Order"}}}}},
             "4XX": {"description": "wrong"}}},
           "post": {"parameters": [{"name": "version", "in": "query", "required": true, "schema": {"type": "number"}}],
            "requestBody": {"$ref": "#/components/requestBodies/Order"}, "responses": {"default": {"description": "any"}}}},
          "/orders/{id}": {"parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}}],
           "get": {"responses": {"200": {"description": "one"}}},
           "delete": {"parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}]}},
          "/orders/open": {"get": {"responses": {"200": {"description": "open"}}}}},
         "components": {
          "requestBodies": {"Order": {"required": true, "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Order"}}, "text/*": {}}}},
          "schemas": {
           "Filter": {"type": "object", "additionalProperties": false,
            "properties": {"min": {"type": "number"}, "name": {"type": "string"}}},
           "Order": {"type": "object", "required": ["id", "items"],
            "properties": {"id": {"type": "integer", "readOnly": true}, "note": {"type": "string", "maxLength": 5},
             "items": {"type": "array", "minItems": 1, "items": {"type": "object", "properties": {"price": {"type": "number"}}}}}}}}}
        """

    private static func policy(
        _ requests: ValidationPolicy.Mode = .enforce, responses: ValidationPolicy.Mode = .off,
        _ change: (inout ValidationPolicy) -> Void = { _ in }
    ) throws -> PolicyDefinition {
        var policy: ValidationPolicy = try ValidationPolicy(
            document: try JSONReader.parse(Self.document), requests: requests, responses: responses)
        change(&policy)
        return .validation(policy)
    }

    /// One request; what came back, and how many requests arrived at the upstream.
    private static func run(
        _ policy: PolicyDefinition, _ request: String, answer: String? = nil, live: LiveState = LiveState()
    ) async throws -> (answer: RawMessage, arrived: [RawMessage]) {
        let upstream: RawUpstream = try answer.map { try .answering($0) } ?? .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port], policies: [policy], live: live)
        let response: RawMessage = try await offPool { try gateway.exchange(request) }
        let arrived: [RawMessage] = upstream.requests
        await gateway.stop()
        upstream.stop()
        return (response, arrived)
    }

    private static func get(_ target: String, _ lines: String = "") -> String {
        "GET \(target) HTTP/1.1\r\nHost: a\r\n\(lines)\r\n"
    }

    private static func post(_ body: String, type: String = "application/json", _ lines: String = "") -> String {
        "POST /orders?version=1.5 HTTP/1.1\r\nHost: a\r\nContent-Type: \(type)\r\n\(lines)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    private static let fitting: [String] = [
        get("/orders"), get("/orders?limit=100&tag=1&tag=2&state=open,paid&other=1"),
        get("/orders?filter[min]=1.5&filter[name]=7"), get("/orders?where=%7B%22a%22%3A1%7D"),
        get("/orders", "X-Trace: 0190a5a2-7b1c-7def-8123-456789abcdef\r\nCookie: a=b; session=abc\r\n"),
        get("/orders/12"), get("/orders/open"),
        "DELETE /orders/a%20b HTTP/1.1\r\nHost: a\r\n\r\n",
        post("{\"items\":[{\"price\":1}]}"), post("{\"items\":[{}]}", type: "Application/JSON; charset=utf-8"),
        post("anything", type: "text/plain"),
    ]

    @Test(arguments: fitting) func letsPassWhatFits(request: String) async throws {
        let (answer, arrived): (RawMessage, [RawMessage]) = try await Self.run(try Self.policy(), request)
        #expect(answer.status == 200, "\(answer.text)")
        #expect(arrived.count == 1)
    }

    private static let unfitting: [(request: String, place: String, name: String?, pointer: String)] = [
        (get("/orders?limit=101"), "query", "limit", ""), (get("/orders?limit=ten"), "query", "limit", ""),
        (get("/orders?limit=1&limit=2"), "query", "limit", ""), (get("/orders?tag=1&tag=b"), "query", "tag", "/1"),
        (get("/orders?tag=1&tag=2&tag=3"), "query", "tag", ""),
        (get("/orders?state=open,lost"), "query", "state", "/1"),
        (get("/orders?filter[min]=x"), "query", "filter", "/min"),
        (get("/orders?filter[max]=1"), "query", "filter", "/max"),
        (get("/orders?where=%7B"), "query", "where", ""), (get("/orders?where=1"), "query", "where", ""),
        (get("/orders", "X-Trace: 7\r\n"), "header", "x-trace", ""),
        (get("/orders", "Cookie: session=ab\r\n"), "cookie", "session", ""), (get("/orders/one"), "path", "id", ""),
        (get("/customers"), "operation", nil, ""), ("PUT /orders HTTP/1.1\r\nHost: a\r\n\r\n", "operation", nil, ""),
        (post("{\"items\":[{\"price\":\"1\"}]}"), "body", nil, "/items/0/price"), (post("{}"), "body", nil, "/items"),
        (post("{\"items\":[{}],\"note\":\"secret\"}"), "body", nil, "/note"), (post("{"), "body", nil, ""),
        (post("{\"items\":[{}],\"items\":[{}]}"), "body", nil, ""), (post(""), "body", nil, ""),
        (
            "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\na", "query",
            "version", ""
        ),
    ]

    @Test(arguments: unfitting.indices) func saysWhatDoesNotFitAndWhere(index: Int) async throws {
        let row: (request: String, place: String, name: String?, pointer: String) = Self.unfitting[index]
        let (answer, arrived): (RawMessage, [RawMessage]) = try await Self.run(try Self.policy(), row.request)
        #expect(answer.status == 400)
        #expect(answer.field("content-type") == "application/problem+json")
        let problem: JSONValue = try JSONReader.parse(answer.body)
        #expect(problem["type"]?.text == "urn:passerelle:problem:request-invalid")
        let errors: [JSONValue] = try #require(problem["errors"]?.elements)
        #expect(errors.count == 1)
        #expect(errors.first?["in"]?.text == row.place)
        #expect(errors.first?["name"]?.text == row.name)
        #expect(errors.first?["pointer"]?.text == row.pointer)
        #expect(errors.first?["detail"]?.text?.isEmpty == false)
        #expect(!answer.text.contains("secret"))
        #expect(arrived.isEmpty)
    }

    @Test(arguments: [
        ("application/xml", ""), ("application/json", "Content-Encoding: gzip\r\n"),
    ])
    func refusesOtherMediaTypes(type: String, lines: String) async throws {
        let request: String = Self.post("{\"items\":[{}]}", type: type, lines)
        let (answer, arrived): (RawMessage, [RawMessage]) = try await Self.run(try Self.policy(), request)
        #expect(answer.status == 415)
        #expect(answer.text.contains("media-type-unsupported"))
        #expect(arrived.isEmpty)
    }

    @Test func checksLargeBodiesAndRefusesTooLargeOnes() async throws {
        let items: String = String(repeating: "{\"price\":1},", count: 5000)
        let wrong: String = Self.post("{\"items\":[\(items){\"price\":\"x\"}]}")
        let refused: (answer: RawMessage, arrived: [RawMessage]) = try await Self.run(try Self.policy(), wrong)
        #expect(refused.answer.status == 400)
        #expect(refused.answer.text.contains("/items/5000/price"))
        #expect(refused.arrived.isEmpty)
        let right: String = Self.post("{\"items\":[\(items){}]}")
        #expect(try await Self.run(try Self.policy(), right).answer.status == 200)
        #expect(try await Self.run(try Self.policy { $0.bodyBytesMax = 1000 }, right).answer.status == 413)
    }

    @Test func listsManyFindingsWithinBounds() async throws {
        let items: String = [String](repeating: "{\"price\":\"x\"}", count: 500).joined(separator: ",")
        let answer: RawMessage = try await Self.run(try Self.policy(), Self.post("{\"items\":[\(items)]}")).answer
        #expect(try JSONReader.parse(answer.body)["errors"]?.elements?.count == 32)
    }

    @Test func reportsCountWithoutRefusing() async throws {
        let live: LiveState = LiveState()
        for request in [Self.get("/orders?limit=101"), Self.get("/orders?limit=1"), Self.get("/customers")] {
            let result: (answer: RawMessage, arrived: [RawMessage]) = try await Self.run(
                try Self.policy(.report), request, live: live)
            #expect(result.answer.status == 200)
            #expect(result.arrived.count == 1)
        }
        let key: String = try GatewayUnderTest.document([1]).apis[0].key.text
        let counts: ValidationCounts = live.validation.counts(of: key)
        #expect(counts.value(.request, .invalid) == 2)
        #expect(counts.value(.request, .valid) == 1)
    }

    @Test func mayAllowAndRefuseMore() async throws {
        let open: PolicyDefinition = try Self.policy { $0.refusesUndocumented = false }
        #expect(try await Self.run(open, Self.get("/customers")).answer.status == 200)
        let strict: PolicyDefinition = try Self.policy { $0.refusesUnknownQuery = true }
        let answer: RawMessage = try await Self.run(strict, Self.get("/orders?limit=1&filter[min]=2&x=1&x=2")).answer
        let errors: [JSONValue]? = try JSONReader.parse(answer.body)["errors"]?.elements
        #expect(errors?.count == 1)
        #expect(errors?.first?["name"]?.text == "x")
    }

    private static func answer(_ body: String, status: String = "200 OK", _ lines: String = "X-Total: 1\r\n") -> String
    {
        "HTTP/1.1 \(status)\r\nContent-Type: application/json\r\n\(lines)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    private static let answers: [(answer: String, fits: Bool)] = [
        (answer("[{\"id\":1,\"items\":[{}]}]"), true), (answer("[]"), true),
        (answer("oh", status: "404 Not Found"), true),
        // What is read-only is required of a response.
        (answer("[{\"items\":[{}]}]"), false), (answer("{"), false), (answer("[]", ""), false),
        (answer("[]", "X-Total: many\r\n"), false), (answer("[]", status: "500 Oh"), false),
        (answer("[]", "X-Total: 1\r\nContent-Encoding: br\r\n"), false),
        ("HTTP/1.1 200 OK\r\nX-Total: 1\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n[]", false),
        (
            "HTTP/1.1 200 OK\r\nX-Total: 1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1\r\n]\r\n0\r\n\r\n",
            true
        ),
    ]

    @Test(arguments: answers.indices) func checksResponses(index: Int) async throws {
        let row: (answer: String, fits: Bool) = Self.answers[index]
        let live: LiveState = LiveState()
        let enforced: (answer: RawMessage, arrived: [RawMessage]) = try await Self.run(
            try Self.policy(responses: .enforce), Self.get("/orders"), answer: row.answer, live: live)
        #expect(enforced.arrived.first?.field("accept-encoding") == "identity")
        if row.fits {
            #expect(enforced.answer.status != 502)
            #expect(enforced.answer.text == row.answer.split(separator: "\r\n").last.map(String.init) || index == 10)
        } else {
            #expect(enforced.answer.status == 502)
            #expect(enforced.answer.text.contains("response-invalid"))
            #expect(!enforced.answer.text.contains("errors"))
        }
        let reported: RawMessage = try await Self.run(
            try Self.policy(responses: .report), Self.get("/orders"), answer: row.answer, live: live
        ).answer
        #expect(reported.status == Int(row.answer.dropFirst(9).prefix(3)))
        let counts: ValidationCounts = live.validation.counts(of: try GatewayUnderTest.document([1]).apis[0].key.text)
        #expect(counts.value(.response, .valid) == (row.fits ? 2 : 0))
        #expect(counts.value(.response, .invalid) == (row.fits ? 0 : 2))
    }

    @Test(arguments: ["304 Not Modified", "206 Partial Content"]) func letsPartsPass(status: String) async throws {
        let body: String = status.hasPrefix("206") ? "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\n[" : "\r\n"
        let result: (answer: RawMessage, arrived: [RawMessage]) = try await Self.run(
            try Self.policy(responses: .enforce), Self.get("/orders"), answer: "HTTP/1.1 \(status)\r\n\(body)")
        #expect("\(result.answer.status)" == status.prefix(3))
    }
}
