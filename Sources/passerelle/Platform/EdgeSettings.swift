import Documents
import GatewayConfiguration
import HTTP
import REST

/// `proxies` of the settings file: who stands in front of the control plane.
enum EdgeSettings {
    static func readProxies(_ decoder: NodeDecoder, _ settings: inout Settings) {
        guard let fields: NodeFields = decoder.fields(["trusted", "field"]) else { return }
        let ranges: [AddressRange]? = fields["trusted"]?.list(count: 0...TrustedProxies.rangesMax) { element in
            element.parsed(self.expectedRange) { Self.range($0) }
        }
        settings.edge.proxies.ranges = ranges ?? settings.edge.proxies.ranges
        let field: TrustedProxies.Field? = fields.choice(
            "field", default: settings.edge.proxies.field,
            ["x-forwarded-for": .xForwardedFor, "forwarded": .forwarded])
        settings.edge.proxies.field = field ?? settings.edge.proxies.field
    }

    private static let expectedRange: String =
        "an address or a range of addresses of proxies such as 10.1.0.0/16, not everybody's"

    /// Whoever trusts everybody lets every caller choose the address it is known by.
    private static func range(_ text: String) -> AddressRange? { text.hasSuffix("/0") ? nil : AddressRange(text) }

    /// `--trusted-proxies A,B`.
    static func proxies(_ text: String, source: String) throws(CommandError) -> [AddressRange] {
        let parts: [Substring] = text.split(separator: ",")
        guard parts.count <= TrustedProxies.rangesMax else {
            throw .usage("\(source) has \(parts.count) ranges; expected at most \(TrustedProxies.rangesMax).")
        }
        var ranges: [AddressRange] = []
        for part in parts {
            guard let range: AddressRange = Self.range(String(part)) else {
                throw .usage("\(source) has '\(part)'; expected \(Self.expectedRange).")
            }
            ranges.append(range)
        }
        return ranges
    }

    /// `--proxy-field x-forwarded-for|forwarded`.
    static func field(_ text: String, source: String) throws(CommandError) -> TrustedProxies.Field {
        guard let field: TrustedProxies.Field = TrustedProxies.Field(rawValue: text) else {
            throw .usage("\(source) is '\(text)'; expected x-forwarded-for or forwarded.")
        }
        return field
    }
}
