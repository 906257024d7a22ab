import BenchServices
import CLinux
import Contracts
import Glibc
import HTTP
import Identity
import JSON
import REST
import Store
import Telemetry
import Time

/// What it costs the control plane to know who calls. `Benchmarks/identity/run.py` runs it beside the sign-in of the whole platform.
///
///     IdentityBench [--tokens N]
///
/// Prints one JSON object: microseconds for each check, on one thread. Tokens are access tokens of the issuer (RS256, 2048 bits), all
/// different, so that none is remembered when it comes first.
@main enum IdentityBench {
    static func main() async {
        var tokens: Int = 2_000
        var arguments: ArraySlice<String> = CommandLine.arguments.dropFirst()
        while let option: String = arguments.popFirst() {
            guard option == "--tokens", let value: String = arguments.popFirst(), let number: Int = Int(value),
                number > 9
            else {
                print("usage: IdentityBench [--tokens N]")
                exit(2)
            }
            tokens = number
        }
        let count: Int = tokens
        do {
            // Off the main actor, so that no hop to its thread is measured.
            let found: JSONValue = try await Task.detached {
                let path: String = "/tmp/passerelle-identitybench-\(getpid())"
                let bench: BenchIdentity = try await BenchIdentity(path: path)
                let found: JSONValue = try await bench.measure(count)
                await bench.close()
                return found
            }.value
            print(found.jsonText)
        } catch {
            print("failed: \(error)")
            exit(1)
        }
    }
}

private struct BenchFailure: Error, CustomStringConvertible {
    let description: String
}

/// The identity service on a store in a folder of its own.
private struct BenchIdentity {
    private let path: String
    private let services: ServiceEnvironment
    private let identity: IdentityService
    private let handler: RESTHandler
    private let password: String

    init(path: String) async throws {
        self.path = path
        self.services = try await BenchServices.open(
            path: path, migrations: [GatewayChanges.migrations, IdentityService.migrations])
        self.identity = try await IdentityService.open(
            services: self.services, sealer: OpenSealer(), issuer: "http://127.0.0.1:8001")
        guard let first: (name: String, password: String) = try await self.identity.firstAdministrator() else {
            throw BenchFailure(description: "there is an administrator already")
        }
        self.password = first.password
        self.handler = RESTHandler(
            routes: self.identity.routes, authenticator: self.identity.authenticator, services: self.services,
            version: "0")
    }

    func close() async { await BenchServices.close(self.services, path: self.path) }

    private func send(_ path: String, _ body: JSONValue, token: String? = nil) async throws -> JSONValue {
        var fields: HTTPFields = ["Content-Type": "application/json"]
        if let token: String { fields.append("Authorization", "Bearer \(token)") }
        return try await self.send(path, body.serialized(), fields)
    }

    private func send(_ path: String, _ body: [UInt8], _ fields: HTTPFields) async throws -> JSONValue {
        let response: HTTPResponse = await self.handler.respond(
            to: HTTPRequest(method: .post, target: path, fields: fields, body: HTTPBody(body)))
        let answer: JSONValue = try JSONReader.parse(try await response.body.collect())
        guard response.status < 300 else { throw BenchFailure(description: "\(path): \(answer.jsonText)") }
        return answer
    }

    /// Different tokens of one caller.
    private func tokens(_ count: Int) async throws -> [String] {
        let session: JSONValue = try await self.send(
            "/v1/sessions", .object(["user": "admin", "password": .string(self.password)]))
        let token: String? = session["access_token"]?.text
        _ = try await self.send(
            "/v1/service-accounts", .object(["name": "bench", "roles": ["platform-admin"]]), token: token)
        let client: JSONValue = try await self.send(
            "/v1/oauth-clients",
            .object([
                "name": "Bench", "confidential": true, "grant_types": ["client_credentials"], "scopes": ["platform"],
                "service_account": "bench",
            ]), token: token)
        var form: QueryParameters = QueryParameters()
        for (name, value) in [
            ("grant_type", "client_credentials"), ("client_id", client["id"]?.text ?? ""),
            ("client_secret", client["secret"]?.text ?? ""), ("scope", "platform"),
        ] { form.append(name, value) }
        var made: [String] = []
        for _ in 0..<count {
            let answer: JSONValue = try await self.send(
                "/oauth2/token", Array(form.encoded.utf8), ["Content-Type": "application/x-www-form-urlencoded"])
            made.append(answer["access_token"]?.text ?? "")
        }
        return made
    }

    func measure(_ count: Int) async throws -> JSONValue {
        let begun: UInt64 = clinux_monotonic_nanoseconds()
        let tokens: [String] = try await self.tokens(count)
        let issued: UInt64 = clinux_monotonic_nanoseconds() - begun
        let authenticator: any Authenticator = self.identity.authenticator
        var first: [UInt64] = []
        var again: [UInt64] = []
        for round in 0..<11 {
            for token in tokens {
                let start: UInt64 = clinux_monotonic_nanoseconds()
                guard await authenticator.authenticate(bearer: token, ip: "127.0.0.1") != nil else {
                    throw BenchFailure(description: "a token is not taken")
                }
                let took: UInt64 = clinux_monotonic_nanoseconds() - start
                if round == 0 { first.append(took) } else { again.append(took) }
            }
        }
        return .object([
            "tokens": .int(Int64(count)), "issued_us": .double(Double(issued) / Double(count) / 1_000),
            "first": Self.percentiles(first), "again": Self.percentiles(again),
        ])
    }

    private static func percentiles(_ values: [UInt64]) -> JSONValue {
        let sorted: [UInt64] = values.sorted()
        func at(_ share: Double) -> JSONValue {
            .double(Double(sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))]) / 1_000)
        }
        return .object(["p50_us": at(0.5), "p99_us": at(0.99)])
    }
}
