import Bytes

/// One signature of a request, as its two fields say it (RFC 9421 section 4):
/// ```
/// Signature-Input: sig=("@method" "@path" "content-digest");created=1700000000;keyid="k";nonce="n";alg="hmac-sha256"
/// Signature: sig=:base64:
/// ```
/// Components with parameters of their own are not known here and refused.
struct MessageSignature {
    /// In the order they were signed; lower case.
    var components: [String] = []
    var created: Int64?
    var expires: Int64?
    var nonce: String?
    var keyID: String?
    var algorithm: String?
    var signature: [UInt8] = []
    /// The inner list with its parameters as it was sent: the value of `@signature-params`.
    var parameters: [UInt8] = []

    static let componentsMax: Int = 64
    private static let membersMax: Int = 8
    static let bytesMax: Int = 8192

    /// The first signature whose label stands in both fields and whose algorithm is the one known here. Nil when there is none, or
    /// a field is not what it should be.
    init?(input: [UInt8], signature: [UInt8]) {
        guard input.count <= Self.bytesMax, signature.count <= Self.bytesMax,
            let signatures: [(label: String, bytes: [UInt8])] = Self.signatures(signature)
        else { return nil }
        var reader: FieldReader = FieldReader(input)
        var members: Int = 0
        var found: MessageSignature?
        while !reader.isAtEnd {
            guard members < Self.membersMax, let label: String = reader.key(), reader.take("="),
                var member: MessageSignature = MessageSignature(&reader)
            else { return nil }
            members += 1
            if let bytes: [UInt8] = signatures.first(where: { $0.label == label })?.bytes, found == nil,
                member.algorithm == nil || member.algorithm == "hmac-sha256"
            {
                member.signature = bytes
                found = member
            }
            if !reader.endOfMember() { return nil }
        }
        guard let found else { return nil }
        self = found
    }

    private init?(_ reader: inout FieldReader) {
        let start: Int = reader.position
        guard reader.take("(") else { return nil }
        var seen: Set<String> = []
        while true {
            reader.skipSpaces()
            if reader.take(")") { break }
            guard self.components.count < Self.componentsMax, let name: String = reader.string(), !reader.isNext(";"),
                // RFC 9421 section 2: names are lower case, and none stands twice.
                name == name.lowercased(), seen.insert(name).inserted, name != "@signature-params"
            else { return nil }
            self.components.append(name)
        }
        var names: Set<String> = []
        while reader.take(";") {
            reader.skipSpaces()
            guard let name: String = reader.key(), names.insert(name).inserted, reader.take("=") else { return nil }
            guard self.set(name, &reader) else { return nil }
        }
        self.parameters = reader.bytes(from: start)
    }

    private mutating func set(_ name: String, _ reader: inout FieldReader) -> Bool {
        switch name {
        case "created":
            self.created = reader.integer()
            return self.created != nil
        case "expires":
            self.expires = reader.integer()
            return self.expires != nil
        case "nonce":
            self.nonce = reader.string()
            return self.nonce != nil
        case "keyid":
            self.keyID = reader.string()
            return self.keyID != nil
        case "alg":
            self.algorithm = reader.string()
            return self.algorithm != nil
        case "tag": return reader.string() != nil
        default: return false
        }
    }

    /// `label=:base64:` and so on.
    private static func signatures(_ field: [UInt8]) -> [(label: String, bytes: [UInt8])]? {
        var reader: FieldReader = FieldReader(field)
        var found: [(label: String, bytes: [UInt8])] = []
        while !reader.isAtEnd {
            guard found.count < Self.membersMax, let label: String = reader.key(), reader.take("="),
                let bytes: [UInt8] = reader.byteSequence(), !found.contains(where: { $0.label == label }),
                reader.endOfMember()
            else { return nil }
            found.append((label, bytes))
        }
        return found
    }
}

/// The digest of a body by the algorithm known here: `Content-Digest: sha-256=:…:` (RFC 9530 section 2).
enum ContentDigest {
    /// The SHA-256 a field states; nil when it states none, or is not a dictionary of byte sequences.
    static func sha256(_ field: [UInt8]) -> [UInt8]? {
        guard field.count <= MessageSignature.bytesMax else { return nil }
        var reader: FieldReader = FieldReader(field)
        var found: [UInt8]?
        while !reader.isAtEnd {
            guard let name: String = reader.key(), reader.take("="), let bytes: [UInt8] = reader.byteSequence(),
                reader.endOfMember()
            else { return nil }
            if name == "sha-256" {
                if found != nil { return nil }
                found = bytes
            }
        }
        return found
    }
}

/// Reads the few kinds of structured fields (RFC 8941 section 4.2) that signatures use.
private struct FieldReader {
    private let field: [UInt8]
    private(set) var position: Int = 0

    init(_ field: [UInt8]) {
        self.field = field
        self.skipSpaces()
    }

    var isAtEnd: Bool { self.position == self.field.count }

    func bytes(from start: Int) -> [UInt8] { Array(self.field[start..<self.position]) }

    func isNext(_ character: Unicode.Scalar) -> Bool { self.next == UInt8(ascii: character) }

    private var next: UInt8? { self.position < self.field.count ? self.field[self.position] : nil }

    mutating func skipSpaces() {
        while self.next == 0x20 { self.position += 1 }
    }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard self.isNext(character) else { return false }
        self.position += 1
        return true
    }

    /// The end of the field, or a comma with another member behind it.
    mutating func endOfMember() -> Bool {
        self.skipSpacesAndTabs()
        if self.isAtEnd { return true }
        guard self.take(",") else { return false }
        self.skipSpacesAndTabs()
        return !self.isAtEnd
    }

    private mutating func skipSpacesAndTabs() {
        while self.next == 0x20 || self.next == 0x09 { self.position += 1 }
    }

    /// A key: lower-case letters, digits, `_`, `-`, `.`, `*`.
    mutating func key() -> String? {
        let start: Int = self.position
        while let byte: UInt8 = self.next {
            let isFirst: Bool = (byte >= 0x61 && byte <= 0x7a) || byte == 0x2a
            let isLater: Bool = (byte >= 0x30 && byte <= 0x39) || byte == 0x5f || byte == 0x2d || byte == 0x2e
            guard isFirst || (isLater && self.position > start) else { break }
            self.position += 1
        }
        return self.position > start ? String(decoding: self.field[start..<self.position], as: UTF8.self) : nil
    }

    /// A quoted text; `\"` and `\\` are the only escapes.
    mutating func string() -> String? {
        guard self.take("\"") else { return nil }
        var text: [UInt8] = []
        while let byte: UInt8 = self.next {
            self.position += 1
            switch byte {
            case 0x22: return String(decoding: text, as: UTF8.self)
            case 0x5c:
                guard let escaped: UInt8 = self.next, escaped == 0x22 || escaped == 0x5c else { return nil }
                self.position += 1
                text.append(escaped)
            case 0x20...0x7e: text.append(byte)
            default: return nil
            }
        }
        return nil
    }

    /// An integer of at most 15 digits.
    mutating func integer() -> Int64? {
        let isNegative: Bool = self.take("-")
        var value: Int64 = 0
        var digits: Int = 0
        while let byte: UInt8 = self.next, byte >= 0x30, byte <= 0x39, digits < 15 {
            value = value * 10 + Int64(byte - 0x30)
            digits += 1
            self.position += 1
        }
        return digits == 0 ? nil : (isNegative ? -value : value)
    }

    /// `:base64:`
    mutating func byteSequence() -> [UInt8]? {
        guard self.take(":") else { return nil }
        let start: Int = self.position
        while let byte: UInt8 = self.next, byte != 0x3a { self.position += 1 }
        let text: String = String(decoding: self.field[start..<self.position], as: UTF8.self)
        guard self.take(":") else { return nil }
        return Base64.decode(text)
    }
}
