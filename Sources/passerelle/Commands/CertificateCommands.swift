import Documents
import Files
import JSON

/// Certificates of the tenant's own authority, or with `--platform` of the platform's.
enum CertificateCommands {
    static let all: [Command] = [list, show, issue, renew, revoke, authority]

    private static let members: [String] = [
        "id", "state", "common_name", "names", "usage", "purpose", "not_before", "not_after", "serial", "fingerprint",
        "authority", "renews", "renewed_by", "revoked_at", "revocation_reason",
    ]
    /// Longest certificate request read, bytes.
    private static let requestBytesMax: Int = 64 << 10

    private static let platform: Command.Option = .init("platform", nil, "those of the platform itself")
    private static let issuing: [Command.Option] = [
        .init("request", "FILE", "a certificate request, PEM: the key stays where it is (a key is made)"),
        .init("key", "KIND", "without a request: p256, p384, ed25519 or rsa (p256)"),
        .init("out", "FILE", "where the certificate goes with its chain, PEM (standard output)"),
        .init("key-out", "FILE", "where the made key goes, mode 0600; required without a request"),
        platform,
    ]

    static let list: Command = Command(
        "certificates list", summary: "Certificates and their states, the newest first",
        options: [
            .init("state", "STATE", "only valid, expired or revoked ones (all)"),
            .init("ends-within-days", "N", "only those that end within so many days"), platform,
        ], example: "passerelle certificates list --state valid --ends-within-days 30 --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var query: [String] = []
        if let state: String = arguments["state"] { query.append("state=\(ControlPlane.escaped(state))") }
        if let days: Int = try arguments.integer("ends-within-days", in: 0...36_500) {
            query.append("ends_within_days=\(days)")
        }
        let path: String = try Self.path(arguments, plane) + (query.isEmpty ? "" : "?" + query.joined(separator: "&"))
        console.list(
            try await plane.all(path), columns: ["id", "state", "common_name", "usage", "purpose", "not_after"])
    }

    static let show: Command = Command(
        "certificates show", operands: ["ID"], summary: "A certificate; with --out its chain goes to a file",
        options: [.init("out", "FILE", "where the certificate goes with its chain, PEM"), platform],
        example: "passerelle certificates show crt_0190… --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let found: JSONValue = try await plane.get(try Self.path(arguments, plane, arguments.operands[0]))
        if let file: String = arguments["out"] { try Self.write(found["chain"]?.text ?? "", to: file) }
        console.show(found, members: Self.members)
    }

    static let issue: Command = Command(
        "certificates issue",
        summary: "Issue a certificate, for a request or with a key that is made and shown this once",
        options: [
            .init("name", "NAME", "a DNS name or IP address it is for; several times for several"),
            .init("common-name", "TEXT", "whom it names (the first name)"),
            .init("usage", "server|client|both", "what it is for (server)"),
            .init("lifetime", "TIME", "how long it is good, 60s to 398d (90d)"),
        ] + issuing,
        example:
            "passerelle certificates issue --name api.example.com --out api.pem --key-out api.key --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = try Self.body(arguments)
        let names: [String] = arguments.all("name")
        if !names.isEmpty { body["names"] = .array(names.map { .string($0) }) }
        if let name: String = arguments["common-name"] { body["common_name"] = .string(name) }
        body["usage"] = .string(arguments["usage"] ?? "server")
        let issued: JSONValue = try await plane.send("POST", try Self.path(arguments, plane), .object(body))
        try Self.finish(issued, arguments, console)
    }

    static let renew: Command = Command(
        "certificates renew", operands: ["ID"],
        summary: "Issue the certificate that follows; the earlier one is good until it ends",
        options: [.init("lifetime", "TIME", "how long it is good (as long as the earlier one)")] + issuing,
        example: "passerelle certificates renew crt_0190… --out api.pem --key-out api.key --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let path: String = try Self.path(arguments, plane, arguments.operands[0])
        let issued: JSONValue = try await plane.send("POST", "\(path)/renewal", .object(try Self.body(arguments)))
        try Self.finish(issued, arguments, console)
    }

    static let revoke: Command = Command(
        "certificates revoke", operands: ["ID"], summary: "Revoke a certificate at once",
        options: [
            .init(
                "reason", "REASON",
                "key-compromise, affiliation-changed, superseded, cessation-of-operation, privilege-withdrawn (unspecified)"
            ),
            platform,
        ], example: "passerelle certificates revoke crt_0190… --reason key-compromise --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = JSONObject()
        if let reason: String = arguments["reason"] { body["reason"] = .string(reason) }
        let path: String = try Self.path(arguments, plane, arguments.operands[0])
        console.show(
            try await plane.send("POST", "\(path)/revocation", .object(body)), members: Self.members)
    }

    static let authority: Command = Command(
        "certificates ca",
        summary: "The authority: its root, the names it may issue for; --next makes what issues anew",
        options: [
            .init("out", "FILE", "where the root's certificate goes, PEM: what others trust"),
            .init("next", nil, "make the authority, or the next generation of what issues"),
            .init("allow", "A,B", "set the domains and ranges of addresses a tenant may have certificates for"),
            platform,
        ], example: "passerelle certificates ca --allow example.com,10.1.0.0/16 --out ca.pem --tenant acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let path: String =
            arguments.has("platform")
            ? "/v1/certificate-authority" : try plane.tenantPath("/certificate-authority")
        if let allowed: String = arguments["allow"] {
            let names: [JSONValue] = allowed.split(separator: ",").map { .string(String($0)) }
            try await plane.send("PUT", path, .object(["allowed_names": .array(names)]))
        }
        if arguments.has("next") { try await plane.send("POST", path, nil) }
        let found: JSONValue = try await plane.get(path)
        if let file: String = arguments["out"] {
            guard let root: String = found["root"]?["certificate"]?.text else {
                throw CommandError.failed("There is no authority yet: --next makes it.")
            }
            try Self.write(root, to: file)
        }
        if case .json = console.format { return console.printJSON(found) }
        console.print(
            "allowed names  \(found["allowed_names"]?.elements?.compactMap(\.text).joined(separator: ", ") ?? "")")
        var rows: [JSONValue] = []
        for (role, value) in [("root", found["root"])] + (found["issuing"]?.elements ?? []).map({ ("issuing", $0) }) {
            guard var object: JSONObject = value?.object else { continue }
            object["role"] = .string(role)
            rows.append(.object(object))
        }
        console.list(rows, columns: ["role", "id", "generation", "not_after", "fingerprint", "revocation_list"])
    }

    // MARK: Parts

    private static func path(
        _ arguments: Arguments, _ plane: ControlPlane, _ id: String? = nil
    ) throws(CommandError) -> String {
        let base: String = arguments.has("platform") ? "/v1/certificates" : try plane.tenantPath("/certificates")
        return id.map { "\(base)/\(ControlPlane.escaped($0))" } ?? base
    }

    private static func body(_ arguments: Arguments) throws(CommandError) -> JSONObject {
        var body: JSONObject = JSONObject()
        if let text: String = arguments["lifetime"] {
            guard let lifetime: Duration = DurationText.parse(text) else {
                throw .usage("--lifetime is '\(text)'; expected for example 90d or 12h.")
            }
            body["lifetime_seconds"] = .int(lifetime.components.seconds)
        }
        if let kind: String = arguments["key"] { body["key"] = .string(kind) }
        guard let file: String = arguments["request"] else {
            guard arguments["key-out"] != nil else {
                throw .usage("A made key needs a place: --key-out FILE; or give a certificate request: --request FILE.")
            }
            return body
        }
        do {
            let bytes: [UInt8] = try Files.read(file, bytesMax: Self.requestBytesMax)
            body["request"] = .string(String(decoding: bytes, as: UTF8.self))
        } catch {
            throw .failed("The certificate request cannot be read: \(error)")
        }
        return body
    }

    private static func finish(
        _ issued: JSONValue, _ arguments: Arguments, _ console: Console
    ) throws(CommandError) {
        if let key: String = issued["private_key"]?.text, let file: String = arguments["key-out"] {
            try Self.write(key, to: file)
        }
        if let file: String = arguments["out"] {
            try Self.write(issued["chain"]?.text ?? "", to: file)
        } else if case .table = console.format {
            console.print(issued["chain"]?.text ?? "")
        }
        guard var shown: JSONObject = issued.object else { return }
        // It is in its file: on a terminal it would stay in the scroll-back.
        shown["private_key"] = nil
        console.show(.object(shown), members: Self.members)
    }

    private static func write(_ text: String, to file: String) throws(CommandError) {
        do {
            try Files.replace(file, with: Array(text.utf8), mode: 0o600)
        } catch {
            throw .failed("\(file) cannot be written: \(error)")
        }
    }
}
