import EventLoops
import Glibc
import HTTP
import JSON
import TLS
import Time

/// The control plane as commands see it: JSON in, JSON out, problems as readable errors.
struct ControlPlane: Sendable {
    /// Largest answer a command reads into memory, bytes.
    static let answerBytesMax: Int = 64 << 20

    let url: String
    let tenant: String?
    /// The same place as an issuer of tokens.
    let issuer: IssuerClient
    /// Of the connection, where it speaks TLS.
    let trust: ControlPlaneTrust
    private let credential: Credential
    private var client: HTTPClient { self.issuer.client }

    /// The address and token in effect: options, then environment, then what `login` saved.
    init(_ arguments: Arguments) throws(CommandError) {
        let saved: Login? = Login.saved()
        let url: String? = arguments["url"] ?? Login.environment("PASSERELLE_URL") ?? saved?.url
        guard let url: String else {
            throw .failed("No control plane is known. Run: passerelle login --url http://127.0.0.1:8001")
        }
        try self.init(
            url: url, tenant: arguments["tenant"] ?? Login.environment("PASSERELLE_TENANT") ?? saved?.tenant,
            credential: Credential.find(url: Self.trimmed(url), saved: saved))
    }

    init(url: String, tenant: String?, token: String?) throws(CommandError) {
        try self.init(url: url, tenant: tenant, credential: Credential(source: token.map { .fixed($0) } ?? .none))
    }

    private static func trimmed(_ url: String) -> String { url.hasSuffix("/") ? String(url.dropLast()) : url }

    init(url: String, tenant: String?, credential: Credential) throws(CommandError) {
        guard URLParts(url) != nil else {
            throw .usage("'\(url)' is not a URL; expected for example http://127.0.0.1:8001")
        }
        self.url = Self.trimmed(url)
        self.tenant = tenant
        self.credential = credential
        self.trust = ControlPlaneTrust.find(url: self.url)
        let tls: TLSClientConfiguration = try self.trust.configuration(at: SystemClock().now())
        do {
            let client: HTTPClient = HTTPClient(
                group: EventLoopGroup(count: 1, name: "client"),
                configuration: HTTPClientConfiguration(tls: try TLSContext.client(tls), egress: { _ in .allow }))
            self.issuer = IssuerClient(url: self.url, client: client, trust: self.trust)
        } catch {
            throw .failed("TLS is not available: \(error)")
        }
    }

    /// The path of something of the tenant in use.
    func tenantPath(_ rest: String) throws(CommandError) -> String {
        guard let tenant: String = self.tenant else {
            throw .usage("No tenant is chosen. Give --tenant, set PASSERELLE_TENANT, or log in with --tenant.")
        }
        return "/v1/tenants/\(Self.escaped(tenant))\(rest)"
    }

    /// The path of something that a tenant has, or the platform: limited to the tenant in use, if there is one.
    func scopedPath(_ path: String) -> String {
        guard let tenant: String = self.tenant else { return path }
        return "\(path)?tenant=\(Self.escaped(tenant))"
    }

    static func texts(_ values: [String]) -> JSONValue { .array(values.map { JSONValue.string($0) }) }

    static func escaped(_ text: String) -> String { PercentCoding.encode(text) }

    func get(_ path: String) async throws -> JSONValue { try await self.send("GET", path, nil) }

    /// Whether there is something at the path for this caller.
    ///
    /// - Parameter gone: another status that says that there is not.
    func exists(_ path: String, method: String = "GET", orGone gone: Int = 404) async throws -> Bool {
        let response: HTTPClientResponse = try await self.open(method, path, nil, accept: "application/json")
        let bytes: [UInt8] = try await response.body.collect(max: Self.answerBytesMax)
        if response.status == 404 || response.status == gone { return false }
        guard response.status < 400 else { throw Self.failure(status: response.status, body: bytes) }
        return true
    }

    /// The status of a GET, whatever it is; 0 when nothing answers.
    func status(_ target: String, fields: [(String, String)]) async throws -> Int {
        guard let url: URLParts = URLParts(self.url + target) else { return 0 }
        var sent: HTTPFields = HTTPFields()
        for field in fields { sent.append(field.0, field.1) }
        guard
            let response: HTTPClientResponse = try? await self.client.send(
                HTTPClientRequest(method: .get, url: url, fields: sent))
        else { return 0 }
        _ = try? await response.body.collect(max: Self.answerBytesMax)
        return response.status
    }

    /// Every item of a paged list.
    func all(_ path: String) async throws -> [JSONValue] {
        var items: [JSONValue] = []
        var cursor: String?
        repeat {
            let mark: String = path.utf8.contains(UInt8(ascii: "?")) ? "&" : "?"
            let next: String = cursor.map { "&cursor=\(Self.escaped($0))" } ?? ""
            let page: JSONValue = try await self.get("\(path)\(mark)limit=200\(next)")
            items.append(contentsOf: page["items"]?.elements ?? [])
            cursor = page["next"]?.text
        } while cursor != nil
        return items
    }

    /// Sends a request and returns the JSON of its answer; null when it has none.
    @discardableResult
    func send(_ method: String, _ path: String, _ body: JSONValue?) async throws -> JSONValue {
        var (status, bytes): (Int, [UInt8]) = try await self.answer(method, path, body)
        if status == 401, Self.isStepUp(bytes), let code: String = try Self.code() {
            try await self.send("POST", "/v1/me/second-factor/verify", .object(["code": .string(code)]))
            (status, bytes) = try await self.answer(method, path, body)
        }
        guard status < 400 else {
            throw Self.failure(status: status, body: bytes, isSignIn: method == "POST" && path == "/v1/sessions")
        }
        if bytes.isEmpty { return .null }
        return try JSONReader.parse(bytes)
    }

    private func answer(_ method: String, _ path: String, _ body: JSONValue?) async throws -> (Int, [UInt8]) {
        let response: HTTPClientResponse = try await self.open(method, path, body, accept: "application/json")
        return (response.status, try await response.body.collect(max: Self.answerBytesMax))
    }

    /// Whether the second factor must be shown again before this can be done (RFC 9470).
    private static func isStepUp(_ body: [UInt8]) -> Bool {
        (try? JSONReader.parse(body))?["type"]?.text == "urn:passerelle:problem:step-up-required"
    }

    /// The code of the second factor, where somebody can be asked for it.
    private static func code() throws(CommandError) -> String? {
        guard Login.environment("PASSERELLE_CODE") != nil || (isatty(0) == 1 && isatty(2) == 1) else { return nil }
        return try PasswordInput.read(
            file: nil, variable: "PASSERELLE_CODE", prompt: "This needs your second factor. Code of the app: ")
    }

    /// Hands over a long answer in pieces.
    func download(_ path: String, _ body: ([UInt8]) throws -> Void) async throws {
        let response: HTTPClientResponse = try await self.open("GET", path, nil, accept: "*/*")
        guard response.status < 400 else {
            throw Self.failure(status: response.status, body: try await response.body.collect(max: Self.answerBytesMax))
        }
        for try await chunk in response.body { try body(chunk) }
    }

    /// Follows a stream of server-sent events; `body` returns false to stop.
    func follow(_ path: String, _ body: (ServerSentEvent) async throws -> Bool) async throws {
        let response: HTTPClientResponse = try await self.open("GET", path, nil, accept: ServerSentEvent.mediaType)
        guard response.status < 400 else {
            throw Self.failure(status: response.status, body: try await response.body.collect(max: Self.answerBytesMax))
        }
        for try await event in response.events {
            if try await !body(event) { return }
        }
    }

    private func open(_ method: String, _ path: String, _ body: JSONValue?, accept: String) async throws
        -> HTTPClientResponse
    {
        var fields: HTTPFields = HTTPFields()
        fields.append("Accept", accept)
        if let token: String = try await self.credential.token(self.issuer) {
            fields.append("Authorization", "Bearer \(token)")
        }
        if body != nil { fields.append("Content-Type", "application/json") }
        guard let url: URLParts = URLParts(self.url + path) else {
            throw CommandError.usage("'\(path)' is not a path.")
        }
        var request: HTTPClientRequest = HTTPClientRequest(
            method: HTTPMethod(method), url: url, fields: fields, body: body?.serialized() ?? [])
        if accept != "application/json" { request.timeouts = .streaming(silence: .seconds(60)) }
        do {
            return try await self.client.send(request)
        } catch {
            throw CommandError.failed(
                "The control plane at \(self.url) does not answer: \(error)\(self.trust.hint(about: error))")
        }
    }

    /// What a problem document says, for people.
    ///
    /// - Parameter isSignIn: who is just signing in need not be told to.
    private static func failure(status: Int, body: [UInt8], isSignIn: Bool = false) -> CommandError {
        guard let problem: JSONValue = try? JSONReader.parse(body), let title: String = problem["title"]?.text else {
            return .failed("The control plane answered \(status).")
        }
        var lines: [String] = ["\(title) (\(status)). \(problem["detail"]?.text ?? "")"]
        for field in problem["errors"]?.elements ?? [] {
            var place: String = field["pointer"]?.text ?? ""
            if let line: Int64 = field["line"]?.integer {
                place = "line \(line), column \(field["column"]?.integer ?? 0) \(place)"
            }
            lines.append("  \(place): \(field["detail"]?.text ?? "")")
        }
        if status == 404, problem["type"]?.text?.hasSuffix(":no-route") == true {
            lines.append("That is a gateway. The control plane has an address of its own, as a rule the next port.")
        }
        if status == 401, !isSignIn {
            lines.append(
                Self.isStepUp(body)
                    ? "Run: passerelle second-factor verify, then this again; or set PASSERELLE_CODE."
                    : "Run: passerelle login")
        }
        if status >= 500, let trace: String = problem["trace_id"]?.text { lines.append("Trace id: \(trace)") }
        return .failed(lines.joined(separator: "\n"))
    }
}
