import HTTP

/// Splits a `multipart/form-data` body (RFC 7578, RFC 2046 section 5.1) into its fields. Bounded, and strict: what servers would
/// split differently is refused.
package struct MultipartReader {
    /// One part.
    package struct Part {
        package let name: String
        /// Of `Content-Type`, without parameters; nil: none was said.
        package let type: String?
        package let isFile: Bool
        /// Of the part's head; names in lower case.
        package let fields: [(name: String, value: String)]
        package let body: ArraySlice<UInt8>
    }

    /// Why a body cannot be split.
    package struct Failure: Error {
        package let detail: String
    }

    /// Parts of one body, and bytes of one part's head, at most.
    package static let partsMax: Int = 1000
    package static let headBytesMax: Int = 8 << 10
    /// RFC 2046, 5.1.1.
    package static let boundaryBytesMax: Int = 70

    private let delimiter: [UInt8]

    /// - Parameter type: the value of `Content-Type`; nil when it names no boundary that may be one.
    package init?(contentType type: String) {
        guard let boundary: String = Self.parameter("boundary", of: type), !boundary.isEmpty,
            boundary.utf8.count <= Self.boundaryBytesMax, boundary.last != " ",
            boundary.utf8.allSatisfy({ Self.isBoundary($0) })
        else { return nil }
        self.delimiter = Array("--\(boundary)".utf8)
    }

    package func parts(of body: [UInt8]) throws(Failure) -> [Part] {
        var parts: [Part] = []
        // What stands before the first delimiter is nobody's.
        guard var place: Int = self.firstDelimiter(body) else { throw Failure(detail: "expected the boundary") }
        while true {
            place += self.delimiter.count
            if body.count >= place + 2, body[place] == 0x2D, body[place + 1] == 0x2D { return parts }
            guard let line: Int = Self.lineEnd(body, place) else {
                throw Failure(detail: "expected a line end behind the boundary")
            }
            guard parts.count < Self.partsMax else { throw Failure(detail: "expected at most \(Self.partsMax) parts") }
            let (fields, start): ([(name: String, value: String)], Int) = try self.head(body, line)
            guard let end: Int = self.nextDelimiter(body, start) else {
                throw Failure(detail: "expected the boundary at the end")
            }
            parts.append(try self.part(fields, body[start..<max(start, end - 2)]))
            place = end
        }
    }

    // MARK: Delimiters

    private func firstDelimiter(_ body: [UInt8]) -> Int? {
        if body.starts(with: self.delimiter) { return 0 }
        return self.nextDelimiter(body, 0)
    }

    /// Where the next delimiter stands behind a line end, at or behind `from`; a part without a body has none before it but that of
    /// its head.
    private func nextDelimiter(_ body: [UInt8], _ from: Int) -> Int? {
        if from >= 2, body[from...].starts(with: self.delimiter) { return from }
        var place: Int = from
        while let carriage: Int = body[place...].firstIndex(of: 0x0D) {
            if carriage + 2 <= body.count - self.delimiter.count, body[carriage + 1] == 0x0A,
                body[(carriage + 2)...].starts(with: self.delimiter)
            {
                return carriage + 2
            }
            place = carriage + 1
        }
        return nil
    }

    /// Behind the line end that follows, and white space before it; nil: something else does.
    private static func lineEnd(_ body: [UInt8], _ from: Int) -> Int? {
        var place: Int = from
        while place < body.count, body[place] == 0x20 || body[place] == 0x09 { place += 1 }
        guard place + 1 < body.count, body[place] == 0x0D, body[place + 1] == 0x0A else { return nil }
        return place + 2
    }

    // MARK: Heads

    private func head(
        _ body: [UInt8], _ from: Int
    ) throws(Failure) -> (fields: [(name: String, value: String)], start: Int) {
        var fields: [(name: String, value: String)] = []
        var place: Int = from
        while true {
            guard let end: Int = body[place...].prefix(Self.headBytesMax).firstIndex(of: 0x0D), end + 1 < body.count,
                body[end + 1] == 0x0A, end - from < Self.headBytesMax
            else { throw Failure(detail: "expected the head of a part, of at most \(Self.headBytesMax) bytes") }
            if end == place { return (fields, end + 2) }
            guard let colon: Int = body[place..<end].firstIndex(of: 0x3A), colon > place,
                body[place..<colon].allSatisfy(FieldBytes.isToken),
                let value: String = String(validating: Self.trimmed(body[(colon + 1)..<end]), as: UTF8.self)
            else { throw Failure(detail: "expected fields in the head of a part") }
            fields.append((String(decoding: body[place..<colon], as: UTF8.self).lowercased(), value))
            place = end + 2
        }
    }

    /// Without the white space around a field's value.
    private static func trimmed(_ value: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var value: ArraySlice<UInt8> = value.drop { $0 == 0x20 || $0 == 0x09 }
        while let last: UInt8 = value.last, last == 0x20 || last == 0x09 { value.removeLast() }
        return value
    }

    private func part(
        _ fields: [(name: String, value: String)], _ body: ArraySlice<UInt8>
    ) throws(Failure) -> Part {
        let dispositions: [String] = fields.filter { $0.name == "content-disposition" }.map { $0.value }
        guard dispositions.count == 1, MediaText.essence(dispositions[0]) == "form-data",
            let name: String = Self.parameter("name", of: dispositions[0])
        else { throw Failure(detail: "expected a part with one Content-Disposition: form-data; name=…") }
        return Part(
            name: name, type: fields.first { $0.name == "content-type" }.map { MediaText.essence($0.value) },
            isFile: Self.parameter("filename", of: dispositions[0]) != nil, fields: fields, body: body)
    }

    /// A parameter of a field's value (`; name=value`, `; name="value"`); nil when it is not there, or there twice.
    package static func parameter(_ wanted: String, of value: String) -> String? {
        var rest: ArraySlice<UInt8> = Array(value.utf8)[...].drop { $0 != 0x3B }
        var found: String?
        while rest.popFirst() != nil {
            rest = rest.drop { $0 == 0x20 || $0 == 0x09 }
            let name: ArraySlice<UInt8> = rest.prefix { FieldBytes.isToken($0) }
            rest = rest[name.endIndex...]
            guard rest.popFirst() == 0x3D else { return nil }
            guard let text: [UInt8] = Self.text(&rest) else { return nil }
            if String(decoding: name, as: UTF8.self).lowercased() == wanted {
                if found != nil { return nil }
                found = String(decoding: text, as: UTF8.self)
            }
            rest = rest.drop { $0 == 0x20 || $0 == 0x09 }
            guard rest.isEmpty || rest.first == 0x3B else { return nil }
        }
        return found
    }

    /// A token or a quoted string; nil: the string has no end.
    private static func text(_ rest: inout ArraySlice<UInt8>) -> [UInt8]? {
        guard rest.first == 0x22 else {
            let token: ArraySlice<UInt8> = rest.prefix { $0 != 0x3B && $0 != 0x20 && $0 != 0x09 }
            rest = rest[token.endIndex...]
            return Array(token)
        }
        rest.removeFirst()
        var text: [UInt8] = []
        while let byte: UInt8 = rest.popFirst() {
            switch byte {
            case 0x22: return text
            case 0x5C:
                guard let next: UInt8 = rest.popFirst() else { return nil }
                text.append(next)
            default: text.append(byte)
            }
        }
        return nil
    }

    /// bchars of RFC 2046, 5.1.1.
    private static func isBoundary(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"):
            return true
        default: return "'()+_,-./:=? ".utf8.contains(byte)
        }
    }
}
