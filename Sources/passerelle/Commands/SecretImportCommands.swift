import Crypto
import EventLoops
import Files
import HTTP
import JSON
import TLS

/// Secrets from elsewhere: OpenBao's or Vault's KV engine, Kubernetes manifests, folders of files. Values go from there to the
/// control plane, and nowhere else.
enum SecretImportCommands {
    static let all: [Command] = [vault, kubernetes, cluster, files]

    /// Secrets of one import at most.
    static let countMax: Int = 1_000
    private static let manifestBytesMax: Int = 8 << 20
    /// Tokens of service accounts are signed, and long.
    private static let tokenBytesMax: Int = 16 << 10
    private static let shared: [Command.Option] = [
        .init("prefix", "TEXT", "put before each name"), .init("dry-run", nil, "only show the names"),
    ]

    static let vault: Command = Command(
        "secrets import vault", operands: ["ADDRESS", "PATH"],
        summary: "Import from a KV engine of OpenBao or Vault: every key at the path, or below it with a / at its end",
        options: [
            .init("token-file", "FILE", "the token to read with"),
            .init("role-id", "ID", "an AppRole to read as, in place of a token"),
            .init("secret-id-file", "FILE", "the secret id of that role"),
            .init("auth-mount", "MOUNT", "where the method of that role is (approle)"),
            .init("namespace", "NAMESPACE", "the namespace of the engine (the root)"),
            .init("mount", "MOUNT", "where the engine is (secret)"),
            .init("kv-version", "1|2", "the version of the engine (2)"),
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

    static let cluster: Command = Command(
        "secrets import cluster", operands: ["ADDRESS", "NAMESPACE"],
        summary: "Import the secrets of a namespace from the API server of a Kubernetes cluster",
        options: [
            .init("token-file", "FILE", "the token of a service account that may list secrets there"),
            .init("selector", "LABELS", "only those with these labels, for example app=crm (all)"),
            .init("ca-file", "FILE", "authorities of the server's certificate, PEM (those of this machine)"),
        ] + shared,
        example:
            "passerelle secrets import cluster https://10.0.0.1:6443 crm --token-file /run/token --ca-file ca.crt --tenant acme"
    ) { arguments, console in
        let source: KubernetesCluster = try KubernetesCluster(arguments)
        try await Self.put(try await source.read(namespace: arguments.operands[1]), arguments, console)
    }

    /// A client for one server that the operator named.
    static func client(_ arguments: Arguments) throws -> HTTPClient {
        var tls: TLSClientConfiguration = TLSClientConfiguration()
        if let path: String = arguments["ca-file"] {
            let bytes: [UInt8] = try Files.read(path, bytesMax: 1 << 20)
            tls.trust = .authorities(try Certificate.chain(pem: String(decoding: bytes, as: UTF8.self)))
        }
        return HTTPClient(
            group: EventLoopGroup(count: 1, name: "import"),
            configuration: HTTPClientConfiguration(tls: try TLSContext.client(tls), egress: { _ in .allow }))
    }

    /// The server of the first operand.
    static func server(_ arguments: Arguments) throws(CommandError) -> URLParts {
        guard let server: URLParts = URLParts(arguments.operands[0]) else {
            throw .usage("'\(arguments.operands[0])' is no URL; expected for example https://bao.example.com:8200")
        }
        return server
    }

    static func token(_ arguments: Arguments, variable: String) throws(CommandError) -> String {
        try PasswordInput.read(
            file: try arguments.required("token-file"), bytesMax: Self.tokenBytesMax, variable: variable,
            prompt: "Token: ")
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
