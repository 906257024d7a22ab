import Foundation
import JSON
import Testing

/// A table of cases in `Tests/Gateway/Golden/http`: written from the RFC whose section each case names.
struct GoldenCase: Sendable, CustomTestStringConvertible {
    let value: JSONValue
    var testDescription: String { "\(self.value["name"]?.text ?? "") (\(self.value["section"]?.text ?? ""))" }

    subscript(name: String) -> JSONValue? { self.value[name] }

    /// A text; empty where there is none.
    func text(_ name: String) -> String { self.value[name]?.text ?? "" }

    static func table(_ name: String) -> [GoldenCase] {
        let file: URL = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Golden/http/\(name).json")
        let bytes: [UInt8] = (try? Data(contentsOf: file)).map { Array($0) } ?? []
        return ((try? JSONReader.parse(bytes))?.elements ?? []).map { GoldenCase(value: $0) }
    }
}

extension JSONValue {
    /// The texts of an array.
    var texts: [String] { (self.elements ?? []).compactMap { $0.text } }
}
