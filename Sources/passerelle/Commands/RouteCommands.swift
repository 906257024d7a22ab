import Documents
import Files
import Gateway
import GatewayConfiguration
import HTTP
import JSON

enum RouteCommands {
    static let all: [Command] = [explain]

    static let explain: Command = Command(
        "routes explain", operands: ["METHOD", "URL"], summary: "Which route takes a request, and why not the others",
        options: [
            .init("config", "FILE", "a gateway's configuration file"),
            .init("snapshot", "FILE", "a gateway's saved snapshot (./data/gateway/snapshot.json)"),
            .init("header", letter: "H", "NAME: VALUE", "a header of the request; may be repeated"),
        ], example: "passerelle routes explain GET http://127.0.0.1:8000/api/geolocation/nearby -H 'X-Beta: 1'"
    ) { arguments, console in
        guard let url: URLParts = URLParts(arguments.operands[1]) else {
            throw CommandError.usage(
                "'\(arguments.operands[1])' is not a URL; expected for example http://127.0.0.1:8000/orders/7")
        }
        let request: ExplainedRequest = ExplainedRequest(
            method: arguments.operands[0].uppercased(), host: url.host, path: url.path, query: url.query ?? "",
            headers: try Self.headers(arguments.all("header")))
        let document: GatewayDocument = try Self.document(arguments)
        let snapshot: Snapshot = Snapshot.compile(document, previous: nil, carrying: LiveState()).snapshot
        let lines: [String] = snapshot.explain(request).lines
        switch console.format {
        case .table: console.print(lines.joined(separator: "\n"))
        case .json: console.printJSON(.object(["lines": .array(lines.map { JSONValue.string($0) })]))
        }
    }

    private static func headers(_ texts: [String]) throws(CommandError) -> [(name: String, value: String)] {
        var headers: [(name: String, value: String)] = []
        for text in texts {
            let parts: [Substring] = text.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { throw .usage("'\(text)' is not a header; expected NAME: VALUE") }
            headers.append((String(parts[0]), String(parts[1].drop { $0 == " " })))
        }
        return headers
    }

    private static func document(_ arguments: Arguments) throws -> GatewayDocument {
        let path: String = arguments["config"] ?? arguments["snapshot"] ?? "./data/gateway/snapshot.json"
        do {
            let bytes: [UInt8] = try Files.read(path, bytesMax: GatewayAgent.savedBytesMax)
            if arguments["config"] != nil { return try GatewayFile.read(bytes).document }
            var saved: HashedDocument = HashedDocument()
            try saved.receive(bytes)
            return saved.document
        } catch let error as InvalidDocument {
            throw CommandError.failed(error.text(file: path))
        } catch {
            throw CommandError.failed("\(error)")
        }
    }
}
