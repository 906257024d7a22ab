import Crypto
import Files
import HTTP
import JSON
import Telemetry

/// `POST /cache/purges` at the admin listener of a gateway alone: forgets stored responses. Whoever asks shows a token.
///
/// ```
/// {"all": true}                                        everything
/// {"tenant": "acme", "all": true}                      all of a tenant
/// {"tenant": "acme", "api": "orders"}                  of one API; with "url" of one address, as clients ask for it
/// {"tenant": "acme", "tag": "article-7"}               what carries a tag
/// ```
/// Without `tenant`, `default` is meant where an API or a tag is named. The answer says how many were forgotten.
struct PurgeEndpoint: Sendable {
    static let path: String = "/cache/purges"
    static let bodyBytesMax: Int = 16 << 10
    /// Shorter tokens could be guessed.
    static let tokenBytesMin: Int = 16
    private static let tokenFileBytesMax: Int = 4096

    private let token: [UInt8]
    private let live: LiveState
    private let logger: Logger

    init(token: [UInt8], live: LiveState, logger: Logger) {
        self.token = token
        self.live = live
        self.logger = logger
    }

    /// Reads the token's file; the error names the setting.
    static func token(_ path: String) throws(StandaloneGateway.StartError) -> [UInt8] {
        let bytes: [UInt8]
        do throws(FileError) {
            bytes = Array(try Files.read(path, bytesMax: self.tokenFileBytesMax).prefix { $0 != 0x0A && $0 != 0x0D })
        } catch {
            throw StandaloneGateway.StartError(problems: ["listen.admin_token_file: \(error)"])
        }
        guard bytes.count >= self.tokenBytesMin else {
            throw StandaloneGateway.StartError(
                problems: ["listen.admin_token_file: expected a token of at least \(self.tokenBytesMin) bytes"])
        }
        return bytes
    }

    func answer(_ request: HTTPRequest) async -> HTTPResponse {
        guard request.method == .post else {
            var response: HTTPResponse = Self.problem(405, "Only POST is answered here.")
            response.fields["Allow"] = "POST"
            return response
        }
        guard let field: String = request.fields["Authorization"], case .bearer(let shown) = AuthorizationField(field),
            ConstantTime.equals(Array(shown.utf8), self.token)
        else {
            var response: HTTPResponse = Self.problem(401, "expected Authorization: Bearer and the gateway's token")
            response.fields["WWW-Authenticate"] = "Bearer"
            return response
        }
        let bytes: [UInt8]
        do throws(HTTPError) {
            bytes = try await request.body.collect(max: Self.bodyBytesMax)
        } catch {
            return Self.problem(413, "expected a body of at most \(Self.bodyBytesMax) bytes")
        }
        guard let object: JSONObject = (try? JSONReader.parse(bytes))?.object else {
            return Self.problem(400, "expected a JSON object")
        }
        do throws(InvalidPurge) {
            let count: Int = try self.forget(object)
            self.logger.log(.info, "stored responses were forgotten", ["responses": .int(Int64(count))])
            return HTTPResponse(
                status: 200, fields: ["Content-Type": "application/json", "Cache-Control": "no-store"],
                body: .bytes(JSONValue.object(["forgotten": .int(Int64(count))]).serialized()))
        } catch {
            return Self.problem(400, error.detail)
        }
    }

    private struct InvalidPurge: Error {
        let detail: String
    }

    private func forget(_ object: JSONObject) throws(InvalidPurge) -> Int {
        for (name, value) in object.members {
            switch (name, value) {
            case ("all", .bool(true)), ("tenant", .string), ("api", .string), ("url", .string), ("tag", .string): break
            case ("all", _): throw InvalidPurge(detail: "expected 'all' to be true")
            case ("tenant", _), ("api", _), ("url", _), ("tag", _):
                throw InvalidPurge(detail: "expected '\(name)' to be a text")
            default: throw InvalidPurge(detail: "there is no '\(name)': expected tenant, all, api, url or tag")
            }
        }
        let given: [String] = ["all", "api", "tag"].filter { object[$0] != nil }
        guard given.count == 1 else {
            throw InvalidPurge(detail: "expected one of 'all', 'api' and 'tag', found \(given.count) of them")
        }
        if object["url"] != nil, object["api"] == nil { throw InvalidPurge(detail: "expected 'url' only with 'api'") }
        if object["all"] != nil, object["tenant"] == nil { return self.live.purgeEverything() }
        var order: PurgeOrder = PurgeOrder(
            tenant: object["tenant"]?.text ?? "default", apis: object["api"]?.text.map { [$0] } ?? [],
            tag: object["tag"]?.text)
        if let url: String = object["url"]?.text {
            guard let address: (host: String, target: String) = PurgeOrder.address(url) else {
                throw InvalidPurge(
                    detail: "expected 'url' as clients ask for it, such as http://api.example.com/orders")
            }
            order = PurgeOrder(tenant: order.tenant, apis: order.apis, host: address.host, target: address.target)
        }
        var count: Int = 0
        for purge in order.purges { count += self.live.purge(purge) }
        return count
    }

    static func problem(_ status: Int, _ detail: String) -> HTTPResponse {
        HTTPResponse(
            status: status, fields: ["Content-Type": "application/problem+json", "Cache-Control": "no-store"],
            body: .bytes(
                JSONValue.object([
                    "type": .string("about:blank"), "status": .int(Int64(status)), "detail": .string(detail),
                ]).serialized()))
    }
}
