import Audit
import Files
import Glibc
import JSON
import Store

enum AuditCommands {
    /// Largest checkpoint file, bytes.
    static let checkpointBytesMax: Int = 64 * 1_024

    static let all: [Command] = [verify, checkpoint, anchors, export, person, erase]

    static let person: Command = Command(
        "audit person", operands: ["PERSON"],
        summary:
            "Write everything kept about one person as JSON Lines: a user, or address:IP for an address nobody signed in from",
        example: "passerelle audit person ada > ada.jsonl"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let person: String = ControlPlane.escaped(arguments.operands[0])
        try await plane.download("/v1/audit/persons/\(person)") { Console.write($0, to: 1) }
    }

    static let erase: Command = Command(
        "audit erase", operands: ["PERSON"],
        summary:
            "Erase one person for good: empties the account and destroys the keys of what the audit log has sealed",
        options: [.init("reason", "TEXT", "why, for the audit log; must name nobody")],
        example: "passerelle audit erase ada --reason 'request 2026-117'"
    ) { arguments, console in
        guard let reason: String = arguments["reason"] else {
            throw CommandError.usage("--reason is required: the audit log says why somebody was erased.")
        }
        let plane: ControlPlane = try ControlPlane(arguments)
        let person: String = ControlPlane.escaped(arguments.operands[0])
        let erased: JSONValue = try await plane.send(
            "POST", "/v1/audit/persons/\(person)/erasure", .object(["reason": .string(reason)]))
        console.show(erased, members: ["person", "keys_destroyed", "erased_at"])
    }

    static let verify: Command = Command(
        "audit verify",
        summary: "Verify every entry of the audit log against its tree, and against a checkpoint you kept",
        options: [
            .init("checkpoint", "FILE", "a checkpoint kept earlier: shows a shortened tail or a fork"),
            .init(
                "key", "KEY", "the only key a checkpoint may be signed with (NAME+ID+KEY); the log's own when absent"),
            .init("export", "FILE", "verify an export instead of the live system"),
            .init("data", "FOLDER", "verify a data folder, such as a restored backup, that no process uses"),
            .init(
                "store-url-file", "FILE", "verify a database on PostgreSQL: the file with its address; it may be in use"
            ),
        ], example: "passerelle audit verify --checkpoint last-month.checkpoint"
    ) { arguments, console in
        var kept: [UInt8]?
        if let path: String = arguments["checkpoint"] { kept = try Self.read(path) }
        var trusted: [NoteVerifier] = []
        if let key: String = arguments["key"] {
            do { trusted = [try NoteVerifier(parsing: key)] } catch { throw CommandError.usage("--key is \(error)") }
        }
        let verdict: AuditVerdict
        if let file: String = arguments["store-url-file"] {
            var configuration: StoreConfiguration = StoreConfiguration(
                folder: "", url: try Settings.storeURL(inFile: file))
            configuration.writers = 1
            verdict = try await Self.verify(configuration, checkpoint: kept, trusting: trusted, console)
        } else if let folder: String = arguments["data"] {
            guard Files.exists("\(folder)/passerelle.db") else {
                throw CommandError.failed("\(folder) is no data folder: there is no passerelle.db in it.")
            }
            verdict = try await Self.verify(
                StoreConfiguration(folder: folder), checkpoint: kept, trusting: trusted, console)
        } else {
            verdict = try await Self.verifyExport(arguments, checkpoint: kept, trusting: trusted, console)
        }
        console.progress("", isFinal: false)
        switch console.format {
        case .table: console.print(verdict.lines.joined(separator: "\n"))
        case .json:
            console.printJSON(
                .object([
                    "sound": .bool(verdict.isSound), "entries": .int(verdict.head.size),
                    "tail_judged": .bool(verdict.isTailJudged),
                    "findings": .array(verdict.findings.map { JSONValue.string($0.description) }),
                ]))
        }
        guard verdict.isSound else { throw CommandError.failed("The audit log is not sound.") }
    }

    static let checkpoint: Command = Command(
        "audit checkpoint", summary: "Print the signed checkpoint: keep it where nobody here can change it",
        example: "passerelle audit checkpoint > 2026-11.checkpoint"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var text: [UInt8] = []
        try await plane.download("/v1/audit/checkpoint") { text.append(contentsOf: $0) }
        Console.write(text, to: 1)
    }

    static let anchors: Command = Command(
        "audit anchors", summary: "The places outside that keep checkpoints, how far each is, and why one is not",
        example: "passerelle audit anchors"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.get("/v1/audit/anchors")["items"]?.elements ?? [],
            columns: ["name", "size", "anchored_at", "failure", "failing_since"])
    }

    static let export: Command = Command(
        "audit export",
        summary:
            "Write the audit log: as a proof that 'audit verify --export' checks alone, or entries as JSON Lines or CSV",
        options: [
            .init("format", "proof|jsonl|csv", "proof (all of it, verifiable), or readable entries"),
            .init("type", "TYPE", "jsonl, csv: only of this event type, such as api.created"),
            .init("resource", "ID", "jsonl, csv: only about this resource"),
            .init("actor", "USER", "jsonl, csv: only what the user with this id did"),
            .init("from", "TIME", "jsonl, csv: only from this time on (RFC 3339)"),
            .init("to", "TIME", "jsonl, csv: only before this time"),
            .init("first", "N", "jsonl, csv: only from entry N on, without the head: continues one that broke off"),
        ], example: "passerelle audit export --format csv --from 2026-01-01T00:00:00Z > audit.csv"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var query: [String] = arguments["tenant"].map { ["tenant=\(ControlPlane.escaped($0))"] } ?? []
        for name in ["format", "type", "resource", "actor", "from", "to", "first"] {
            if let value: String = arguments[name] { query.append("\(name)=\(ControlPlane.escaped(value))") }
        }
        let asked: String = query.isEmpty ? "" : "?" + query.joined(separator: "&")
        try await plane.download("/v1/audit/export" + asked) { Console.write($0, to: 1) }
    }

    /// Verifies an export: of a file, or as the live system gives it.
    private static func verifyExport(
        _ arguments: Arguments, checkpoint: [UInt8]?, trusting trusted: [NoteVerifier], _ console: Console
    ) async throws -> AuditVerdict {
        var reader: AuditExportReader = AuditExportReader(checkpoint: checkpoint, trusting: trusted)
        if let path: String = arguments["export"] {
            try Self.readFile(path) { chunk in try reader.feed(chunk) }
        } else {
            let plane: ControlPlane = try ControlPlane(arguments)
            try await plane.download("/v1/audit/export") { chunk in
                try reader.feed(chunk)
                console.progress("\(reader.leavesRead) entries read")
            }
        }
        return try reader.verdict()
    }

    /// Verifies a data folder, or a database on PostgreSQL, without its platform.
    private static func verify(
        _ place: StoreConfiguration, checkpoint: [UInt8]?, trusting trusted: [NoteVerifier], _ console: Console
    ) async throws -> AuditVerdict {
        var configuration: StoreConfiguration = place
        configuration.readers = 1
        configuration.schema = .partial
        let store: Store
        do {
            store = try Store.open(configuration, migrations: AuditVerification.migrations)
        } catch {
            let shown: String = place.url == nil ? place.folder : "The database"
            throw CommandError.failed("\(shown) cannot be opened: \(error)")
        }
        let verdict: Result<AuditVerdict, any Error>
        do {
            verdict = .success(
                try await AuditVerification.run(on: store, checkpoint: checkpoint, trusting: trusted) { count in
                    console.progress("\(count) entries read")
                })
        } catch {
            verdict = .failure(error)
        }
        await store.close()
        return try verdict.get()
    }

    private static func read(_ path: String) throws -> [UInt8] {
        do {
            return try Files.read(path, bytesMax: Self.checkpointBytesMax)
        } catch {
            throw CommandError.failed("\(error)")
        }
    }

    /// Hands a file's bytes over in pieces: exports do not fit into memory.
    private static func readFile(_ path: String, _ body: ([UInt8]) throws -> Void) throws {
        let descriptor: Int32 = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw CommandError.failed("\(path): \(String(cString: strerror(errno)))") }
        defer { _ = close(descriptor) }
        var chunk: [UInt8] = [UInt8](repeating: 0, count: 256 * 1_024)
        while true {
            let count: Int = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw CommandError.failed("\(path): \(String(cString: strerror(errno)))") }
            if count == 0 { return }
            try body(Array(chunk[..<count]))
        }
    }
}
