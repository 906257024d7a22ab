import Bytes
import GatewayConfiguration
import JSON
import Tokens

/// Tells the upstream who calls, in fields that only the gateway can set.
final class IdentityHeadersStage: RequestStage, @unchecked Sendable {
    private let fields: [IdentityHeadersPolicy.Field]
    private let names: [[UInt8]]

    /// Longest value of a field; a longer one is left out.
    private static let valueBytesMax: Int = 4096

    init(_ policy: IdentityHeadersPolicy) {
        self.fields = policy.fields
        self.names = policy.fields.map { Array($0.name.utf8) }
        super.init(rank: .accessControl)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        context.edits.reserve(self.names, from: request.fields)
        for (place, field) in self.fields.enumerated() {
            guard let value: String = self.value(field.source, context, decision.forwarding) else { continue }
            Self.add(self.names[place], value, to: &context.edits.addedLines)
        }
        return .next
    }

    private func value(
        _ source: IdentityHeadersPolicy.Source, _ context: PolicyContext, _ forwarding: Forwarding
    ) -> String? {
        switch source {
        case .application:
            return forwarding.application < 0 ? nil : context.snapshot.applications[Int(forwarding.application)].id
        case .subscription:
            return forwarding.subscription < 0 ? nil : context.snapshot.subscriptions[Int(forwarding.subscription)].id
        case .plan:
            return forwarding.subscription < 0 ? nil : context.snapshot.subscriptions[Int(forwarding.subscription)].plan
        case .subject: return context.subject
        case .scopes: return context.scopes.isEmpty ? nil : context.scopes.joined(separator: " ")
        case .groups: return context.groups.isEmpty ? nil : context.groups.joined(separator: ",")
        case .method:
            if let method: AuthenticationMethod = context.method { return method.name }
            return forwarding.application < 0 ? nil : AuthenticationMethod.apiKey.name
        case .claim(let path):
            guard let claims: JSONObject = context.identity?.claims, let value: JSONValue = path.value(in: claims),
                value != .null
            else { return nil }
            return value.text ?? value.jsonText
        }
    }

    /// Writes a line. Bytes that cannot stand in a field, and the percent sign, are percent-encoded: a claim can hold line ends, and
    /// must not begin a field of its own.
    private static func add(_ name: [UInt8], _ value: String, to lines: inout [UInt8]) {
        guard !value.isEmpty, value.utf8.count <= Self.valueBytesMax else { return }
        lines.append(contentsOf: name)
        lines.append(contentsOf: ": ".utf8)
        for byte in value.utf8 {
            if byte >= 0x20 && byte < 0x7f && byte != UInt8(ascii: "%") {
                lines.append(byte)
            } else {
                lines.append(UInt8(ascii: "%"))
                lines.append(contentsOf: Hex.encode([byte]).uppercased().utf8)
            }
        }
        lines.append(contentsOf: "\r\n".utf8)
    }
}
