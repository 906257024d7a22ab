import Contracts
import Documents
import GatewayConfiguration
import JSON
import Secrets
import Store

/// `secret://NAME` in values of `passerelle.yaml`: a secret of the platform itself, opened at the start.
///
/// The file is read twice: first without what stands for secrets, for what is needed to open the store and the key ring; then with their
/// values. What the first reading needs can stand for no secret. In `tls` a reference stands in place of a file, and is followed as
/// files are.
enum SettingsSecrets {
    /// The sections that are used after the key ring is open.
    private static let sections: [String] = ["identity", "limits", "telemetry"]
    /// What stands in place of files.
    private static let files: [String] = [
        "/tls/certificate/cert", "/tls/certificate/key", "/tls/client_certificates/authorities",
    ]

    /// What to use instead, by section.
    private static func instead(of pointer: String) -> String {
        switch pointer.dropFirst().prefix(while: { $0 != "/" }) {
        case "store":
            "the store holds the secrets; its address goes into the variable PASSERELLE_STORE_URL, or into a file that store.url_file names"
        case "keys":
            "the master key opens the secrets; keys.url names a file, a variable (env:NAME) or OpenBao, keys.token_file a file"
        case "listen": "gateways start without secrets; name files that only their owner may read"
        case "backup": "backups are opened without the platform's keys; backup.key_file names a file"
        default: "secrets stand in \(Self.sections.joined(separator: ", ")) and in place of the files of tls"
        }
    }

    /// A value that stands for a secret, or has some in it.
    struct Reference: Sendable {
        let text: String
        let place: Problem

        var names: Set<String> { SecretReference.names(in: .string(self.text)) }

        /// `place` without a message says where it is.
        init(_ text: String, pointer: String, position: SourcePosition) {
            self.text = text
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
            let pointer: String = reference.place.pointer
            let section: Substring = pointer.dropFirst().prefix { $0 != "/" }
            if Self.files.contains(pointer) {
                let isOne: Bool = SecretReference.isOneReference(reference.text)
                if isOne, SecretReference.problem(in: reference.text) == nil { continue }
                problems.append(reference.problem("expected a file, or one secret, secret://NAME, and nothing else"))
            } else if !Self.sections.contains(String(section)) {
                problems.append(reference.problem("expected the value itself: \(Self.instead(of: pointer))"))
            } else if let problem: String = SecretReference.problem(in: reference.text) {
                problems.append(reference.problem(problem))
            }
        }
        guard problems.isEmpty else { throw InvalidDocument(problems: problems) }
        return found
    }

    private static func find(in node: Node, _ pointer: String, _ found: inout [Reference]) {
        switch node.kind {
        case .string(let text) where SecretReference.isIn(node):
            found.append(Reference(text, pointer: pointer, position: node.position))
        case .sequence(let nodes):
            for (index, element) in nodes.enumerated() { Self.find(in: element, "\(pointer)/\(index)", &found) }
        case .mapping(let members):
            for member in members { Self.find(in: member.value, "\(pointer)/\(member.key.text ?? "")", &found) }
        default: break
        }
    }

    /// The document with values in place of references, or where there are none yet without the members that have them. What stands
    /// in place of files stays.
    static func document(_ root: Node, with values: [String: String]?) -> Node {
        guard SecretReference.isIn(root), case .mapping(let members) = root.kind else { return root }
        var opened: [Node.Member] = []
        for member in members {
            let isFiles: Bool = member.key.text == "tls"
            opened.append((member.key, isFiles ? member.value : Self.replaced(in: member.value, by: values)))
        }
        return Node(.mapping(opened), at: root.position)
    }

    private static func replaced(in node: Node, by values: [String: String]?) -> Node {
        func isReference(_ node: Node) -> Bool { node.text != nil && SecretReference.isIn(node) }
        switch node.kind {
        case .string(let text):
            guard isReference(node), let values: [String: String],
                let value: String = SecretReference.replacing(
                    in: .string(text), { name, _ in values[name] }
                ).text
            else { return node }
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
        let names: Set<String> = references.reduce(into: []) { $0.formUnion($1.names) }
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
        for reference in references {
            for name in reference.names.sorted() where values[name] == nil {
                problems.append(
                    reference.problem(
                        "the platform has no secret '\(name)': start without this line, then passerelle secrets set \(name) --platform"
                    ))
            }
        }
        guard problems.isEmpty else {
            throw CommandError.failed(InvalidDocument(problems: problems).text(file: settings.fileName))
        }
        var opened: Settings = settings
        opened.takeSecrets(of: try again(values))
        return opened
    }
}

/// What refers to secrets: settings of this process to the platform's own, live APIs to those of tenants.
struct SettingsAndLive: SecretUsers {
    private let settings: [SettingsSecrets.Reference]
    private let live: any SecretUsers

    init(settings: Settings, live: any SecretUsers) {
        self.settings = settings.secretReferences
        self.live = live
    }

    func uses(of secret: String, tenant: String, in store: any Queryable) throws -> [SecretUse] {
        guard tenant.isEmpty else { return try self.live.uses(of: secret, tenant: tenant, in: store) }
        return self.settings.filter { $0.names.contains(secret) }.map { SecretUse(.setting, $0.place.pointer) }
    }
}
