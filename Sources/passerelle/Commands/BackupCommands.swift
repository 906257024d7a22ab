import Backup
import Files
import Glibc
import JSON
import KeyRing
import Time

/// Backups: made by the running platform or of a stopped folder; looked at, checked and restored without a platform.
enum BackupCommands {
    static let all: [Command] = [backup, list, verify, prune, restore]

    private static let key: Command.Option = .init(
        "key-file", "FILE",
        "the passphrase or key, '-' for standard input; PASSERELLE_BACKUP_KEY or asked for otherwise")
    private static let from: Command.Option = .init("from", "FOLDER", "the folder of backups")
    /// How often a command asks the platform how far a backup is.
    private static let followEvery: Duration = .milliseconds(200)

    static let backup: Command = Command(
        "backup", summary: "Back up: the running platform where its settings say, or a stopped data folder",
        options: [
            .init("data", "FOLDER", "back up this data folder, that no process uses, instead of asking a platform"),
            .init("to", "FOLDER", "with --data: the folder of backups; made when missing"), Self.key,
            .init("full", nil, "write everything anew, whatever earlier backups hold"),
        ], example: "passerelle backup --data /var/lib/passerelle --to /mnt/backups --key-file /root/backup.key"
    ) { arguments, console in
        guard let data: String = arguments["data"] else { return try await Self.ask(arguments, console) }
        guard Files.exists("\(data)/passerelle.db") else {
            throw CommandError.failed("\(data) is no data folder: there is no passerelle.db in it.")
        }
        let folder: String = try arguments.required("to")
        let secret: [UInt8] = try Self.secret(arguments)
        let made: BackupDescription = try Self.failing {
            try FolderBackup.run(
                data, isRunning: false, to: try BackupRepository.openOrMake(folder, secret: secret),
                version: Version.text, now: SystemClock().now(), isFull: arguments.has("full"),
                progress: Self.shown("read", console))
        }
        console.progress("")
        Self.show(made, console)
    }

    static let list: Command = Command(
        "backup list", summary: "The backups in a folder", options: [Self.from, Self.key],
        example: "passerelle backup list --from /mnt/backups --key-file /root/backup.key"
    ) { arguments, console in
        let repository: BackupRepository = try Self.open(arguments)
        let found: [BackupDescription] = try Self.failing { try repository.backups() }
        console.list(
            found.map { $0.json }, columns: ["id", "created_at", "bytes", "bytes_added", "version", "master_key"])
    }

    static let verify: Command = Command(
        "backup verify", operands: ["BACKUP?"],
        summary: "Read a backup (the newest) to its last byte and name the first bad piece",
        options: [Self.from, Self.key, .init("all", nil, "every backup in the folder")],
        example: "passerelle backup verify --from /mnt/backups --key-file /root/backup.key"
    ) { arguments, console in
        let repository: BackupRepository = try Self.open(arguments)
        var bad: [String] = []
        let ids: [String] = try Self.failing {
            arguments.has("all") ? try repository.ids() : [try repository.resolve(arguments.operand(0))]
        }
        for id in ids {
            do {
                let found: BackupDescription = try BackupVerification.run(
                    repository, id: id, progress: Self.shown("checked", console))
                console.progress("")
                console.print("\(id) is whole: \(Self.size(found.bytes)) of \(found.createdAt.rfc3339)")
            } catch {
                console.progress("")
                console.print("\(id) is not whole: \(error)")
                bad.append(id)
            }
        }
        guard bad.isEmpty else { throw CommandError.failed("\(bad.count) of \(ids.count) backups cannot be restored.") }
    }

    static let prune: Command = Command(
        "backup prune", summary: "Remove all but the newest backups, and what only they needed",
        options: [Self.from, Self.key, .init("keep", "N", "how many stay")],
        example: "passerelle backup prune --keep 30 --from /mnt/backups --key-file /root/backup.key"
    ) { arguments, console in
        _ = try arguments.required("keep")
        let keep: Int = try arguments.integer("keep", in: 1...100_000) ?? 1
        let repository: BackupRepository = try Self.open(arguments)
        let done: (removed: [String], bytes: Int64) = try Self.failing { try repository.prune(keeping: keep) }
        console.print("\(done.removed.count) backups removed, \(Self.size(done.bytes)) free again")
    }

    static let restore: Command = Command(
        "restore", summary: "Make a data folder from a backup, all of it or nothing",
        options: [
            Self.from, Self.key, .init("data", "FOLDER", "the folder to make; must not exist, or be empty"),
            .init("backup", "BACKUP", "which one (the newest)"),
            .init("master-key", "FILE", "the master key of that installation; may also be put in its place later"),
        ],
        example:
            "passerelle restore --from /mnt/backups --key-file /root/backup.key --data ./restored --master-key /root/master.key"
    ) { arguments, console in
        let folder: String = try arguments.required("data")
        let repository: BackupRepository = try Self.open(arguments)
        let made: BackupDescription = try Self.failing {
            let masterKey: [UInt8]? = try arguments["master-key"].map { try MasterKeyFile.read($0) }
            return try Restore.run(
                repository, id: try repository.resolve(arguments["backup"]), into: folder, masterKey: masterKey
            ) { step, done, total in
                try Self.shown(step, console)(done, total)
            }
        }
        console.progress("")
        switch console.format {
        case .json: console.printJSON(made.json)
        case .table: console.print(Self.words(made, folder, hasKey: arguments["master-key"] != nil))
        }
    }

    // MARK: - Parts

    /// What to do with a restored folder.
    private static func words(_ made: BackupDescription, _ folder: String, hasKey: Bool) -> String {
        var text: String = "Restored \(made.id) of \(made.createdAt.rfc3339) into \(folder).\n"
        if let needed: String = made.masterKey, !hasKey {
            text += """
                Before it can be served it needs its master key, which is in no backup: copy master.key of the installation
                (fingerprint \(needed)) to \(folder)/master.key, mode 0600.

                """
        }
        if Files.exists("\(folder)/\(Restore.erasuresFile)") {
            text += "Whoever was erased since is erased again when it is served.\n"
        }
        text += "Check the audit log: passerelle audit verify --data \(folder) --checkpoint FILE\n"
        text += "Then serve it:       passerelle serve --data \(folder)"
        return text
    }

    private static func ask(_ arguments: Arguments, _ console: Console) async throws {
        if arguments["to"] != nil || arguments["key-file"] != nil {
            throw CommandError.usage(
                "--to and --key-file go with --data. A running platform backs up where its own settings say (backup.folder, backup.key_file)."
            )
        }
        let plane: ControlPlane = try ControlPlane(arguments)
        var run: JSONValue = try await plane.send(
            "POST", "/v1/backups", .object(["full": .bool(arguments.has("full"))]))
        let path: String = "/v1/backups/\(ControlPlane.escaped(run["id"]?.text ?? ""))"
        while run["state"]?.text == "running" {
            console.progress("backing up")
            try await Task.sleep(for: Self.followEvery)
            run = try await plane.get(path)
        }
        console.progress("")
        guard run["state"]?.text == "done", let result: JSONValue = run["result"] else {
            throw CommandError.failed("The backup failed: \(run["result"]?["reason"]?.text ?? "no reason is known")")
        }
        console.show(result, members: ["id", "created_at", "bytes", "bytes_added", "audit_entries", "master_key"])
    }

    private static func show(_ made: BackupDescription, _ console: Console) {
        console.show(made.json, members: ["id", "created_at", "bytes", "bytes_added", "audit_entries", "master_key"])
    }

    private static func open(_ arguments: Arguments) throws -> BackupRepository {
        let folder: String = try arguments.required("from")
        let secret: [UInt8] = try Self.secret(arguments)
        return try Self.failing { try BackupRepository.open(folder, secret: secret) }
    }

    private static func secret(_ arguments: Arguments) throws -> [UInt8] {
        if let file: String = arguments["key-file"], file != "-" {
            return try Self.failing { try BackupSecret.read(file: file) }
        }
        return Array(
            try PasswordInput.read(
                file: arguments["key-file"], variable: "PASSERELLE_BACKUP_KEY", prompt: "Passphrase of the backups: "
            ).utf8)
    }

    /// Errors of the library are for people already.
    private static func failing<T>(_ work: () throws -> T) throws -> T {
        do {
            return try work()
        } catch let error as CommandError {
            throw error
        } catch {
            throw CommandError.failed("\(error)")
        }
    }

    private static func shown(_ verb: String, _ console: Console) -> (Int64, Int64) throws -> Void {
        { done, total in
            // A piece is 64 KiB: every sixteenth will do.
            if done % (1 << 20) == 0 { console.progress("\(verb) \(Self.size(done)) of \(Self.size(total))") }
        }
    }

    private static func size(_ bytes: Int64) -> String {
        bytes < 10 << 20 ? "\((bytes + 1_023) / 1_024) KiB" : "\(bytes >> 20) MiB"
    }
}
