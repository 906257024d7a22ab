import HTTP
import JSON
import KeyRing

/// A KV engine of OpenBao or Vault.
struct VaultSource {
    private static let depthMax: Int = 16

    private let vault: VaultServer
    private let mount: String
    /// 2 keeps versions, and has values and names in places of their own.
    private let isVersioned: Bool

    init(_ arguments: Arguments) throws {
        let server: URLParts = try SecretImportCommands.server(arguments)
        for name in ["mount", "namespace", "auth-mount"] {
            if let place: String = arguments[name], let wanted: String = VaultServer.problem(place: place) {
                throw CommandError.usage("--\(name) is '\(place)'; expected \(wanted).")
            }
        }
        self.mount = arguments["mount"] ?? "secret"
        switch arguments["kv-version"] ?? "2" {
        case "1": self.isVersioned = false
        case "2": self.isVersioned = true
        default: throw CommandError.usage("--kv-version is 1 or 2.")
        }
        self.vault = VaultServer(
            server, credentials: try Self.credentials(arguments), namespace: arguments["namespace"],
            client: try SecretImportCommands.client(arguments))
    }

    private static func credentials(_ arguments: Arguments) throws(CommandError) -> VaultServer.Credentials {
        guard arguments["role-id"] != nil || arguments["secret-id-file"] != nil else {
            return .token(try SecretImportCommands.token(arguments, variable: "PASSERELLE_VAULT_TOKEN"))
        }
        if arguments["token-file"] != nil {
            throw .usage("--token-file and --role-id are two ways to sign in: give one.")
        }
        return .appRole(
            id: try arguments.required("role-id"), secretFile: try arguments.required("secret-id-file"),
            mount: arguments["auth-mount"] ?? "approle")
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
        let answer: JSONValue? = try await self.get("data", path, query: nil)["data"]
        let data: JSONObject = (self.isVersioned ? answer?["data"] : answer)?.object ?? [:]
        for member in data.members {
            let value: String = member.value.text ?? member.value.jsonText
            found.append(ImportedSecret(source: "\(path)/\(member.key)", value: Array(value.utf8)))
        }
    }

    private func get(_ kind: String, _ path: String, query: String?) async throws -> JSONValue {
        var parts: [String] = path.split(separator: "/").map { PercentCoding.encode(String($0)) }
        if self.isVersioned { parts.insert(kind, at: 0) }
        do {
            return try await self.vault.call("\(self.mount)/\(parts.joined(separator: "/"))", query: query)
        } catch .away(let reason) {
            throw CommandError.failed(reason)
        } catch .refused(let status, let said) {
            throw CommandError.failed("\(self.vault.server.authority) answered \(status) for \(path). \(said)")
        }
    }
}
