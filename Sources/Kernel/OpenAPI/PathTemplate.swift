/// A path with parameters in braces: "/orders/{id}/items".
struct PathTemplate {
    /// In order, without braces.
    let parameters: [String]
    /// The template with every parameter's name left out: two paths of one pattern match the same requests.
    let pattern: String

    /// What is wrong with a path, as "expected …".
    struct Malformed: Error {
        let message: String
    }

    init(_ text: String) throws(Malformed) {
        var parameters: [String] = []
        var pattern: [UInt8] = []
        var name: [UInt8]? = nil
        guard text.utf8.first == UInt8(ascii: "/") else {
            throw Malformed(message: "expected a path that begins with \"/\"")
        }
        for byte: UInt8 in text.utf8 {
            switch byte {
            case UInt8(ascii: "{"):
                guard name == nil else { throw Malformed(message: "expected '}' before the next '{' of the path") }
                name = []
                pattern.append(byte)
            case UInt8(ascii: "}"):
                guard let bytes: [UInt8] = name else { throw Malformed(message: "expected '{' before '}' in the path") }
                let parameter: String = String(decoding: bytes, as: UTF8.self)
                guard !parameter.isEmpty else {
                    throw Malformed(message: "expected a name between '{' and '}' in the path")
                }
                guard !parameters.contains(parameter) else {
                    throw Malformed(message: "expected each parameter once in the path")
                }
                guard parameters.count < Self.parametersMax else {
                    throw Malformed(message: "expected at most \(Self.parametersMax) parameters in the path")
                }
                parameters.append(parameter)
                name = nil
                pattern.append(byte)
            case UInt8(ascii: "?"), UInt8(ascii: "#"):
                throw Malformed(message: "expected a path without query and fragment")
            case 0...0x20, 0x7F: throw Malformed(message: "expected a path without white space and control characters")
            case UInt8(ascii: "/") where name != nil:
                throw Malformed(message: "expected '}' before the next '/' of the path")
            default:
                if name != nil { name?.append(byte) } else { pattern.append(byte) }
            }
        }
        guard name == nil else { throw Malformed(message: "expected '}' after '{' in the path") }
        self.parameters = parameters
        self.pattern = String(decoding: pattern, as: UTF8.self)
    }

    private static let parametersMax: Int = 64
}
