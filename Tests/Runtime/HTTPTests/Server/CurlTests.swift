import Crypto
import EventLoops
import Testing

@testable import HTTP

/// The server as curl sees it.
@Suite struct CurlTests {
    @Sendable private static func describe(_ request: HTTPRequest) async -> HTTPResponse {
        do {
            let body: [UInt8] = try await request.body.collect(max: 64 << 20)
            let client: String = request.clientCertificate?.commonName ?? "nobody"
            return .text("\(request.method.name) \(request.target) \(body.count) \(request.isSecure) \(client)")
        } catch {
            return .text(error.description, status: error.status)
        }
    }

    @Test func plainRequests() async throws {
        let folder: TemporaryFolder = try TemporaryFolder()
        let file: String = folder.write("upload", [UInt8](repeating: 7, count: 5_000_000))
        try await TestServer.with(handler: CurlTests.describe) { server in
            let cases: [([String], String)] = [
                (["\(server.url)/a?b=c"], "GET /a?b=c 0 false nobody"),
                (["-d", "x=1&y=2", server.url], "POST / 7 false nobody"),
                (["-T", file, "\(server.url)/up"], "PUT /up 5000000 false nobody"),
                (["-T", file, "-H", "Transfer-Encoding: chunked", "\(server.url)/up"], "PUT /up 5000000 false nobody"),
                (["-H", "Expect: 100-continue", "-d", "0123456789", server.url], "POST / 10 false nobody"),
                (["-X", "DELETE", server.url], "DELETE / 0 false nobody"),
                (["--http1.0", server.url], "GET / 0 false nobody"),
                (
                    ["--path-as-is", "\(server.url)/../a//b", "\(server.url)/2"],
                    "GET /../a//b 0 false nobodyGET /2 0 false nobody"
                ),
            ]
            for (arguments, expected) in cases {
                let output: Curl.Output = try await Curl.run(arguments)
                #expect(output.exitCode == 0)
                #expect(output.text == expected)
            }
            let head: Curl.Output = try await Curl.run(["-I", server.url])
            #expect(head.text.hasPrefix("HTTP/1.1 200 OK\r\n"))
        }
    }

    @Test func anUploadOverTheLimitSeesThe413() async throws {
        let folder: TemporaryFolder = try TemporaryFolder()
        let file: String = folder.write("upload", [UInt8](repeating: 7, count: 20_000_000))
        var limits: HTTPServerLimits = HTTPServerLimits()
        limits.bodyBytesMax = 1_000_000
        try await TestServer.with(limits: limits, handler: CurlTests.describe) { server in
            let declared: Curl.Output = try await Curl.run([
                "-H", "Expect:", "-T", file, "-w", "%{http_code}", server.url,
            ])
            #expect(declared.text.contains("413"))
            let chunked: Curl.Output = try await Curl.run(
                ["-H", "Expect:", "-H", "Transfer-Encoding: chunked", "-T", file, "-w", "%{http_code}", server.url])
            #expect(chunked.text.contains("413"))
        }
    }

    @Test func serverSentEvents() async throws {
        try await TestServer.with(handler: { _ in
            .events { writer in
                for number in 1...3 { try await writer.send(ServerSentEvent(id: String(number), data: "n\(number)")) }
            }
        }) { server in
            let output: Curl.Output = try await Curl.run(["-N", server.url])
            #expect(output.text == "id: 1\ndata: n1\n\nid: 2\ndata: n2\n\nid: 3\ndata: n3\n\n")
        }
    }

    @Test func overTLS() async throws {
        let certificates: TestCertificates = try TestCertificates.shared.get()
        let folder: TemporaryFolder = try TemporaryFolder()
        let authority: String = folder.write(
            "ca.pem", Array(try certificates.authority.identity.certificate.pem().utf8))
        let file: String = folder.write("upload", [UInt8](repeating: 7, count: 3_000_000))
        let shown: String = folder.write("alice.pem", Array(try certificates.client.certificate.pem().utf8))
        let key: String = folder.write("alice.key", Array(try certificates.client.key.pem().utf8))
        try await TestServer.with(tls: try certificates.serverContext(asking: true), handler: CurlTests.describe) {
            server in
            let url: String = "https://localhost:\(server.address.port)"
            let cases: [([String], String)] = [
                ([url + "/a"], "GET /a 0 true nobody"),
                (["--tls-max", "1.2", url], "GET / 0 true nobody"),
                (["-T", file, url], "PUT /upload 3000000 true nobody"),
                (["--cert", shown, "--key", key, url, url + "/2"], "GET / 0 true aliceGET /2 0 true alice"),
            ]
            for (arguments, expected) in cases {
                let output: Curl.Output = try await Curl.run(["--cacert", authority] + arguments)
                #expect(output.exitCode == 0)
                #expect(output.text == expected)
            }
            let untrusted: Curl.Output = try await Curl.run([url])
            #expect(untrusted.exitCode == 60)
            let plain: RawConnection = try await server.connect()
            try await plain.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            let response: RawResponse = try await plain.receiveResponse()
            #expect(response.status == 400)
            #expect(response.body.contains("https"))
        }
    }
}
