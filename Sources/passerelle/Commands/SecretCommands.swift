import Files
import Glibc
import JSON

enum SecretCommands {
    static let all: [Command] =
        [list, show, references, set, rollback, destroy, delete] + SecretImportCommands.all

    /// Longest value, bytes; the control plane has the same bound.
    static let valueBytesMax: Int = 64 << 10
    private static let members: [String] = ["name", "version", "reference", "description", "updated_at", "updated_by"]

    private static let platform: Command.Option = .init("platform", nil, "those of the platform itself")

    static let list: Command = Command(
        "secrets list", summary: "The tenant's secrets, without their values", options: [Self.platform],
        example: "passerelle secrets list --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(
            try await plane.all(try Self.base(arguments, plane)),
            columns: ["name", "version", "description", "updated_at", "updated_by"])
    }

    static let show: Command = Command(
        "secrets show", operands: ["NAME"], summary: "A secret and its versions, without the values",
        options: [Self.platform], example: "passerelle secrets show crm-token --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let secret: JSONValue = try await plane.get(try Self.path(arguments, plane))
        console.show(secret, members: Self.members)
        if case .table = console.format {
            console.list(secret["versions"]?.elements ?? [], columns: ["version", "created_at", "created_by"])
        }
    }

    static let references: Command = Command(
        "secrets references", operands: ["NAME"],
        summary: "What refers to a secret now: with any, it cannot be deleted",
        options: [Self.platform], example: "passerelle secrets references crm-token --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let uses: JSONValue = try await plane.get("\(try Self.path(arguments, plane))/references")
        console.list(uses["items"]?.elements ?? [], columns: ["kind", "name"])
    }

    static let set: Command = Command(
        "secrets set", operands: ["NAME"],
        summary: "Create a secret or give it a new value, from standard input or a file; never from an argument",
        options: [
            .init("file", "FILE", "the value, without its last line end (standard input)"),
            .init("description", "TEXT", "what it is for; not secret"), Self.platform,
        ], example: "passerelle secrets set crm-token --file /run/crm-token --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let value: String = try Self.value(file: arguments["file"])
        let secret: JSONValue = try await Self.put(
            name: arguments.operands[0], value, description: arguments["description"], plane,
            isPlatforms: arguments.has("platform"))
        console.show(secret, members: Self.members)
    }

    static let rollback: Command = Command(
        "secrets rollback", operands: ["NAME"], summary: "Make the value of an earlier version the present one",
        options: [.init("to", "VERSION", "the version"), Self.platform],
        example: "passerelle secrets rollback crm-token --to 3 --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        guard let version: Int = try arguments.integer("to", in: 1...Int.max) else {
            throw CommandError.usage("--to names the version.")
        }
        let secret: JSONValue = try await plane.send(
            "POST", "\(try Self.path(arguments, plane))/rollback", .object(["version": .int(Int64(version))]))
        console.show(secret, members: Self.members)
    }

    static let destroy: Command = Command(
        "secrets destroy", operands: ["NAME"], summary: "Destroy an earlier version of a secret",
        options: [.init("version", "VERSION", "the version"), Self.platform],
        example: "passerelle secrets destroy crm-token --version 3 --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        guard let version: Int = try arguments.integer("version", in: 1...Int.max) else {
            throw CommandError.usage("--version names the version.")
        }
        try await plane.send("DELETE", "\(try Self.path(arguments, plane))/versions/\(version)", nil)
        console.progress("Destroyed version \(version) of \(arguments.operands[0]).", isFinal: true)
    }

    static let delete: Command = Command(
        "secrets delete", operands: ["NAME"], summary: "Destroy a secret with all its versions",
        options: [Self.platform], example: "passerelle secrets delete crm-token --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        try await plane.send("DELETE", try Self.path(arguments, plane), nil)
        console.progress("Deleted \(arguments.operands[0]).", isFinal: true)
    }

    // MARK: Parts

    private static func path(_ arguments: Arguments, _ plane: ControlPlane) throws(CommandError) -> String {
        "\(try Self.base(arguments, plane))/\(ControlPlane.escaped(arguments.operands[0]))"
    }

    private static func base(_ arguments: Arguments, _ plane: ControlPlane) throws(CommandError) -> String {
        arguments.has("platform") ? "/v1/secrets" : try plane.tenantPath("/secrets")
    }

    static func put(
        name: String, _ value: String, description: String?, _ plane: ControlPlane, isPlatforms: Bool = false
    ) async throws -> JSONValue {
        var body: JSONObject = ["value": .string(value)]
        if let description: String { body["description"] = .string(description) }
        let base: String = isPlatforms ? "/v1/secrets" : try plane.tenantPath("/secrets")
        return try await plane.send("PUT", "\(base)/\(ControlPlane.escaped(name))", .object(body))
    }

    /// The whole of a file or of standard input, without the line end at its end; asked for without echo on a terminal.
    private static func value(file: String?) throws(CommandError) -> String {
        if let file: String, file != "-" {
            let read: [UInt8]
            do {
                read = try Files.read(file, bytesMax: Self.valueBytesMax + 2)
            } catch {
                throw .failed("The value cannot be read: \(error)")
            }
            return try Self.text(read)
        }
        if isatty(0) == 1 { return try PasswordInput.read(file: nil, variable: "PASSERELLE_SECRET", prompt: "Value: ") }
        var bytes: [UInt8] = []
        var chunk: [UInt8] = [UInt8](repeating: 0, count: 4_096)
        while bytes.count <= Self.valueBytesMax + 2 {
            let count: Int = Glibc.read(0, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { break }
            bytes += chunk[..<count]
        }
        return try Self.text(bytes)
    }

    /// - Throws: when it is no text, or too long.
    /// - Parameter source: what it is called in the error.
    static func text(_ bytes: [UInt8], of source: String = "The value") throws(CommandError) -> String {
        var bytes: [UInt8] = bytes
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        guard bytes.count <= Self.valueBytesMax else {
            throw .failed("\(source) is longer than the \(Self.valueBytesMax) bytes of a secret.")
        }
        guard let text: String = String(validating: bytes, as: UTF8.self) else {
            throw .failed("\(source) is no UTF-8 text. Write bytes as base64 first.")
        }
        return text
    }
}
