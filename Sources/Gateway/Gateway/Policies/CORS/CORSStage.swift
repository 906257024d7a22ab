import GatewayConfiguration
import HTTP

/// Answers preflights and lets pages of allowed origins read answers (the Fetch standard's CORS protocol).
///
/// A request of another origin that is not allowed goes on without the fields: the browser keeps its answer from the page.
/// Whether a caller may call is decided by authentication, never by `Origin`, which everybody can write.
final class CORSStage: RequestStage, @unchecked Sendable {
    private let grants: CORSGrants

    init(_ policy: CORSPolicy) {
        self.grants = CORSGrants(policy)
        super.init(rank: .cors)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        var origin: String? = request.fields.text("origin")
        if let named: String = origin, !self.grants.allows(named) { origin = nil }
        if CORSPreflight.method(of: request) != nil { return self.answerPreflight(request, allowed: origin) }
        for field in self.grants.answer(allowed: origin) {
            if field.name == "Vary" {
                context.answerFields.add(field.name, field.value)
            } else {
                context.answerFields.set(field.name, field.value)
            }
        }
        return .next
    }

    /// 204 with what is granted.
    private func answerPreflight(_ request: RequestView, allowed origin: String?) -> StageOutcome {
        var fields: FieldLines = FieldLines()
        let granted: [CORSGrants.Field] = self.grants.preflight(
            allowed: origin, headers: request.fields.text("access-control-request-headers"),
            asksForPrivateNetwork: request.fields.text("access-control-request-private-network") == "true")
        for field in granted { fields.add(field.name, field.value) }
        return .answer(LocalAnswer(status: 204, fields: fields, enters: .end))
    }
}

/// A request that a browser sends to ask whether it may send another one.
enum CORSPreflight {
    /// The method it asks about; nil when this is no preflight.
    static func method(of request: RequestView) -> MethodCode? {
        guard request.method == .options, request.fields.text("origin") != nil,
            let method: String = request.fields.text("access-control-request-method")
        else { return nil }
        return MethodCode(method)
    }
}

extension FieldTable {
    /// The value of the first field of this name as text; nil when there is none. `name` is lower case.
    func text(_ name: StaticString) -> String? {
        let index: Int = self.index(of: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
        return index < 0 ? nil : String(decoding: self.value(at: index), as: UTF8.self)
    }

    /// The same for a name that is made at run time.
    func text(named name: String) -> String? {
        var name: String = name
        return name.withUTF8 { (bytes: UnsafeBufferPointer<UInt8>) -> String? in
            let index: Int = self.index(of: UnsafeRawBufferPointer(bytes))
            return index < 0 ? nil : String(decoding: self.value(at: index), as: UTF8.self)
        }
    }

    /// All values of this name, in order.
    func texts(named name: String) -> [String] {
        var name: String = name
        return name.withUTF8 { (bytes: UnsafeBufferPointer<UInt8>) -> [String] in
            var values: [String] = []
            var index: Int = self.index(of: UnsafeRawBufferPointer(bytes))
            while index >= 0 {
                values.append(String(decoding: self.value(at: index), as: UTF8.self))
                index = self.index(of: UnsafeRawBufferPointer(bytes), from: index + 1)
            }
            return values
        }
    }
}

/// Bytes of header fields.
enum FieldBytes {
    /// `tchar` of RFC 9110 section 5.6.2.
    static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), 0x21, 0x23, 0x24, 0x25, 0x26, 0x27, 0x2a, 0x2b, 0x2d, 0x2e, 0x5e,
            0x5f,
            0x60, 0x7c, 0x7e:
            return true
        default: return false
        }
    }

    /// The text as a field's value: characters that could end the line become spaces.
    static func value(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { return text }
        return String(decoding: text.utf8.map { $0 < 0x20 || $0 == 0x7f ? 0x20 : $0 }, as: UTF8.self)
    }
}
