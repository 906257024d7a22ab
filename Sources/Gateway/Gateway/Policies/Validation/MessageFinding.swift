import JSON

/// One thing that is wrong with a message by its document.
struct MessageFinding: Sendable, Equatable {
    /// `path`, `query`, `header`, `cookie`, `body`, `status`, `operation`.
    let place: String
    /// Of a parameter or field; nil for others.
    var name: String?
    /// JSON pointer into the value; "" is the whole.
    var pointer: String = ""
    /// What was expected. Never repeats what the message holds.
    let detail: String

    /// Findings listed in an answer at most, and bytes of them.
    private static let listedMax: Int = 32
    private static let bytesMax: Int = 8 << 10

    /// Members that a problem document gets besides its own: `"errors":[…]`, without a comma in front.
    static func members(_ findings: [MessageFinding]) -> [UInt8] {
        var out: [UInt8] = Array("\"errors\":[".utf8)
        for (index, finding) in findings.prefix(self.listedMax).enumerated() {
            var object: JSONObject = ["in": .string(finding.place)]
            if let name: String = finding.name { object.append("name", .string(name)) }
            object.append("pointer", .string(finding.pointer))
            object.append("detail", .string(finding.detail))
            let bytes: [UInt8] = JSONValue.object(object).serialized()
            // Keys of the client's own may make pointers long.
            if out.count + bytes.count > self.bytesMax { break }
            if index > 0 { out.append(UInt8(ascii: ",")) }
            out.append(contentsOf: bytes)
        }
        out.append(UInt8(ascii: "]"))
        return out
    }
}
