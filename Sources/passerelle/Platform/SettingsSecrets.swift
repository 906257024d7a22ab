import Contracts
import Documents
import Secrets
import Store

/// `secret://NAME` in place of a value of `passerelle.yaml`: a secret of the platform itself, opened at the start.
///
/// The file is read twice: first without what stands for secrets, for what is needed to open the store and the key ring; then with their
/// values. What the first reading needs can stand for no secret.
enum SettingsSecrets {
    static let scheme: String = "secret://"
    /// The sections that are used after the key ring is open.
    private static let sections: [String] = ["identity", "limits", "telemetry"]

    /// A value that stands for a secret.
    struct Reference: Sendable {
        let name: String
        let place: Problem

        /// `place` without a message says where it is.
        init(name: String, pointer: String, position: SourcePosition) {
            self.name = name
            self.place = Problem(pointer: pointer, line: position.line, column: position.column, message: "")
        }

        func problem(_ message: String) -> Problem {
            Problem(pointer: self.place.pointer, line: self.place.line, column: self.place.column, message: message)
        }
    }

    /// - Throws: `InvalidDocument` with every reference that can stand for nothing.
    static func references(in root: Node) throws(InvalidDocument) -> [Reference] {
        var found: [Reference] = []
        Self.find(in: root, "", &found)
        var problems: [Problem] = []
        for reference in found {
            let section: Substring = reference.place.pointer.dropFirst().prefix { $0 != "/" }
            if !Self.sections.contains(String(section)) {
                problems.append(
                    reference.problem(
                        "expected the value itself: it is used before secrets can be opened; secrets stand in \(Self.sections.joined(separator: ", "))"
                    ))
            } else if reference.name.isEmpty {
                problems.append(reference.problem("expected the name of a secret behind secret://"))
            }
        }
        guard problems.isEmpty else { throw InvalidDocument(problems: problems) }
        return found
    }

    private static func find(in node: Node, _ pointer: String, _ found: inout [Reference]) {
        switch node.kind {
        case .string(let text) where text.hasPrefix(Self.scheme):
            found.append(
                Reference(
                    name: String(text.dropFirst(Self.scheme.count)), pointer: pointer, position: node.position))
        case .sequence(let nodes):
            for (index, element) in nodes.enumerated() { Self.find(in: element, "\(pointer)/\(index)", &found) }
        case .mapping(let members):
            for member in members { Self.find(in: member.value, "\(pointer)/\(member.key.text ?? "")", &found) }
        default: break
        }
    }

    /// The document with values in place of references, or where there are none yet without the members that have them.
    static func replaced(in node: Node, by values: [String: String]?) -> Node {
        func isReference(_ node: Node) -> Bool { node.text?.hasPrefix(Self.scheme) == true }
        switch node.kind {
        case .string(let text):
            guard isReference(node), let value: String = values?[String(text.dropFirst(Self.scheme.count))] else {
                return node
            }
            return Node(.string(value), at: node.position)
        case .sequence(let nodes):
            let kept: [Node] = values == nil ? nodes.filter { !isReference($0) } : nodes
            return Node(.sequence(kept.map { Self.replaced(in: $0, by: values) }), at: node.position)
        case .mapping(let members):
            let kept: [Node.Member] = values == nil ? members.filter { !isReference($0.value) } : members
            return Node(
                .mapping(kept.map { ($0.key, Self.replaced(in: $0.value, by: values)) }), at: node.position)
        default: return node
        }
    }

    /// The settings with the values of the secrets they name.
    ///
    /// - Throws: `CommandError.failed` that names the place of a secret that is not there.
    static func opened(_ settings: Settings, in store: Store, _ sealer: KeyRingSealer) async throws -> Settings {
        guard let again = settings.readAgain else { return settings }
        let secrets: SecretQueries = SecretQueries(sealer: sealer)
        let references: [Reference] = settings.secretReferences
        let names: Set<String> = Set(references.map(\.name))
        let values: [String: String] = try await store.read { reader in
            var values: [String: String] = [:]
            for name in names {
                guard let version: Int64 = try secrets.currentVersion(tenant: "", name: name, in: reader) else {
                    continue
                }
                values[name] = try secrets.value(tenant: "", name: name, version: version, in: reader)
            }
            return values
        }
        var problems: [Problem] = []
        for reference in references where values[reference.name] == nil {
            problems.append(
                reference.problem(
                    "the platform has no secret '\(reference.name)': start without this line, then passerelle secrets set \(reference.name) --platform"
                ))
        }
        guard problems.isEmpty else {
            throw CommandError.failed(InvalidDocument(problems: problems).text(file: settings.fileName))
        }
        var opened: Settings = settings
        opened.takeSecrets(of: try again(values))
        return opened
    }
}
