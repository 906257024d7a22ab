import Documents
import JSON

/// `client_certificate`: a caller is known by the certificate of its connection, which the listener has verified.
package struct ClientCertificatePolicy: Sendable, Equatable {
    /// Whether the certificate must be a credential of an application. Default true; false accepts every certificate that the
    /// listener's authorities vouch for.
    package var requiresApplication: Bool

    package init(requiresApplication: Bool = true) {
        self.requiresApplication = requiresApplication
    }
}

extension ClientCertificatePolicy {
    static func read(_ decoder: NodeDecoder) -> ClientCertificatePolicy? {
        guard let fields: NodeFields = decoder.fields(["application"]) else { return nil }
        return fields.choice("application", default: true, ["required": true, "optional": false]).map {
            ClientCertificatePolicy(requiresApplication: $0)
        }
    }

    func write(_ body: inout DefinitionWriter) {
        if !self.requiresApplication { body.set("application", "optional") }
    }
}
