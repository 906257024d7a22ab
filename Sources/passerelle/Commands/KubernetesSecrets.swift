import Bytes
import Documents
import HTTP
import JSON

/// `Secret` objects of a manifest: one, several documents, or a `List`.
enum KubernetesManifest {
    static func secrets(_ bytes: [UInt8]) throws(CommandError) -> [ImportedSecret] {
        var found: [ImportedSecret] = []
        for part in Self.documents(String(decoding: bytes, as: UTF8.self)) {
            let node: Node = try Self.parse(part.text, after: part.line)
            let objects: [Node] = node["kind"]?.text == "List" ? node["items"]?.elements ?? [] : [node]
            for object in objects where object["kind"]?.text == "Secret" { found += try Self.secret(object) }
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

    /// The values of one object.
    static func secret(_ object: Node) throws(CommandError) -> [ImportedSecret] {
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

/// The API server of a cluster: `GET /api/v1/namespaces/{namespace}/secrets`, a page at a time.
struct KubernetesCluster {
    private static let answerBytesMax: Int = 16 << 20
    /// Objects asked for at once: each has 1 MiB at most.
    private static let pageSize: Int = 10

    private let server: URLParts
    private let token: String
    private let selector: String?
    private let client: HTTPClient

    init(_ arguments: Arguments) throws {
        self.server = try SecretImportCommands.server(arguments)
        self.token = try SecretImportCommands.token(arguments, variable: "PASSERELLE_KUBERNETES_TOKEN")
        self.selector = arguments["selector"]
        self.client = try SecretImportCommands.client(arguments)
    }

    /// Every value of the namespace's secrets, without tokens that the cluster makes itself.
    func read(namespace: String) async throws -> [ImportedSecret] {
        var found: [ImportedSecret] = []
        var next: String?
        repeat {
            let page: Node = try await self.page(namespace, after: next)
            for object in page["items"]?.elements ?? [] {
                if object["type"]?.text == "kubernetes.io/service-account-token" { continue }
                found += try KubernetesManifest.secret(object)
            }
            guard found.count <= SecretImportCommands.countMax else {
                throw CommandError.failed("There is more in \(namespace) than one import takes; --selector names less.")
            }
            let token: String = page["metadata"]?["continue"]?.text ?? ""
            next = token.isEmpty ? nil : token
        } while next != nil
        return found
    }

    private func page(_ namespace: String, after next: String?) async throws -> Node {
        var query: String = "limit=\(Self.pageSize)"
        if let selector: String = self.selector { query += "&labelSelector=\(PercentCoding.encode(selector))" }
        if let next: String { query += "&continue=\(PercentCoding.encode(next))" }
        let url: URLParts = URLParts(
            scheme: self.server.scheme, host: self.server.host, port: self.server.port,
            path: "/api/v1/namespaces/\(PercentCoding.encode(namespace))/secrets", query: query)
        var fields: HTTPFields = HTTPFields()
        fields.append("Authorization", "Bearer \(self.token)")
        fields.append("Accept", "application/json")
        let response: HTTPClientResponse
        do {
            response = try await self.client.send(HTTPClientRequest(method: .get, url: url, fields: fields))
        } catch {
            throw CommandError.failed("\(self.server.authority) does not answer: \(error)")
        }
        let bytes: [UInt8] = try await response.body.collect(max: Self.answerBytesMax)
        guard response.status < 300 else {
            let said: String = (try? JSONReader.parse(bytes))?["message"]?.text ?? ""
            throw CommandError.failed("\(self.server.authority) answered \(response.status). \(said)")
        }
        do throws(DocumentError) {
            return try DocumentReader.parse(bytes, limits: DocumentLimits(bytes: Self.answerBytesMax))
        } catch {
            throw CommandError.failed("The answer of \(self.server.authority) is none of a cluster: \(error.message)")
        }
    }
}
