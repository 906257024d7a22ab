import Glibc
import JSON
import Time

enum TenantCommands {
    static let all: [Command] = [create, list, quotas, setQuotas, export, delete, cancelDeletion]

    static let quotas: Command = Command(
        "tenants quotas", operands: ["NAME"],
        summary: "What a tenant has of what, and the most it may have; without a limit there is no quota",
        example: "passerelle tenants quotas acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let quotas: JSONValue = try await plane.get(
            "/v1/tenants/\(ControlPlane.escaped(arguments.operands[0]))/quotas/use")
        var rows: [JSONValue] = []
        for member in quotas.object?.members ?? [] {
            rows.append(
                .object([
                    "quota": .string(member.key), "used": member.value["used"] ?? .null,
                    "limit": member.value["limit"] ?? .null,
                ]))
        }
        console.list(rows, columns: ["quota", "used", "limit"])
    }

    static let setQuotas: Command = Command(
        "tenants set-quotas", operands: ["NAME"],
        summary: "Set all quotas of a tenant; what is not named has none from then on",
        options: [
            .init(
                "quota", "NAME=N",
                "apis, applications, environments, groups, plans, requests_per_month, requests_per_second, secrets, service_accounts, subscriptions or users; may be repeated"
            )
        ], example: "passerelle tenants set-quotas acme --quota apis=20 --quota requests_per_month=5000000"
    ) { arguments, console in
        var body: JSONObject = [:]
        for text in arguments.all("quota") {
            let words: [Substring] = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard words.count == 2, let limit: Int64 = Int64(words[1]) else {
                throw CommandError.usage("--quota '\(text)': expected NAME=N, for example apis=20")
            }
            body[String(words[0])] = .int(limit)
        }
        let plane: ControlPlane = try ControlPlane(arguments)
        let quotas: JSONValue = try await plane.send(
            "PUT", "/v1/tenants/\(ControlPlane.escaped(arguments.operands[0]))/quotas", .object(body))
        console.show(quotas, members: quotas.object?.keys ?? [])
    }

    static let create: Command = Command(
        "tenants create", operands: ["NAME"], summary: "Create a tenant with its environments, target and plans",
        options: [.init("display-name", "TEXT", "what people see")], example: "passerelle tenants create acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = ["name": .string(arguments.operands[0])]
        if let text: String = arguments["display-name"] { body["display_name"] = .string(text) }
        let tenant: JSONValue = try await plane.send("POST", "/v1/tenants", .object(body))
        console.show(tenant, members: ["name", "display_name", "created_at"])
    }

    static let list: Command = Command(
        "tenants list", summary: "The tenants you reach", example: "passerelle tenants list --output json"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        console.list(try await plane.all("/v1/tenants"), columns: ["name", "display_name", "created_at"])
    }

    static let export: Command = Command(
        "tenants export", operands: ["NAME"],
        summary: "Write everything kept of a tenant as a tar archive, its audit entries too; without its secrets",
        options: [.init("into", "FILE", "the archive to write; must not exist (NAME.tar)")],
        example: "passerelle tenants export acme --into acme.tar"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let name: String = arguments.operands[0]
        let path: String = arguments["into"] ?? "\(name).tar"
        let file: Int32 = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw CommandError.failed("\(path): \(String(cString: strerror(errno)))") }
        defer { _ = close(file) }
        do {
            let base: String = "/v1/tenants/\(ControlPlane.escaped(name))/exports"
            let made: JSONValue = try await plane.send("POST", base, nil)
            let task: JSONValue = try await Self.follow(made["task"]?.text ?? "", plane, console)
            guard task["state"]?.text == "done" else {
                throw CommandError.failed("The export failed: \(task["result"]?["reason"]?.text ?? "see its task")")
            }
            let address: String = "\(base)/\(made["id"]?.text ?? "")"
            var written: Int64 = 0
            try await plane.download("\(address)/archive") { bytes in
                Console.write(bytes, to: file)
                written += Int64(bytes.count)
            }
            let finished: JSONValue = try await plane.get(address)
            guard written == finished["size"]?.integer else {
                throw CommandError.failed(
                    "The archive has \(finished["size"]?.jsonText ?? "?") bytes, and \(written) came.")
            }
            console.show(
                .object(["file": .string(path), "size": .int(written), "expires_at": finished["expires_at"] ?? .null]),
                members: ["file", "size", "expires_at"])
        } catch {
            _ = unlink(path)
            throw error
        }
    }

    static let delete: Command = Command(
        "tenants delete", operands: ["NAME"],
        summary: "End a tenant for good, with everything it has, once the time to call it off has passed",
        options: [
            .init("confirm", "NAME", "its name once more"),
            .init(
                "users", "erase|keep", "accounts with roles in this tenant only: erased, or kept without roles (erase)"),
            .init("wait", nil, "return when it has ended"),
        ], example: "passerelle tenants delete acme --confirm acme --wait"
    ) { arguments, console in
        guard let confirmed: String = arguments["confirm"] else {
            throw CommandError.usage("--confirm NAME is required: what is deleted does not come back.")
        }
        let plane: ControlPlane = try ControlPlane(arguments)
        var body: JSONObject = ["confirm": .string(confirmed)]
        if let users: String = arguments["users"] { body["users"] = .string(users) }
        let ending: JSONValue = try await plane.send(
            "POST", "/v1/tenants/\(ControlPlane.escaped(arguments.operands[0]))/deletion", .object(body))
        guard arguments.has("wait") else {
            return console.show(ending, members: ["task", "state", "due_at", "users"])
        }
        let task: JSONValue = try await Self.follow(ending["task"]?.text ?? "", plane, console)
        console.show(task, members: ["id", "state", "result", "finished_at"])
        guard task["state"]?.text == "done" else {
            throw CommandError.failed("The tenant stays: \(task["result"]?["reason"]?.text ?? "see the task")")
        }
    }

    static let cancelDeletion: Command = Command(
        "tenants cancel-deletion", operands: ["NAME"],
        summary: "Call the end of a tenant off, while it has not begun",
        example: "passerelle tenants cancel-deletion acme"
    ) { arguments, console in
        let plane: ControlPlane = try ControlPlane(arguments)
        let name: String = arguments.operands[0]
        try await plane.send("DELETE", "/v1/tenants/\(ControlPlane.escaped(name))/deletion", nil)
        console.print("'\(name)' stays.")
    }

    /// How often a task is looked at.
    private static let lookEvery: Duration = .milliseconds(250)

    /// Follows a task to its end, which may be days away.
    private static func follow(_ id: String, _ plane: ControlPlane, _ console: Console) async throws -> JSONValue {
        let clock: SystemClock = SystemClock()
        while true {
            let task: JSONValue = try await plane.get("/v1/tasks/\(ControlPlane.escaped(id))")
            if task["state"]?.text != "running" {
                console.progress("")
                return task
            }
            console.progress(
                "\(task["result"]?["stage"]?.text ?? "") \(task["done"]?.jsonText ?? "0") of \(task["total"]?.jsonText ?? "0")"
            )
            try await clock.sleep(for: Self.lookEvery)
        }
    }
}
