package import Documents
package import JSON

extension HashedDocument {
    /// Puts in an entry written as JSON: what a control plane keeps of its APIs, applications and plans.
    ///
    /// Throws every problem of the entry, by JSON pointer; the document is then as it was.
    /// - Parameter secrets: what the references of an API stand for.
    package mutating func put(
        _ kind: EntryKind, json: JSONValue, secrets: EntrySecrets = [:]
    ) throws(InvalidDocument) {
        if kind == .api, !secrets.isEmpty { return try self.set(api: json, secrets: secrets) }
        let node: Node = try GatewayDocument.parse(json.serialized(), limits: GatewayDocument.limits)
        switch kind {
        case .api: self.set(try NodeDecoder.decode(node) { APIDefinition.read($0) })
        case .application: self.set(try NodeDecoder.decode(node) { ApplicationDefinition.read($0) })
        case .plan: self.set(try NodeDecoder.decode(node) { PlanDefinition.read($0) })
        }
    }
}

extension APIDefinition {
    /// What is wrong with an API written as JSON, its rules and its own routes included; empty when a gateway can run it.
    package static func problems(json: JSONValue) -> [Problem] {
        let whole: JSONValue = .object(["version": .int(GatewayDocument.formatVersion), "apis": .array([json])])
        do throws(InvalidDocument) {
            _ = try GatewayDocument.read(whole.serialized())
            return []
        } catch {
            return error.problems
        }
    }
}
