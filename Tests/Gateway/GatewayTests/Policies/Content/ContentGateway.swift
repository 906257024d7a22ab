import GatewayConfiguration
import JSON
import Testing

@testable import Gateway

/// A gateway whose one API is written as YAML, in front of an upstream that writes down what arrives.
struct ContentGateway {
    let gateway: GatewayUnderTest
    let upstream: RawUpstream

    /// `api` is what stands beside `id` and `upstream`; without routes it takes every path.
    static func start(
        _ api: String, answer: String? = nil, live: LiveState = LiveState(),
        change: (inout APIDefinition) -> Void = { _ in }
    ) async throws -> ContentGateway {
        let upstream: RawUpstream = try answer.map { try .answering($0) } ?? .echoing()
        let routes: String = api.contains("routes:") ? "" : "    routes: [{path: /*}]\n"
        var document: GatewayDocument = try Sample.document(
            """
            apis:
              - id: test
                upstream: {targets: [{url: "http://127.0.0.1:\(upstream.port)"}]}

            """ + routes + api.split(separator: "\n").map { "    \($0)\n" }.joined())
        document.apis[0].policies.append(
            .timeouts(TimeoutPolicy(connect: .seconds(600), response: .seconds(600), idle: .seconds(600))))
        change(&document.apis[0])
        // What is written reads back as the same document, whatever the policy.
        #expect(try GatewayDocument.read(document.json().serialized()) == document)
        return ContentGateway(gateway: try await .start(document, live: live), upstream: upstream)
    }

    func exchange(_ head: String, body: String? = nil) throws -> RawMessage {
        var text: String = head.split(separator: "\n").joined(separator: "\r\n") + "\r\nHost: api.example\r\n"
        if let body: String { text += "Content-Length: \(body.utf8.count)\r\n" }
        return try self.gateway.exchange(text + "\r\n" + (body ?? ""), bodyless: head.hasPrefix("HEAD"))
    }

    /// What the upstream got last.
    var arrived: RawMessage? { self.upstream.requests.last }

    func stop() async {
        await self.gateway.stop()
        #expect(self.gateway.engine.blockCount == 0)
    }
}
