import GatewayConfiguration
import Testing

@testable import Gateway

struct PathScreenTests {
    /// The path as it is matched and forwarded, or why not.
    private static func screened(_ path: String) -> String {
        let bytes: [UInt8] = Array(path.utf8)
        var scratch: [UInt8] = [UInt8](repeating: 0, count: PathScreen.scratchNeeded(bytes.count))
        return bytes.withUnsafeBytes { raw in
            scratch.withUnsafeMutableBytes { out in
                let result: PathScreen.Result = PathScreen.screen(raw, scratch: out)
                let mark: String = result.hasEncodedSlash ? " (slash)" : ""
                switch result.verdict {
                case .plain: return path + mark
                case .rewritten: return String(decoding: out[..<result.length], as: UTF8.self) + mark
                case .refused: return "refused"
                }
            }
        }
    }

    @Test(arguments: [
        ("/", "/"), ("/a/b", "/a/b"), ("/a/", "/a/"), ("/a.b/c..d/...", "/a.b/c..d/..."),
        ("/.well-known/x", "/.well-known/x"),
        ("/a!$&'()*+,;=:@-._~", "/a!$&'()*+,;=:@-._~"),
        // One form for what is the same.
        ("/%61dmin", "/admin"), ("/a%2Db%2e%7E", "/a-b.~"), ("/%c3%a9", "/%C3%A9"), ("/caf\u{e9}", "/caf%C3%A9"),
        ("/a%20b", "/a%20b"), ("/a%3fb%23%25", "/a%3Fb%23%25"), ("/{a}|\"<>^`", "/%7Ba%7D%7C%22%3C%3E%5E%60"),
        // Encoded twice stays encoded once: nobody decodes further here.
        ("/%252e%252e/", "/%252e%252e/"),
        // Slashes that are data are kept and reported.
        ("/a%2fb", "/a%2Fb (slash)"), ("/a%5Cb", "/a%5Cb (slash)"),
    ]) func bringsPathsIntoOneForm(_ path: String, expected: String) {
        #expect(Self.screened(path) == expected)
    }

    @Test(arguments: [
        "", "a", "*", "//", "//a", "/a//b", "/a//", "/.", "/..", "/./a", "/a/.", "/a/..", "/a/../b", "/%2e",
        "/%2E%2e/x",
        "/a/.%2e/b", "/a/%2e./", "/..;/admin", "/a/..;x=1/b", "/.;", "/a%2f..%2fb", "/a/..%2Fb", "/a%5c..%5cb", "/%2fa",
        "/a%2f%2fb", "/a\\b", "/..\\", "/a b", "/a\tb", "/a\u{0}b", "/a%00b", "/a\u{7f}", "/%", "/%4", "/%zz", "/a%2",
    ]) func refusesWhatServersReadDifferently(_ path: String) {
        #expect(Self.screened(path) == "refused")
    }

    /// Screening again changes nothing, and what a route's pattern says is in the same form.
    @Test func theFormIsTheSameForPatterns() throws {
        var numbers: SeededNumbers = SeededNumbers(seed: 20_261_121)
        let alphabet: [Character] = Array("ab/.%2eEfFcC3~;é {}_-")
        var accepted: Int = 0
        for _ in 0..<8000 {
            var path: String = "/"
            for _ in 0..<Int.random(in: 0...8, using: &numbers) {
                path.append(alphabet.randomElement(using: &numbers)!)
            }
            let form: String = Self.screened(path)
            if form == "refused" { continue }
            accepted += 1
            let plain: String = form.replacing(" (slash)", with: "")
            #expect(Self.screened(plain) == form, "\(path)")
            if let pattern: PathPattern = try? PathPattern(parsing: path), pattern.kind == .exact {
                #expect(pattern.text == plain, "\(path)")
            }
        }
        #expect(accepted > 500)
    }
}
