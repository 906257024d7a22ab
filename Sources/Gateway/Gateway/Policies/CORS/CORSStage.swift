import GatewayConfiguration
import HTTP

/// Answers preflights and lets pages of allowed origins read answers (the Fetch standard's CORS protocol).
///
/// A request of another origin that is not allowed goes on without the fields: the browser keeps its answer from the page.
/// Whether a caller may call is decided by authentication, never by `Origin`, which everybody can write.
final class CORSStage: RequestStage, @unchecked Sendable {
    private let policy: CORSPolicy
    private let methods: String
    private let exposed: String
    private let maxAge: String

    init(_ policy: CORSPolicy) {
        self.policy = policy
        self.methods = policy.methods.joined(separator: ", ")
        self.exposed = policy.exposed.joined(separator: ", ")
        self.maxAge = "\(policy.maxAge.components.seconds)"
        super.init(rank: .cors)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        // Whatever the origin: a cache must not give one origin's answer to another.
        let variesByOrigin: Bool = self.policy.origins != nil
        let origin: String? = request.fields.text("origin")
        if CORSPreflight.method(of: request) != nil { return self.answerPreflight(request, origin) }
        if variesByOrigin { context.answerFields.add("Vary", "Origin") }
        guard let origin, self.isAllowed(origin) else { return .next }
        context.answerFields.set("Access-Control-Allow-Origin", variesByOrigin ? origin : "*")
        if self.policy.allowsCredentials { context.answerFields.set("Access-Control-Allow-Credentials", "true") }
        if !self.exposed.isEmpty { context.answerFields.set("Access-Control-Expose-Headers", self.exposed) }
        return .next
    }

    private func isAllowed(_ origin: String) -> Bool {
        guard let origins: [CORSPolicy.Origin] = self.policy.origins else { return true }
        let lower: String = origin.lowercased()
        for allowed in origins where allowed.matches(lower) { return true }
        return false
    }

    /// 204 with what is granted; with nothing granted the browser gives up.
    private func answerPreflight(_ request: RequestView, _ origin: String?) -> StageOutcome {
        var fields: FieldLines = FieldLines()
        fields.add("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
        if let origin, self.isAllowed(origin) {
            fields.add("Access-Control-Allow-Origin", self.policy.origins == nil ? "*" : origin)
            if self.policy.allowsCredentials { fields.add("Access-Control-Allow-Credentials", "true") }
            fields.add("Access-Control-Allow-Methods", self.methods)
            if let granted: String = self.grantedHeaders(request) {
                fields.add("Access-Control-Allow-Headers", granted)
            }
            fields.add("Access-Control-Max-Age", self.maxAge)
            if self.policy.allowsPrivateNetwork, request.fields.text("access-control-request-private-network") == "true"
            {
                fields.add("Access-Control-Allow-Private-Network", "true")
            }
        }
        return .answer(LocalAnswer(status: 204, fields: fields, enters: .end))
    }

    /// The list of the policy, or the fields that are asked for: `*` would not cover `Authorization`, nor credentials.
    private func grantedHeaders(_ request: RequestView) -> String? {
        if let headers: [String] = self.policy.headers {
            return headers.isEmpty ? nil : headers.joined(separator: ", ")
        }
        guard let asked: String = request.fields.text("access-control-request-headers"), !asked.isEmpty,
            asked.utf8.count <= CORSPreflight.headersBytesMax
        else { return nil }
        for name in asked.split(separator: ",") {
            let trimmed: [UInt8] = name.utf8.filter { $0 != 0x20 && $0 != 0x09 }
            if !trimmed.allSatisfy(FieldBytes.isToken) { return nil }
        }
        return asked
    }
}

/// A request that a browser sends to ask whether it may send another one.
enum CORSPreflight {
    /// Bytes of `Access-Control-Request-Headers` that are granted as asked for at most.
    static let headersBytesMax: Int = 4096

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
