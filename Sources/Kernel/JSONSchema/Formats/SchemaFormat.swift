import JSON
import Patterns

/// The values of `format` that are checked.
enum SchemaFormat: String, CaseIterable, Sendable {
    case dateTime = "date-time"
    case date
    case time
    case duration
    case uuid
    case uri
    case uriReference = "uri-reference"
    case uriTemplate = "uri-template"
    case iri
    case iriReference = "iri-reference"
    case email
    case idnEmail = "idn-email"
    case hostname
    case idnHostname = "idn-hostname"
    case ipv4
    case ipv6
    case jsonPointer = "json-pointer"
    case relativeJSONPointer = "relative-json-pointer"
    case regex
    /// OpenAPI.
    case int32
    case int64
    case byte

    /// What a problem says was expected.
    var words: String {
        switch self {
        case .dateTime: return "a date and time as in 2026-01-02T03:04:05Z (RFC 3339)"
        case .date: return "a date as in 2026-01-02 (RFC 3339)"
        case .time: return "a time as in 03:04:05Z (RFC 3339)"
        case .duration: return "a duration as in P3DT12H (RFC 3339 appendix A)"
        case .uuid: return "a UUID as in 0190a5d2-7c3f-7000-8000-0123456789ab"
        case .uri: return "an absolute URI as in https://example.com/path (RFC 3986)"
        case .uriReference: return "a URI reference as in /path?a=b (RFC 3986)"
        case .uriTemplate: return "a URI template as in /orders/{id} (RFC 6570)"
        case .iri: return "an absolute IRI as in https://example.com/café (RFC 3987)"
        case .iriReference: return "an IRI reference as in /café (RFC 3987)"
        case .email: return "an e-mail address as in name@example.com"
        case .idnEmail: return "an e-mail address as in name@bücher.example"
        case .hostname: return "a host name as in api.example.com"
        case .idnHostname: return "a host name as in bücher.example"
        case .ipv4: return "an IPv4 address as in 192.0.2.1"
        case .ipv6: return "an IPv6 address as in 2001:db8::1"
        case .jsonPointer: return "a JSON pointer as in /a/0 (RFC 6901)"
        case .relativeJSONPointer: return "a relative JSON pointer as in 1/a"
        case .regex: return "a regular expression of ECMA-262"
        case .int32: return "an integer of 32 bits"
        case .int64: return "an integer of 64 bits"
        case .byte: return "Base64 (RFC 4648)"
        }
    }

    /// Whether a string is in this format; formats of numbers do not concern strings.
    func matches(_ text: String) -> Bool {
        let bytes: [UInt8] = Array(text.utf8)
        switch self {
        case .dateTime: return DateFormat.isDateTime(bytes)
        case .date: return DateFormat.isDate(bytes[...])
        case .time: return DateFormat.isTime(bytes[...])
        case .duration: return DurationFormat.matches(bytes)
        case .uuid: return NameFormat.isUUID(bytes)
        case .uri: return URIFormat(isInternational: false).isURI(bytes)
        case .uriReference: return URIFormat(isInternational: false).isReference(bytes)
        case .uriTemplate: return URITemplateFormat.matches(bytes)
        case .iri: return URIFormat(isInternational: true).isURI(bytes)
        case .iriReference: return URIFormat(isInternational: true).isReference(bytes)
        case .email: return NameFormat.isEmail(text, isInternational: false)
        case .idnEmail: return NameFormat.isEmail(text, isInternational: true)
        case .hostname: return HostnameFormat.matches(text, isInternational: false)
        case .idnHostname: return HostnameFormat.matches(text, isInternational: true)
        case .ipv4: return AddressFormat.isIPv4(bytes[...])
        case .ipv6: return AddressFormat.isIPv6(bytes)
        case .jsonPointer: return JSONPointer(parsing: text) != nil
        case .relativeJSONPointer: return NameFormat.isRelativePointer(text)
        case .regex: return (try? RegularExpression(text, dialect: .ecmaScript, makesMachineCode: false)) != nil
        case .int32, .int64: return true
        case .byte: return NameFormat.isBase64(bytes)
        }
    }

    /// Whether a number is in this format; formats of strings do not concern numbers.
    func matches(_ number: JSONValue) -> Bool {
        switch self {
        case .int32: return number.integer.map { Int32(exactly: $0) != nil } ?? false
        case .int64: return number.integer != nil
        default: return true
        }
    }
}
