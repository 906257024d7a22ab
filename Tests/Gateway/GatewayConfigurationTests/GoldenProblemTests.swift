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
        "unknown-fields", "wrong-types", "ranges", "conflicts", "references", "policies", "not-yet", "paths",
        "no-document",
        "upstreams", "headers",
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
}
