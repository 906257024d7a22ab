/// What answers say by a `cors` policy: the decision of the gateway and of the control plane, free of where requests come from.
package struct CORSGrants: Sendable {
    package typealias Field = (name: String, value: String)

    /// Bytes of `Access-Control-Request-Headers` that are granted as asked for at most.
    package static let headersBytesMax: Int = 4096

    private let policy: CORSPolicy
    private let methods: String
    private let exposed: String
    private let maxAge: String

    package init(_ policy: CORSPolicy) {
        self.policy = policy
        self.methods = policy.methods.joined(separator: ", ")
        self.exposed = policy.exposed.joined(separator: ", ")
        self.maxAge = "\(policy.maxAge.components.seconds)"
    }

    /// Whether pages of this origin may read answers.
    package func allows(_ origin: String) -> Bool {
        guard let origins: [CORSPolicy.Origin] = self.policy.origins else { return true }
        let lower: String = origin.lowercased()
        for allowed in origins where allowed.matches(lower) { return true }
        return false
    }

    /// What an answer says; without an allowed origin at most `Vary`, and the browser keeps the answer from the page.
    ///
    /// - Parameter origin: the request's `Origin`, where it is allowed.
    package func answer(allowed origin: String?) -> [Field] {
        // Whatever the origin: a cache must not give one origin's answer to another.
        let variesByOrigin: Bool = self.policy.origins != nil
        var fields: [Field] = variesByOrigin ? [("Vary", "Origin")] : []
        guard let origin: String else { return fields }
        fields.append(("Access-Control-Allow-Origin", variesByOrigin ? origin : "*"))
        if self.policy.allowsCredentials { fields.append(("Access-Control-Allow-Credentials", "true")) }
        if !self.exposed.isEmpty { fields.append(("Access-Control-Expose-Headers", self.exposed)) }
        return fields
    }

    /// What the answer to a preflight says; with nothing granted the browser gives up.
    ///
    /// - Parameters:
    ///   - origin: the request's `Origin`, where it is allowed.
    ///   - headers: its `Access-Control-Request-Headers`.
    ///   - asksForPrivateNetwork: whether its `Access-Control-Request-Private-Network` is `true`.
    package func preflight(allowed origin: String?, headers: String?, asksForPrivateNetwork: Bool) -> [Field] {
        var fields: [Field] = [("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")]
        guard let origin: String else { return fields }
        fields.append(("Access-Control-Allow-Origin", self.policy.origins == nil ? "*" : origin))
        if self.policy.allowsCredentials { fields.append(("Access-Control-Allow-Credentials", "true")) }
        fields.append(("Access-Control-Allow-Methods", self.methods))
        if let granted: String = self.granted(headers) { fields.append(("Access-Control-Allow-Headers", granted)) }
        fields.append(("Access-Control-Max-Age", self.maxAge))
        if self.policy.allowsPrivateNetwork, asksForPrivateNetwork {
            fields.append(("Access-Control-Allow-Private-Network", "true"))
        }
        return fields
    }

    /// The list of the policy, or the fields that are asked for: `*` would not cover `Authorization`, nor credentials.
    private func granted(_ asked: String?) -> String? {
        if let headers: [String] = self.policy.headers {
            return headers.isEmpty ? nil : headers.joined(separator: ", ")
        }
        guard let asked: String, !asked.isEmpty, asked.utf8.count <= Self.headersBytesMax else { return nil }
        for name in asked.split(separator: ",") {
            let trimmed: [UInt8] = name.utf8.filter { $0 != 0x20 && $0 != 0x09 }
            if !trimmed.isEmpty, HeaderRules.name(String(decoding: trimmed, as: UTF8.self)) == nil { return nil }
        }
        return asked
    }
}
