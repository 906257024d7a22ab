import Documents
import JSON
import Testing
import Time

@testable import GatewayConfiguration

/// The whole file as a user writes it.
struct GatewayFileTests {
    static let example: String = """
        version: 1
        listen: {http: 127.0.0.1:8000, https: {address: 127.0.0.1:8443, certificates: [{cert: a.pem, key: a.key}]}, admin: 127.0.0.1:8002}
        workers: auto
        apis:
          - id: orders
            tenant: acme
            hosts: [api.example.com, "*.Example.org."]
            routes:
              - {path: "/orders/{id}", methods: [GET, PUT]}
              - {path: /orders/*, policies: [{rate_limit: {limit: 10, window: 1s, by: ip}}]}
            upstream: {targets: [{url: "http://127.0.0.1:9700", weight: 1}], strip_prefix: /orders, balance: round_robin}
            policies:
              - api_key: {header: X-API-Key}
              - rate_limit: {limit: 1000, window: 1s, by: application}
        applications:
          - {id: shop, tenant: acme, keys: [{value: demo-key}], subscriptions: [{api: orders, plan: gold}]}
        plans:
          - {id: gold, tenant: acme, rate_limit: {limit: 5000, window: 1s}}
        telemetry: {access_log: off, metrics: on, tracing: {sample: 0.01}}
        """

    /// Every field of authentication, away from its default.
    @Test func authenticationComesBackFromItsJSON() throws {
        let hash: String =
            "$argon2id$v=19$m=65536,t=3,p=1$kGN0vpP1xBBLVJkE5mC0Mw$W9oQ1UO0tIl5yPsgU1Vb4cQZp0j3v8m2nQ3kqkq0o2A"
        let text: String = """
            version: 1
            apis:
              - id: a
                routes: [{path: /*}]
                upstream: {targets: [{url: "http://127.0.0.1:1"}]}
                policies:
                  - jwt:
                      issuers:
                        - issuer: https://id.example
                          audiences: [api]
                          algorithms: [ES384]
                          types: [at+jwt]
                          type_required: true
                          leeway: 5s
                          claims: {tenant: [acme, 5, true], /a/b: any, c: x}
                        - {issuer: b, audiences: [], keys: {file: /keys.json}}
                        - {issuer: c, audiences: [], keys: {url: "https://c/keys"}}
                        - {issuer: d, audiences: [], keys: {jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}}
                      header: X-Token
                      scopes: [read]
                      client_claims: [cid]
                      groups_claim: /realm/groups
                      application: required
                      forward_token: true
                      revoked: [x]
                  - introspection:
                      {endpoint: "https://id/i", client_id: a, client_secret: b, audiences: [c], issuer: d, scopes: [e], cache: 1s, cache_inactive: 0s, timeout: 1s, client_claims: [f], groups_claim: g, application: required, forward_token: true}
                  - basic: {cache: 1s}
                  - hmac: {window: 10s, components: ["@scheme", date], nonce: optional, max_body: 5}
                  - client_certificate: {application: optional}
                  - acl: {allow: [{applications: [a], plans: [b], scopes: [c], groups: [d], claims: {e: 5}}], deny: [{groups: [x]}]}
                  - identity_headers: {X-A: application, X-B: subscription, X-C: plan, X-D: subject, X-E: scopes, X-F: groups, X-G: method, X-H: {claim: /a/b}}
                  - rate_limit: {limit: 1, window: 1s, by: claim, claim: sub}
            applications:
              - id: shop
                credentials:
                  - {id: one, client_id: web, expires: "2030-01-31T12:00:00Z"}
                  - {basic: {username: alice, password_hash: "\(hash)"}}
                  - {hmac: {key_id: k, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}}
                  - {certificate: {sha256: "\(String(repeating: "ab", count: 32))"}}
                  - {certificate: {subject: "CN=a"}}
                  - {certificate: {dns: a.example}}
                  - {certificate: {uri: "spiffe://a/b"}}
            """
        let document: GatewayDocument = try GatewayDocument.read(Array(text.utf8))
        #expect(document.apis.first?.policies.count == 8)
        #expect(document.applications.first?.credentials.count == 7)
        #expect(try GatewayDocument.read(document.json().serialized()) == document)
    }

    @Test func readsTheDocumentedExample() throws {
        let file: GatewayFile = try GatewayFile.read(Array(Self.example.utf8))
        #expect(file.settings.listen.http == "127.0.0.1:8000")
        #expect(file.settings.listen.https?.certificates == [CertificateFiles(certificate: "a.pem", key: "a.key")])
        #expect(file.settings.listen.admin == "127.0.0.1:8002")
        #expect(file.settings.workers == .auto)
        #expect(file.settings.telemetry == TelemetrySettings(accessLog: .off, metrics: true, traceSample: 0.01))
        let api: APIDefinition = try #require(file.document.apis.first)
        #expect(api.key == EntryKey(tenant: "acme", id: "orders"))
        #expect(api.hosts.map(\.text) == ["api.example.com", "*.example.org"])
        #expect(api.routes.map(\.id) == ["GET,PUT /orders/{id}", "/orders/*"])
        #expect(api.routes[1].policies == [.rateLimit(RateLimitPolicy(limit: 10, window: .seconds(1), by: .ip))])
        #expect(api.upstream.targets.map(\.url.text) == ["http://127.0.0.1:9700"])
        #expect(api.upstream.stripPrefix == "/orders")
        let key: KeyDefinition = try #require(file.document.applications.first?.keys.first)
        #expect(key.digest.hex == "c48a01f49fd0f2cc404bc3cbbc80e91457a3d41bb429a695243de4c61794155c")
        #expect(file.document.plans.first?.rateLimit == PlanRateLimit(limit: 5000, window: .seconds(1)))
    }

    @Test(arguments: [
        ("off", TelemetrySettings.AccessLog.off, AccessLogRules()),
        ("a.log", .file("a.log"), AccessLogRules()),
        ("{sample: 0.5}", .file("-"), AccessLogRules(sample: 0.5)),
        ("{file: a.log, fields: [time, status]}", .file("a.log"), AccessLogRules(fields: [.time, .status])),
    ])
    func readsTheAccessLog(text: String, log: TelemetrySettings.AccessLog, rules: AccessLogRules) throws {
        let file: GatewayFile = try GatewayFile.read(Array("version: 1\ntelemetry: {access_log: \(text)}".utf8))
        #expect(file.settings.telemetry == TelemetrySettings(accessLog: log, accessLogRules: rules))
    }

    @Test(arguments: [
        ("{sample: 2}", "/telemetry/access_log/sample"), ("{fields: []}", "/telemetry/access_log/fields"),
        ("{fields: [time, authorization]}", "/telemetry/access_log/fields/1"),
        ("{path: a}", "/telemetry/access_log/path"),
    ])
    func refusesAnAccessLogThatCannotBe(text: String, place: String) throws {
        let error: InvalidDocument? = #expect(throws: InvalidDocument.self) {
            _ = try GatewayFile.read(Array("version: 1\ntelemetry: {access_log: \(text)}".utf8))
        }
        #expect(try #require(error).text(file: "f").contains(place))
    }

    @Test func readsWhereSpansGo() throws {
        let text: String = """
            version: 1
            telemetry:
              tracing:
                {sample: 0.1, endpoint: "https://otel.example:4318/v1/traces", errors: false, slow: 250ms,
                 service_name: edge, headers_file: otel.headers}
            """
        let settings: TelemetrySettings = try GatewayFile.read(Array(text.utf8)).settings.telemetry
        #expect(
            settings.export
                == SpanExportSettings(
                    endpoint: "https://otel.example:4318/v1/traces", keepsErrors: false, slow: .milliseconds(250),
                    service: "edge", headersFile: "otel.headers"))
        #expect(settings.traceSample == 0.1)
        let short: String = "version: 1\ntelemetry: {tracing: {endpoint: \"http://127.0.0.1:4318\"}}"
        let export: SpanExportSettings? = try GatewayFile.read(Array(short.utf8)).settings.telemetry.export
        #expect(export == SpanExportSettings(endpoint: "http://127.0.0.1:4318"))
        #expect(export?.keepsErrors == true && export?.slow == nil && export?.service == "passerelle-gateway")
    }

    @Test(arguments: [
        ("endpoint: \"127.0.0.1:4318\"", "such as http://127.0.0.1:4318"),
        ("endpoint: \"http://user:word@127.0.0.1:4318\"", "such as http://127.0.0.1:4318"),
        ("endpoint: \"http://a\", slow: 0s", "/telemetry/tracing/slow"),
        ("endpoint: \"http://a\", service_name: \"\"", "/telemetry/tracing/service_name"),
        ("slow: 1s", "expected 'endpoint' beside it"),
        ("endpoint: \"http://a\", end: 1", "/telemetry/tracing/end"),
    ])
    func refusesTracingThatCannotBe(fields: String, problem: String) throws {
        let error: InvalidDocument? = #expect(throws: InvalidDocument.self) {
            _ = try GatewayFile.read(Array("version: 1\ntelemetry: {tracing: {\(fields)}}".utf8))
        }
        let text: String = try #require(error).text(file: "f")
        #expect(text.contains(problem) && text.hasPrefix("f:2:") && !text.contains("word"), "\(text)")
    }

    @Test func anEmptyFileHasDefaults() throws {
        let file: GatewayFile = try GatewayFile.read(Array("version: 1".utf8))
        #expect(file == GatewayFile(settings: ProcessSettings(), document: GatewayDocument()))
        #expect(file.settings.listen.http == "127.0.0.1:8000")
        #expect(file.settings.listen.admin == nil)
    }

    private static func listener(_ more: String) throws -> HTTPSListener {
        let text: String = """
            version: 1
            listen: {https: {address: 127.0.0.1:8443, certificates: [{cert: a.pem, key: a.key}], \(more)}}
            """
        return try #require(try GatewayFile.read(Array(text.utf8)).settings.listen.https)
    }

    @Test func readsWhatAListenerAsksOfClients() throws {
        let listener: HTTPSListener = try Self.listener(
            "client_certificates: {authorities: ca.pem, mode: optional}, min_version: 1.3, ticket_lifetime: 0s, "
                + "ciphers: [TLS_AES_256_GCM_SHA384, ECDHE-RSA-AES128-GCM-SHA256]")
        #expect(listener.clientCertificates == ClientCertificateRule(authorities: "ca.pem", isRequired: false))
        #expect(listener.minimumVersion == .tls13)
        #expect(listener.ticketLifetime == .zero)
        #expect(listener.ciphers == ["TLS_AES_256_GCM_SHA384", "ECDHE-RSA-AES128-GCM-SHA256"])
        #expect(try Self.listener("client_certificates: {authorities: ca.pem}").clientCertificates?.isRequired == true)
    }

    @Test(arguments: [
        "min_version: 1.1", "ciphers: [AES128-SHA]", "ciphers: []", "ticket_lifetime: 8d", "client_certificates: {}",
        "client_certificates: {authorities: ca.pem, mode: maybe}", "client_certificates: required",
    ]) func refusesAListenerThatIsWrong(more: String) {
        #expect(throws: InvalidDocument.self) { try Self.listener(more) }
    }

    @Test func theSameDocumentComesBackFromItsJSON() throws {
        let document: GatewayDocument = try GatewayFile.read(Array(Self.everything.utf8)).document
        let again: GatewayDocument = try GatewayDocument.read(document.json().serialized())
        #expect(again == document)
        #expect(again.json().canonical() == document.json().canonical())
    }

    @Test func aKeyInClearIsNotKept() throws {
        let document: GatewayDocument = try GatewayFile.read(Array(Self.example.utf8)).document
        #expect(!document.json().jsonText.contains("demo-key"))
    }

    static let everything: String = """
        version: 1
        apis:
          - id: all
            name: Everything
            revision: 7
            encoded_slashes: keep
            hosts: ["[::1]", 127.0.0.1, "*.x.example"]
            routes:
              - id: first
                path: /caf\u{e9}/{a}/b/*
                methods: [POST, OPTIONS]
                headers: {X-Version: "2", X-Any: "*"}
                query: {v: "1", w: "*"}
                policies:
                  - anonymous
                  - api_key: {query: key}
                  - rate_limit: {limit: 3, window: 1m, by: header, header: X-User, algorithm: token_bucket, name: burst}
                  - ip: {allow: [10.0.0.0/8, "2001:db8::/32"], deny: [10.1.2.3]}
                  - request_size: 1MiB
                  - timeouts: {connect: 250ms, response: 2s, idle: 5m}
                  - headers: {request: {set: {X-A: "1"}, remove: [X-B]}, response: {remove: [Server]}}
            upstream:
              targets: [{url: "https://[::1]:8443/base/", weight: 3}, {url: "http://other.example"}]
              preserve_host: true
              passive_health: {failures: 5, eject_for: 1s}
              connections: {max: 10, idle_max: 2, idle_timeout: 5s}
              tls: {verify: false, server_name: name.example, authorities: "-----BEGIN CERTIFICATE-----"}
        applications:
          - id: a
            state: suspended
            keys:
              - {id: k1, sha256: "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff", expires: 2030-01-31T12:00:00Z}
            subscriptions: [{id: s1, api: all, plan: p, state: suspended}]
        plans:
          - {id: p, rate_limit: {limit: 1, window: 31d, algorithm: token_bucket}}
        """

    @Test func readsEveryField() throws {
        let document: GatewayDocument = try GatewayFile.read(Array(Self.everything.utf8)).document
        let api: APIDefinition = document.apis[0]
        #expect(api.tenant == "default")
        #expect(api.name == "Everything")
        #expect(api.revision == 7)
        #expect(api.encodedSlashes == .keep)
        let route: RouteDefinition = api.routes[0]
        #expect(route.path.text == "/caf%C3%A9/{a}/b/*")
        #expect(
            route.headers == [RouteCondition(name: "x-version", value: "2"), RouteCondition(name: "x-any", value: nil)])
        #expect(route.query == [RouteCondition(name: "v", value: "1"), RouteCondition(name: "w", value: nil)])
        #expect(
            route.policies == [
                .anonymous, .apiKey(APIKeyPolicy(query: "key")),
                .rateLimit(
                    RateLimitPolicy(
                        limit: 3, window: .seconds(60), by: .header, header: "x-user", algorithm: .tokenBucket,
                        name: "burst")),
                .addresses(
                    AddressPolicy(
                        allow: [try AddressBlock(parsing: "10.0.0.0/8"), try AddressBlock(parsing: "2001:db8::/32")],
                        deny: [try AddressBlock(parsing: "10.1.2.3")])),
                .requestSize(RequestSizePolicy(bytesMax: 1 << 20)),
                .timeouts(TimeoutPolicy(connect: .milliseconds(250), response: .seconds(2), idle: .seconds(300))),
                .headers(
                    HeaderPolicy(
                        request: .init(set: [HeaderField(name: "x-a", value: "1")], remove: ["x-b"]),
                        response: .init(remove: ["server"]))),
            ])
        #expect(
            api.upstream.targets[0]
                == TargetDefinition(url: try TargetURL(parsing: "https://[::1]:8443/base"), weight: 3))
        #expect(api.upstream.targets[1].url.port == 80)
        #expect(api.upstream.tls.serverName == "name.example")
        #expect(document.applications[0].keys[0].expires == Timestamp(rfc3339: "2030-01-31T12:00:00Z"))
        #expect(document.applications[0].subscriptions[0].state == .suspended)
    }
}
