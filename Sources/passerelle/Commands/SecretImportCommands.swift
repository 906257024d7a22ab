import Bytes
import Crypto
import Documents
import EventLoops
import Files
import HTTP
import JSON
import TLS

/// Secrets from elsewhere: OpenBao's or Vault's KV engine, Kubernetes manifests, folders of files. Values go from there to the
/// control plane, and nowhere else.
enum SecretImportCommands {
    static let all: [Command] = [vault, kubernetes, files]

    /// Secrets of one import at most.
    static let countMax: Int = 1_000
    private static let manifestBytesMax: Int = 8 << 20
    private static let shared: [Command.Option] = [
        .init("prefix", "TEXT", "put before each name"), .init("dry-run", nil, "only show the names"),
    ]

    static let vault: Command = Command(
        "secrets import vault", operands: ["ADDRESS", "PATH"],
        summary:
            "Import from a KV engine (version 2) of OpenBao or Vault: every key at the path, or below it with a / at its end",
        options: [
            .init("token-file", "FILE", "the token to read with"),
            .init("mount", "MOUNT", "where the engine is (secret)"),
            .init("ca-file", "FILE", "authorities of its certificate, PEM (those of this machine)"),
        ] + shared,
        example:
            "passerelle secrets import vault https://bao.example.com:8200 apps/crm --token-file /run/token --tenant acme"
    ) { arguments, console in
        let source: VaultSource = try VaultSource(arguments)
        try await Self.put(try await source.read(arguments.operands[1]), arguments, console)
    }

    static let kubernetes: Command = Command(
        "secrets import kubernetes", operands: ["FILE"],
        summary: "Import the Secret objects of a manifest, as 'kubectl get secrets -o yaml' prints it",
        options: shared, example: "passerelle secrets import kubernetes secrets.yaml --tenant acme"
    ) { arguments, console in
        let bytes: [UInt8]
        do {
            bytes = try Files.read(arguments.operands[0], bytesMax: Self.manifestBytesMax)
        } catch {
            throw CommandError.failed("\(error)")
        }
        try await Self.put(try KubernetesManifest.secrets(bytes), arguments, console)
    }

    static let files: Command = Command(
        "secrets import files", operands: ["FOLDER"],
        summary: "Import a folder of files, each the value of the secret that is called like it",
        options: shared, example: "passerelle secrets import files /run/secrets --tenant acme"
    ) { arguments, console in
        let folder: String = arguments.operands[0]
        guard Folders.isFolder(folder) else { throw CommandError.failed("\(folder) is no folder.") }
        var found: [ImportedSecret] = []
        for name in try Folders.names(in: folder) where !name.hasPrefix(".") && !Folders.isFolder("\(folder)/\(name)") {
            let bytes: [UInt8] = try Files.read("\(folder)/\(name)", bytesMax: SecretCommands.valueBytesMax + 2)
            found.append(ImportedSecret(source: name, value: bytes))
        }
        try await Self.put(found, arguments, console)
    }

    /// Names all problems before the first secret is written.
    private static func put(_ found: [ImportedSecret], _ arguments: Arguments, _ console: Console) async throws {
        guard !found.isEmpty else { throw CommandError.failed("There is nothing to import.") }
        guard found.count <= Self.countMax else {
            throw CommandError.failed("\(found.count) secrets are more than the \(Self.countMax) of one import.")
        }
        var named: [(name: String, source: String, value: String)] = []
        var sources: [String: String] = [:]
        for secret in found {
            let name: String = secret.name(prefix: arguments["prefix"] ?? "")
            guard !name.isEmpty else { throw CommandError.failed("No name can be made from '\(secret.source)'.") }
            if let other: String = sources[name] {
                throw CommandError.failed("'\(secret.source)' and '\(other)' would both become '\(name)'.")
            }
            sources[name] = secret.source
            let value: String = try SecretCommands.text(secret.value, of: secret.source)
            if value.isEmpty { throw CommandError.failed("\(secret.source) is empty.") }
            named.append((name, secret.source, value))
        }
        var shown: [JSONValue] = []
        let plane: ControlPlane? = arguments.has("dry-run") ? nil : try ControlPlane(arguments)
        for secret in named {
            var row: JSONObject = ["name": .string(secret.name), "source": .string(secret.source)]
            if let plane: ControlPlane {
                let put: JSONValue = try await SecretCommands.put(
                    name: secret.name, secret.value, description: nil, plane)
                row["version"] = put["version"] ?? .null
            }
            shown.append(.object(row))
        }
        console.list(shown, columns: plane == nil ? ["name", "source"] : ["name", "source", "version"])
    }
}

/// A value found elsewhere, and where.
struct ImportedSecret: Sendable {
    let source: String
    let value: [UInt8]

    /// Lower-case letters, digits and single hyphens, at most 63; empty when nothing is left.
    func name(prefix: String) -> String {
        var bytes: [UInt8] = []
        for byte in (prefix + self.source).lowercased().utf8 {
            let isWord: Bool = (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte)
            if isWord { bytes.append(byte) } else if let last: UInt8 = bytes.last, last != 0x2d { bytes.append(0x2d) }
        }
        bytes = Array(bytes.prefix(63))
        while bytes.last == 0x2d { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// `Secret` objects of a manifest: one, several documents, or a `List`.
enum KubernetesManifest {
    static func secrets(_ bytes: [UInt8]) throws(CommandError) -> [ImportedSecret] {
        var found: [ImportedSecret] = []
        for part in Self.documents(String(decoding: bytes, as: UTF8.self)) {
            let node: Node = try Self.parse(part.text, after: part.line)
            let objects: [Node] = node["kind"]?.text == "List" ? node["items"]?.elements ?? [] : [node]
            for object in objects { found += try Self.secret(object) }
        }
        return found
    }

    private static func parse(_ text: String, after line: Int) throws(CommandError) -> Node {
        do throws(DocumentError) {
            return try DocumentReader.parse(Array(text.utf8))
        } catch {
            throw .failed("line \(error.line + line), column \(error.column): \(error.message)")
        }
    }

    /// Pieces between lines of `---`, each with the number of lines before it.
    private static func documents(_ text: String) -> [(text: String, line: Int)] {
        var parts: [(text: String, line: Int)] = []
        var lines: [Substring] = []
        var start: Int = 0
        let all: [Substring] = text.split(separator: "\n", omittingEmptySubsequences: false) + ["---"]
        for (number, line) in all.enumerated() {
            guard line == "---" || line.hasPrefix("--- ") else {
                lines.append(line)
                continue
            }
            let isEmpty: Bool = lines.allSatisfy { $0.isEmpty || $0.hasPrefix("#") }
            if !isEmpty { parts.append((text: lines.joined(separator: "\n"), line: start)) }
            lines = []
            start = number + 1
        }
        return parts
    }

    private static func secret(_ object: Node) throws(CommandError) -> [ImportedSecret] {
        guard object["kind"]?.text == "Secret" else { return [] }
        let name: String = object["metadata"]?["name"]?.text ?? ""
        var found: [ImportedSecret] = []
        for member in object["data"]?.members ?? [] {
            let source: String = "\(name)/\(member.key.text ?? "")"
            guard let value: [UInt8] = member.value.text.flatMap({ Base64.decode($0) }) else {
                throw .failed("line \(member.value.position.line): \(source): expected base64")
            }
            found.append(ImportedSecret(source: source, value: value))
        }
        for member in object["stringData"]?.members ?? [] {
            found.append(
                ImportedSecret(
                    source: "\(name)/\(member.key.text ?? "")", value: Array((member.value.text ?? "").utf8)))
        }
        return found
    }
}

/// A KV engine, version 2, of OpenBao or Vault.
struct VaultSource {
    private static let answerBytesMax: Int = 8 << 20
    private static let depthMax: Int = 16

    private let base: URLParts
    private let mount: String
    private let token: String
    private let client: HTTPClient

    init(_ arguments: Arguments) throws {
        guard let base: URLParts = URLParts(arguments.operands[0]) else {
            throw CommandError.usage(
                "'\(arguments.operands[0])' is no URL; expected for example https://bao.example.com:8200")
        }
        self.base = base
        self.mount = arguments["mount"] ?? "secret"
        self.token = try PasswordInput.read(
            file: try arguments.required("token-file"), variable: "PASSERELLE_VAULT_TOKEN", prompt: "Token: ")
        var tls: TLSClientConfiguration = TLSClientConfiguration()
        if let path: String = arguments["ca-file"] {
            let bytes: [UInt8] = try Files.read(path, bytesMax: 1 << 20)
            tls.trust = .authorities(try Certificate.chain(pem: String(decoding: bytes, as: UTF8.self)))
        }
        self.client = HTTPClient(
            group: EventLoopGroup(count: 1, name: "vault"),
            configuration: HTTPClientConfiguration(tls: try TLSContext.client(tls), egress: { _ in .allow }))
    }

    /// Every key at a path; with a `/` at its end, of everything below it.
    func read(_ path: String) async throws -> [ImportedSecret] {
        var found: [ImportedSecret] = []
        try await self.read(path, depth: 0, &found)
        return found
    }

    private func read(_ path: String, depth: Int, _ found: inout [ImportedSecret]) async throws {
        guard depth < Self.depthMax, found.count <= SecretImportCommands.countMax else {
            throw CommandError.failed("There is more below \(path) than one import takes.")
        }
        if path.hasSuffix("/") || path.isEmpty {
            let keys: [JSONValue] =
                try await self.get("metadata", path, query: "list=true")["data"]?["keys"]?.elements ?? []
            for key in keys { try await self.read(path + (key.text ?? ""), depth: depth + 1, &found) }
            return
        }
        let data: JSONObject = try await self.get("data", path, query: nil)["data"]?["data"]?.object ?? [:]
        for member in data.members {
            let value: String = member.value.text ?? member.value.jsonText
            found.append(ImportedSecret(source: "\(path)/\(member.key)", value: Array(value.utf8)))
        }
    }

    private func get(_ kind: String, _ path: String, query: String?) async throws -> JSONValue {
        let parts: [String] = path.split(separator: "/").map { PercentCoding.encode(String($0)) }
        let url: URLParts = URLParts(
            scheme: self.base.scheme, host: self.base.host, port: self.base.port,
            path: "/v1/\(self.mount)/\(kind)/\(parts.joined(separator: "/"))", query: query)
        var fields: HTTPFields = HTTPFields()
        fields.append("X-Vault-Token", self.token)
        let response: HTTPClientResponse
        do {
            response = try await self.client.send(HTTPClientRequest(method: .get, url: url, fields: fields))
        } catch {
            throw CommandError.failed("\(self.base.authority) does not answer: \(error)")
        }
        let bytes: [UInt8] = try await response.body.collect(max: Self.answerBytesMax)
        guard response.status < 300 else {
            let said: String = (try? JSONReader.parse(bytes))?["errors"]?.elements?.first?.text ?? ""
            throw CommandError.failed("\(self.base.authority) answered \(response.status) for \(path). \(said)")
        }
        return try JSONReader.parse(bytes)
    }
}
