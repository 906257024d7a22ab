import Files
import GatewayConfiguration
import HTTP
import JSON
import Telemetry
import TestKit
import Testing

@testable import Gateway

struct PurgeEndpointTests {
    private static let token: String = "0123456789abcdef"

    private static func request(
        _ body: String, method: HTTPMethod = .post, authorization: String? = "Bearer \(token)"
    ) -> HTTPRequest {
        var fields: HTTPFields = HTTPFields()
        if let authorization { fields.append("Authorization", authorization) }
        return HTTPRequest(
            method: method, target: PurgeEndpoint.path, fields: fields,
            body: HTTPBody(Array(body.utf8)))
    }

    private static func endpoint(_ live: LiveState) -> PurgeEndpoint {
        PurgeEndpoint(token: Array(Self.token.utf8), live: live, logger: .silent)
    }

    @Test(arguments: [
        (#"{"all": true}"#, 200), (#"{"tenant": "acme", "all": true}"#, 200), (#"{"api": "orders"}"#, 200),
        (#"{"tenant": "acme", "api": "orders", "url": "http://a.example/x?y=1"}"#, 200), (#"{"tag": "t"}"#, 200),
        ("", 400), ("[]", 400), ("{}", 400), (#"{"all": false}"#, 400), (#"{"all": true, "tag": "x"}"#, 400),
        (#"{"tag": 7}"#, 400), (#"{"url": "http://a/"}"#, 400), (#"{"api": "a", "url": "nonsense"}"#, 400),
        (#"{"api": "a", "url": "http://a/../b"}"#, 400), (#"{"everything": true}"#, 400),
        (String(repeating: " ", count: PurgeEndpoint.bodyBytesMax + 1), 413),
    ])
    func takesOrdersThatSayOneThing(_ body: String, status: Int) async {
        let response: HTTPResponse = await Self.endpoint(LiveState()).answer(Self.request(body))
        #expect(response.status == status, "\(body)")
    }

    @Test(arguments: [nil, "Bearer 0123456789abcdeX", "Bearer", "Basic \(token)", token, "Bearer \(token) "])
    func wantsTheToken(_ authorization: String?) async {
        let response: HTTPResponse = await Self.endpoint(LiveState()).answer(
            Self.request(#"{"all": true}"#, authorization: authorization))
        #expect(response.status == 401)
        #expect(response.fields["WWW-Authenticate"] == "Bearer")
    }

    @Test func answersPostOnly() async {
        let response: HTTPResponse = await Self.endpoint(LiveState()).answer(Self.request("", method: .get))
        #expect(response.status == 405)
        #expect(response.fields["Allow"] == "POST")
    }

    @Test func aTokenMustBeLongEnough() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        try Files.replace("\(folder.path)/token", with: Array("short\n".utf8))
        #expect(throws: StandaloneGateway.StartError.self) { try PurgeEndpoint.token("\(folder.path)/token") }
        #expect(throws: StandaloneGateway.StartError.self) { try PurgeEndpoint.token("\(folder.path)/none") }
        try Files.replace("\(folder.path)/token", with: Array("\(Self.token)\nsecond line\n".utf8))
        #expect(try PurgeEndpoint.token("\(folder.path)/token") == Array(Self.token.utf8))
    }

    @Test(arguments: [
        ("http://api.example.com", "api.example.com", "/"), ("https://x:443/a?b", "x", "/a?b"),
        ("https://x:80/a", "x:80", "/a"), ("http://[::1]:8000/%7e", "[::1]:8000", "/~"),
    ]) func readsAddressesAsRequestsHaveThem(_ url: String, host: String, target: String) throws {
        let address: (host: String, target: String) = try #require(PurgeOrder.address(url))
        #expect(address.host == host)
        #expect(address.target == target)
    }
}
