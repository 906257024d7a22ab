package import Documents
package import JSON

extension ReadEntry {
    /// Reads an entry written as JSON: what a control plane keeps of its APIs, applications, plans and tenants.
    ///
    /// Throws every problem of the entry, by JSON pointer, without the values of secrets.
    /// - Parameter secrets: what the references of an API stand for.
    package init(_ kind: EntryKind, json: JSONValue, secrets: EntrySecrets = [:]) throws(InvalidDocument) {
        self.init(
            definition: try Self.read(kind, Self.opened(json, secrets), secrets), form: EntryForm(of: json),
            secrets: secrets)
    }

    /// The references in it replaced.
    static func opened(_ json: JSONValue, _ secrets: EntrySecrets) -> Node {
        if secrets.isEmpty { return Node(json: json) }
        return Node(
            json: SecretReference.replacing(in: json) { name, version in version.flatMap { secrets["\(name)@\($0)"] } })
    }

    /// What is wrong with it is told without the values of secrets.
    static func read(
        _ kind: EntryKind, _ node: Node, _ secrets: EntrySecrets
    ) throws(InvalidDocument) -> Definition {
        do throws(InvalidDocument) {
            switch kind {
            case .api: return .api(try NodeDecoder.decode(node) { APIDefinition.read($0) })
            case .application: return .application(try NodeDecoder.decode(node) { ApplicationDefinition.read($0) })
            case .plan: return .plan(try NodeDecoder.decode(node) { PlanDefinition.read($0) })
            case .tenant: return .tenant(try NodeDecoder.decode(node) { TenantDefinition.read($0) })
            }
        } catch {
            if secrets.isEmpty { throw error }
            throw Self.hiding(secrets, in: error)
        }
    }

    private static func hiding(_ secrets: EntrySecrets, in error: InvalidDocument) -> InvalidDocument {
        var problems: [Problem] = []
        for problem in error.problems {
            var message: String = problem.message
            for (reference, value) in secrets {
                message = message.replacing(value, with: "\(SecretReference.scheme)\(reference)")
            }
            problems.append(
                Problem(pointer: problem.pointer, line: problem.line, column: problem.column, message: message))
        }
        return InvalidDocument(problems: problems)
    }
}

extension HashedDocument {
    /// Puts in an entry written as JSON; see `ReadEntry`. When that throws, the document is as it was.
    package mutating func put(
        _ kind: EntryKind, json: JSONValue, secrets: EntrySecrets = [:]
    ) throws(InvalidDocument) {
        self.put(try ReadEntry(kind, json: json, secrets: secrets))
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
