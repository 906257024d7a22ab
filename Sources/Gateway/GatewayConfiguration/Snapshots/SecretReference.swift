package import Documents
package import JSON

/// `secret://name` in a string of an API's configuration: it stands for the value of that secret of the API's tenant, which only
/// a gateway sees.
///
/// It may stand for the whole string or be a part of it, as in `Bearer secret://crm-token`; the name ends where no letter, digit
/// or hyphen follows. In a snapshot the version is fixed: `secret://name@7`.
package enum SecretReference {
    package static let scheme: String = "secret://"
    /// Longest name, as for every slug.
    private static let nameLengthMax: Int = 63

    /// The names that strings anywhere in it refer to, without versions.
    package static func names(in json: JSONValue) -> Set<String> {
        var names: Set<String> = []
        Self.visit(json) { text in
            for part in Self.parts(of: text) {
                if case .reference(let name, _, _) = part { names.insert(name) }
            }
        }
        return names
    }

    /// Whether the text is a reference and nothing else.
    package static func isOneReference(_ text: String) -> Bool {
        let parts: [Part] = Self.parts(of: text)
        guard parts.count == 1, case .reference? = parts.first else { return false }
        return true
    }

    // MARK: What is no reference

    /// What of a text looks like a reference and is none, or another one than its author meant; nil: nothing.
    package static func problem(in text: String) -> String? {
        guard Self.mayRefer(text) else { return nil }
        let bytes: [UInt8] = Array(text.utf8)
        let mark: [UInt8] = Array(Self.scheme.utf8)
        for start in 0...(bytes.count - mark.count) where bytes[start..<(start + mark.count)].elementsEqual(mark) {
            let name: ArraySlice<UInt8> = bytes[(start + mark.count)...].prefix { Self.isNameByte($0) }
            let next: UInt8 = name.endIndex < bytes.count ? bytes[name.endIndex] : 0
            let isSlug: Bool = !name.isEmpty && name.first != 0x2d && name.last != 0x2d
            let goesOn: Bool = next == UInt8(ascii: "_") || (0x41...0x5a).contains(next) || next >= 0x80
            guard isSlug, name.count <= Self.nameLengthMax, !goesOn else {
                return
                    "expected the name of a secret behind \(Self.scheme): lower-case letters, digits and hyphens between them, at most \(Self.nameLengthMax)"
            }
            let afterNext: UInt8 = name.endIndex + 1 < bytes.count ? bytes[name.endIndex + 1] : 0
            if next == UInt8(ascii: "@"), (0x30...0x39).contains(afterNext) {
                return
                    "expected no version behind \(Self.scheme)\(String(decoding: name, as: UTF8.self)): it stands for the present one; secrets rollback makes an earlier one that"
            }
        }
        return nil
    }

    /// The same for every string in it, with its place.
    package static func problems(in json: JSONValue, at place: JSONPointer) -> [(place: JSONPointer, message: String)] {
        switch json {
        case .string(let text): return Self.problem(in: text).map { [(place, $0)] } ?? []
        case .array(let elements):
            var found: [(place: JSONPointer, message: String)] = []
            for (index, element) in elements.enumerated() {
                found += Self.problems(in: element, at: place.appending(index))
            }
            return found
        case .object(let object):
            var found: [(place: JSONPointer, message: String)] = []
            for member in object.members {
                let inside: JSONPointer = place.appending(member.key)
                if Self.mayRefer(member.key) {
                    found.append((inside, "expected no secret here: one stands for a value, not for a name"))
                }
                found += Self.problems(in: member.value, at: inside)
            }
            return found
        default: return []
        }
    }

    /// Whether any string of a document refers to a secret, or tries to.
    package static func isIn(_ node: Node) -> Bool {
        switch node.kind {
        case .string(let text): return Self.mayRefer(text)
        case .sequence(let nodes): return nodes.contains { Self.isIn($0) }
        case .mapping(let members): return members.contains { Self.isIn($0.value) }
        default: return false
        }
    }

    /// Notes a problem at each of them: where nobody can open any.
    static func refuse(in decoder: NodeDecoder, _ message: String) {
        if case .string(let text) = decoder.node.kind, Self.mayRefer(text) { decoder.problem(message) }
        for element in decoder.elements where Self.isIn(element.node) { Self.refuse(in: element, message) }
        for member in decoder.members where Self.isIn(member.value.node) { Self.refuse(in: member.value, message) }
    }

    /// The references with versions, as `name@7`.
    package static func versioned(in json: JSONValue) -> Set<String> {
        var found: Set<String> = []
        Self.visit(json) { text in
            for part in Self.parts(of: text) {
                if case .reference(let name, let version?, _) = part { found.insert("\(name)@\(version)") }
            }
        }
        return found
    }

    /// The same with each reference replaced by what `value` gives for its name and version; nil leaves it.
    package static func replacing(
        in json: JSONValue, _ value: (_ name: String, _ version: Int64?) throws -> String?
    ) rethrows -> JSONValue {
        switch json {
        case .string(let text): return .string(try Self.replaced(text, value))
        case .array(let elements):
            var replaced: [JSONValue] = []
            replaced.reserveCapacity(elements.count)
            for element in elements { replaced.append(try Self.replacing(in: element, value)) }
            return .array(replaced)
        case .object(let object):
            var replaced: JSONObject = JSONObject()
            for member in object.members { replaced.append(member.key, try Self.replacing(in: member.value, value)) }
            return .object(replaced)
        default: return json
        }
    }

    private static func replaced(
        _ text: String, _ value: (_ name: String, _ version: Int64?) throws -> String?
    ) rethrows -> String {
        let parts: [Part] = Self.parts(of: text)
        if parts.count == 1, case .text = parts[0] { return text }
        var result: String = ""
        for part in parts {
            switch part {
            case .text(let text): result += text
            case .reference(let name, let version, let written): result += try value(name, version) ?? written
            }
        }
        return result
    }

    private static func visit(_ json: JSONValue, _ body: (String) -> Void) {
        switch json {
        case .string(let text): body(text)
        case .array(let elements): for element in elements { Self.visit(element, body) }
        case .object(let object): for member in object.members { Self.visit(member.value, body) }
        default: break
        }
    }

    private enum Part {
        case text(String)
        case reference(name: String, version: Int64?, written: String)
    }

    /// The text in pieces; one piece where nothing is referred to.
    private static func parts(of text: String) -> [Part] {
        guard Self.mayRefer(text) else { return [.text(text)] }
        let bytes: [UInt8] = Array(text.utf8)
        let mark: [UInt8] = Array(Self.scheme.utf8)
        var parts: [Part] = []
        var start: Int = 0
        var at: Int = 0
        while at + mark.count < bytes.count {
            guard bytes[at] == mark[0], bytes[at..<(at + mark.count)].elementsEqual(mark) else {
                at += 1
                continue
            }
            let name: ArraySlice<UInt8> = bytes[(at + mark.count)...].prefix { Self.isNameByte($0) }
            guard !name.isEmpty, name.count <= Self.nameLengthMax else {
                at += 1
                continue
            }
            var end: Int = name.endIndex
            var version: Int64?
            if end < bytes.count, bytes[end] == UInt8(ascii: "@") {
                let digits: ArraySlice<UInt8> = bytes[(end + 1)...].prefix { (0x30...0x39).contains($0) }
                if let number: Int64 = Int64(String(decoding: digits, as: UTF8.self)) {
                    version = number
                    end = digits.endIndex
                }
            }
            if at > start { parts.append(.text(String(decoding: bytes[start..<at], as: UTF8.self))) }
            parts.append(
                .reference(
                    name: String(decoding: name, as: UTF8.self), version: version,
                    written: String(decoding: bytes[at..<end], as: UTF8.self)))
            start = end
            at = end
        }
        if start < bytes.count { parts.append(.text(String(decoding: bytes[start...], as: UTF8.self))) }
        return parts
    }

    /// Whether the scheme is in it. Nearly no text has it, so this costs nothing but a look at each byte.
    private static func mayRefer(_ text: String) -> Bool {
        let mark: StaticString = "secret://"
        var matched: Int = 0
        for byte in text.utf8 {
            if byte == mark.utf8Start[matched] { matched += 1 } else { matched = byte == mark.utf8Start[0] ? 1 : 0 }
            if matched == mark.utf8CodeUnitCount { return true }
        }
        return false
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte) || byte == 0x2d
    }
}
