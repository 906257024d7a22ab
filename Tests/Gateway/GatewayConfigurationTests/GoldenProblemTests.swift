import Documents
import Foundation
import Testing

@testable import GatewayConfiguration

/// Files with mistakes, and exactly what is said about them: `Tests/Gateway/Golden/configuration/NAME.yaml` and `NAME.txt`.
///
/// With `PASSERELLE_UPDATE_GOLDEN=1` the texts are written anew; read the difference before keeping it.
struct GoldenProblemTests {
    static let folder: URL = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Golden/configuration")

    static let names: [String] = [
        "authentication", "unknown-fields", "wrong-types", "ranges", "conflicts", "references", "policies", "patterns",
        "paths",
        "no-document",
        "upstreams", "headers", "balancing",
    ]

    @Test(arguments: names) func namesEveryProblem(_ name: String) throws {
        let bytes: [UInt8] = try Array(Data(contentsOf: Self.folder.appending(path: name + ".yaml")))
        let error: InvalidDocument? = #expect(throws: InvalidDocument.self) { _ = try GatewayFile.read(bytes) }
        let found: String = try #require(error).text(file: name + ".yaml") + "\n"
        let expected: URL = Self.folder.appending(path: name + ".txt")
        if ProcessInfo.processInfo.environment["PASSERELLE_UPDATE_GOLDEN"] != nil {
            try Data(found.utf8).write(to: expected)
        }
        #expect(found == String(decoding: try Data(contentsOf: expected), as: UTF8.self))
    }

    /// The first example of the reference is a whole file.
    @Test func theReferencesExampleIsRead() throws {
        let reference: URL = Self.folder.deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "docs/reference/gateway-configuration.md")
        let text: String = String(decoding: try Data(contentsOf: reference), as: UTF8.self)
        let start: Range<String.Index> = try #require(text.range(of: "```yaml\n"))
        let end: Range<String.Index> = try #require(text.range(of: "```", range: start.upperBound..<text.endIndex))
        let file: GatewayFile = try GatewayFile.read(Array(text[start.upperBound..<end.lowerBound].utf8))
        #expect(file.document.apis.map(\.id) == ["orders"])
        #expect(file.document.plans.map(\.id) == ["gold"])
    }
}
