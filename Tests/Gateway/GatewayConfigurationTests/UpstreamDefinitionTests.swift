import JSON
import Testing

@testable import GatewayConfiguration

struct UpstreamDefinitionTests {
    /// Each a mapping `upstream` without its targets.
    static let upstreams: [String] = [
        "balance: least_requests, slow_start: 30s, panic_threshold: 40",
        "balance: power_of_two",
        "balance: maglev",
        "balance: maglev, hash_by: path",
        "balance: maglev, hash_by: {header: x-user}",
        "balance: maglev, hash_by: {cookie: Sid}",
        "balance: maglev, hash_by: {query: id}",
        "passive_health: {failures: 5, statuses: [502, 503, 5xx]}",
        "active_health: {}",
        "active_health: {type: tcp, interval: 250ms, timeout: 100ms}",
        "active_health: {path: \"/h?x=1\", host: h.example.com, statuses: [200, 3xx], body: ok, jitter: 0}",
        "active_health: {healthy_after: 5, unhealthy_after: 1}",
        "outlier_ejection: {}",
        "outlier_ejection: {interval: 5s, min_requests: 3, error_margin: 10, latency_factor: 300, max_share: 20}",
        "outlier_ejection: {eject_for: 1s, eject_max: 1h}",
        "circuit_breaker: {}",
        "circuit_breaker: {scope: upstream, error_share: 20, min_requests: 5, window: 30s, open_for: 1s, trials: 1}",
        "circuit_breaker: {max_requests: 100}",
        "connections: {max_requests: 1000, max_age: 1h}",
        "connections: {queue: 10, queue_timeout: 250ms}",
        "mirror: {url: \"https://m/base\"}",
        "mirror: {url: \"http://m\", share: 5, body_max: 1KiB, max_copies: 3, timeout: 1s}",
        "tls: {min_version: \"1.3\", certificate: {cert: a.pem, key: a.key}, server_name: x.example}",
        "tls: {certificate: {cert_pem: a, key_pem: \"secret://b\"}}",
        "tls: {min_version: 1.3}",
        "retries: {}",
        "retries: {attempts: 5, on: [timeout], statuses: [429, 5xx], methods: [GET, POST], body_max: 1KiB}",
        "retries: {on: [], statuses: [], budget_share: 0, budget_min: 3, backoff: 1s, backoff_max: 2s}",
        "retries: {retry_after_max: 5s, try_timeout: 2s}",
    ]

    private static func document(_ upstream: String) throws -> GatewayDocument {
        let text: String = """
            version: 1
            apis:
              - id: a
                routes: [{path: /a}]
                upstream: {targets: [{url: "http://x:80", zone: east, weight: 3, srv: _http._tcp.x.example}], \(upstream)}
            """
        return try GatewayDocument.read(Array(text.utf8))
    }

    @Test(arguments: [
        "versions: [{name: stable, weight: 95}, {name: canary, weight: 5}]",
        "versions: [{name: stable, weight: 95}, {name: canary, weight: 5}], sticky: {cookie: v}, set_cookie: true",
        "versions: [{name: stable, weight: 0}, {name: canary, weight: 1}], sticky: ip, force: {header: x-version}",
    ])
    func versionsAreReadBack(_ canary: String) throws {
        let text: String = """
            version: 1
            apis:
              - id: a
                routes: [{path: /a}]
                upstream:
                  targets: [{url: "http://x:80", version: stable}, {url: "http://y:80", version: canary}]
                  canary: {\(canary)}
            """
        let read: GatewayDocument = try GatewayDocument.read(Array(text.utf8))
        #expect(read.apis[0].upstream.canary?.versions.count == 2)
        #expect(try GatewayDocument.read(read.json().serialized()) == read)
    }

    @Test(arguments: upstreams) func whatIsWrittenIsReadBack(_ upstream: String) throws {
        let read: GatewayDocument = try Self.document(upstream)
        #expect(read.apis[0].upstream != UpstreamDefinition(targets: read.apis[0].upstream.targets))
        #expect(try GatewayDocument.read(read.json().serialized()) == read)
    }

    /// A field that is not there changes no hash.
    @Test func defaultsAreLeftOut() throws {
        let target: TargetDefinition = TargetDefinition(url: try TargetURL(parsing: "http://x:80"))
        #expect(UpstreamDefinition(targets: [target]).json() == .object(["targets": [["url": "http://x:80"]]]))
    }

    @Test func statusesAreNumbersAndClasses() throws {
        let set: StatusSet = StatusSet([200...299, 404...404])
        #expect(set.contains(200) && set.contains(299) && set.contains(404))
        #expect(!set.contains(199) && !set.contains(300) && !set.contains(405))
        #expect(set.elements == ["2xx", 404])
    }
}
