import Documents
import JSON

/// What is taken out of a document that has been checked.
extension OpenAPIDocument {
    init(checked root: Node, _ version: OpenAPIVersion) {
        let info: Node? = root["info"]
        let servers: [OpenAPIServer] = version == .v2 ? Self.servers2(root) : Self.servers3(root)
        self.version = version
        self.title = info?["title"]?.text ?? ""
        self.apiVersion = info?["version"]?.text ?? ""
        self.summary = info?["summary"]?.text
        self.description = info?["description"]?.text
        self.operations = Self.operations(root, Specification.of(version))
        self.servers = servers
        self.basePath =
            version == .v2
            ? root["basePath"]?.text.flatMap(ServerURL.path(of:)) : servers.first.flatMap { ServerURL.path(of: $0.url) }
        self.root = root
    }

    private static func operations(_ root: Node, _ specification: Specification) -> [OpenAPIOperation] {
        var operations: [OpenAPIOperation] = []
        for member: Node.Member in root["paths"]?.members ?? [] {
            guard let path: String = member.key.text, !path.hasPrefix("x-") else { continue }
            let home: JSONPointer = JSONPointer(tokens: ["paths", path])
            let (item, place): (Node, JSONPointer) = Self.followed(member.value, home, root)
            for field: Node.Member in item.members ?? [] {
                guard let method: String = field.key.text, specification.methods.contains(method) else { continue }
                operations.append(Self.operation(field.value, method, path, place.appending(method)))
            }
        }
        return operations
    }

    private static func operation(
        _ node: Node, _ method: String, _ path: String, _ place: JSONPointer
    ) -> OpenAPIOperation {
        var tags: [String] = []
        for tag: Node in node["tags"]?.elements ?? [] { if let text: String = tag.text { tags.append(text) } }
        var isDeprecated: Bool = false
        if case .bool(true) = node["deprecated"]?.kind { isDeprecated = true }
        return OpenAPIOperation(
            method: method.uppercased(), path: path, operationID: node["operationId"]?.text,
            summary: node["summary"]?.text,
            tags: tags, deprecated: isDeprecated, pointer: place.text)
    }

    /// A path item may stand elsewhere; the check has seen to it that the chain ends.
    private static func followed(_ item: Node, _ place: JSONPointer, _ root: Node) -> (Node, JSONPointer) {
        var (item, place): (Node, JSONPointer) = (item, place)
        while let text: String = item["$ref"]?.text, let next: JSONPointer = JSONPointer(fragment: text),
            let node: Node = root.resolve(next)
        {
            (item, place) = (node, next)
        }
        return (item, place)
    }

    private static func servers3(_ root: Node) -> [OpenAPIServer] {
        var servers: [OpenAPIServer] = []
        for server: Node in root["servers"]?.elements ?? [] {
            guard let url: String = server["url"]?.text else { continue }
            let expanded: String = ServerURL.expanded(url) { server["variables"]?[$0]?["default"]?.text ?? "" }
            servers.append(OpenAPIServer(url: expanded, description: server["description"]?.text))
        }
        return servers
    }

    private static func servers2(_ root: Node) -> [OpenAPIServer] {
        guard let host: String = root["host"]?.text else { return [] }
        var servers: [OpenAPIServer] = []
        for scheme: Node in root["schemes"]?.elements ?? [Node(.string("https"))] {
            let url: String = "\(scheme.text ?? "https")://\(host)\(root["basePath"]?.text ?? "")"
            servers.append(OpenAPIServer(url: url, description: nil))
        }
        return servers
    }
}
