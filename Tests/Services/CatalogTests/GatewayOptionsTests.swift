import Contracts
import JSON
import ServiceTestKit
import Testing

/// What an import says of the gateway beside the document.
struct GatewayOptionsTests {
    private static let apis: String = "/v1/tenants/acme/apis"
    private static let revisions: String = "/v1/tenants/acme/apis/orders-api/revisions"

    private static func gateway(_ fixture: CatalogFixture, _ gateway: JSONValue, upstream: String? = nil) async throws
        -> TestAnswer
    {
        var body: JSONObject = ["document": .string(Documents.orders), "gateway": gateway]
        if let upstream: String { body["upstream"] = .string(upstream) }
        return try await fixture.send("POST", Self.apis, .object(body))
    }

    @Test func everyOptionOfAnUpstreamCanBeSet() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let upstream: JSONValue = [
            "targets": [
                ["url": "http://10.0.0.1:9000", "weight": 3, "zone": "a", "version": "v1"],
                ["url": "https://api.internal", "srv": "_http._tcp.api.internal", "version": "v2"],
            ],
            "balance": "maglev", "hash_by": ["header": "X-User"], "slow_start": "30s", "panic_threshold": 40,
            "preserve_host": true, "passive_health": ["failures": 5, "eject_for": "20s", "statuses": [503]],
            "active_health": ["path": "/healthz", "interval": "1s"], "outlier_ejection": ["error_margin": 20],
            "circuit_breaker": ["error_share": 60], "retries": ["attempts": 3, "statuses": ["5xx"]],
            "connections": ["max": 64, "queue": 10], "http2": true,
            "tls": ["min_version": "1.3", "certificate": ["cert": "client.pem", "key": "client.key"]],
            "canary": ["versions": [["name": "v1", "weight": 95], ["name": "v2", "weight": 5]], "sticky": "ip"],
            "mirror": ["url": "http://10.0.0.9:9000", "share": 10],
        ]
        let answer: TestAnswer = try await Self.gateway(fixture, ["upstream": upstream, "encoded_slashes": "keep"])
        #expect(answer.status == 201, "\(answer.json)")
        let stored: JSONValue? = try await fixture.send("GET", "\(Self.revisions)/1").json["gateway"]
        #expect(GatewayReader.problems(gateway: stored) == [])
        #expect(stored?["upstream"]?["strip_prefix"]?.text == "/orders-api")
        #expect(stored?["upstream"]?["retries"]?["attempts"]?.integer == 3)
        #expect(stored?["encoded_slashes"]?.text == "keep")
        // A tenant names files of its own folder only.
        let folder: String = "upstream-certificates/acme"
        #expect(stored?["upstream"]?["tls"]?["certificate"]?["cert"]?.text == "\(folder)/client.pem")
        #expect(stored?["upstream"]?["tls"]?["certificate"]?["key"]?.text == "\(folder)/client.key")
        let entry: JSONValue = try #require(try await fixture.harness.auditEntries("api.created").first)
        #expect(entry["changes"]?["upstream"]?.text == "http://10.0.0.1:9000 https://api.internal")
    }

    @Test func routesOfTheDocumentGetSettingsOfTheirOwn() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let routes: JSONValue = [
            ["path": "/open", "methods": ["POST"], "cost": 5, "id": "create"],
            [
                "path": "/{id}", "upstream": ["targets": [["url": "http://10.0.0.2:9000"]]],
                "policies": [["rate_limit": ["limit": 1, "window": "1s"]]],
            ],
            ["path": "/open", "methods": ["GET"], "headers": ["X-Beta": "1"], "id": "beta"],
        ]
        let answer: TestAnswer = try await Self.gateway(fixture, ["routes": routes], upstream: "http://10.0.0.1:9000")
        #expect(answer.status == 201, "\(answer.json)")
        let stored: JSONValue? = try await fixture.send("GET", "\(Self.revisions)/1").json["gateway"]
        #expect(GatewayReader.problems(gateway: stored) == [])
        var found: [String] = []
        for route in stored?["routes"]?.elements ?? [] {
            let methods: [String] = (route["methods"]?.elements ?? []).compactMap { $0.text }
            found.append("\(route["id"]?.text ?? "") \(methods.joined(separator: ",")) \(route["path"]?.text ?? "")")
        }
        #expect(
            found == [
                " GET /orders-api/", " GET /orders-api", "create POST /orders-api/open", "beta GET /orders-api/open",
                " GET /orders-api/open", " GET /orders-api/{id}",
            ])
        #expect(stored?["routes"]?.elements?.last?["upstream"]?["strip_prefix"]?.text == "/orders-api")
    }

    @Test(
        arguments: [
            (["upstream": ["balance": "fair"]], "http://x", "/gateway/upstream/balance"),
            (["upstream": ["targets": [["url": "ftp://x"]]]], nil, "/gateway/upstream/targets/0/url"),
            (["upstream": ["balance": "maglev"]], "ftp://x", "/upstream"),
            (["upstream": ["targets": [["url": "http://x"]]]], "http://x", "/upstream"),
            ([:], nil, "/upstream"),
            (["upstream": ["strip_prefix": "/x"]], "http://x", "/gateway/upstream/strip_prefix"),
            (["routes": [["path": "/nowhere"]]], "http://x", "/gateway/routes/0/path"),
            (["routes": [["path": "/open", "methods": ["PUT"]]]], "http://x", "/gateway/routes/0/methods/0"),
            (["routes": [["path": "/open", "cost": 0]]], "http://x", "/gateway/routes/0/cost"),
            (
                ["routes": [["path": "/"], ["path": "/open", "upstream": ["targets": []]]]], "http://x",
                "/gateway/routes/1/upstream/targets"
            ),
            (
                ["routes": [["path": "/open", "policies": [["mock": ["status": 1]]]]]], "http://x",
                "/gateway/routes/0/policies/0/mock/status"
            ),
            (
                [
                    "routes": [
                        [
                            "path": "/open",
                            "policies": [["jwt": ["issuers": [["issuer": "i", "keys": ["file": "/etc/passwd"]]]]]],
                        ]
                    ]
                ], "http://x", "/gateway/routes/0/policies/0/jwt/issuers/0/keys/file"
            ),
            (["version": ["in": "header"]], "http://x", "/gateway/version"),
            (
                ["upstream": ["tls": ["certificate": ["cert": "../a.pem", "key": "k"]]]], "http://x",
                "/gateway/upstream/tls/certificate/cert"
            ),
            (
                ["upstream": ["tls": ["certificate": ["cert": "a", "key": "/etc/k"]]]], "http://x",
                "/gateway/upstream/tls/certificate/key"
            ),
            (
                ["upstream": ["tls": ["certificate": ["cert": "a", "key": ".."]]]], "http://x",
                "/gateway/upstream/tls/certificate/key"
            ),
            (
                ["upstream": ["tls": ["certificate": ["cert_pem": "a", "key_pem": "-----BEGIN"]]]], "http://x",
                "/gateway/upstream/tls/certificate/key_pem"
            ),
            (
                ["upstream": ["tls": ["certificate": ["cert_pem": "a", "key_pem": "x secret://b"]]]], "http://x",
                "/gateway/upstream/tls/certificate/key_pem"
            ),
            (
                ["upstream": ["tls": ["certificate": ["key_pem": "secret://b"]]]], "http://x",
                "/gateway/upstream/tls/certificate"
            ),
            (
                ["upstream": ["tls": ["certificate": ["cert_pem": "a", "key_pem": "secret://b", "key": "k"]]]],
                "http://x",
                "/gateway/upstream/tls/certificate"
            ),
        ] as [(JSONValue, String?, String)])
    func whatIsWrongIsNamedWhereItStands(_ gateway: JSONValue, upstream: String?, pointer: String) async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let answer: TestAnswer = try await Self.gateway(fixture, gateway, upstream: upstream)
        #expect(answer.status == 400, "\(answer.json)")
        let pointers: [String] = (answer.json["errors"]?.elements ?? []).compactMap { $0["pointer"]?.text }
        #expect(pointers.contains { $0.hasPrefix(pointer) }, "\(answer.json)")
        #expect(try await fixture.send("GET", Self.apis).items.isEmpty)
    }

    @Test func aFurtherRevisionMayKeepTheDocument() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        try await fixture.importAPI()
        let made: TestAnswer = try await fixture.send(
            "POST", Self.revisions,
            ["upstream": "http://127.0.0.1:9700", "gateway": ["upstream": ["balance": "least_requests"]]])
        #expect(made.status == 201, "\(made.json)")
        #expect(made.json["gateway"]?["upstream"]?["balance"]?.text == "least_requests")
        let document: TestAnswer = try await fixture.send("GET", "\(Self.revisions)/2/document")
        #expect(document.bytes == Array(Documents.orders.utf8))
        let first: TestAnswer = try await fixture.send("POST", Self.apis, ["name": "other", "upstream": "http://x"])
        #expect(first.status == 400)
        #expect(first.json["errors"]?.elements?.first?["pointer"]?.text == "/document")
    }
}
