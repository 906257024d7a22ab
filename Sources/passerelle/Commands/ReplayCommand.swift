import Audit
import Bytes
import Catalog
import Contracts
import Crypto
import EventLog
import Files
import JSON
import Store
import Time

/// `events replay`: the state of a moment, rebuilt from the audit log.
enum ReplayCommand {
    /// How long a replay may read from a server.
    private static let readSecondsMax: Int64 = 86_400
    /// What is read of a database, which thus may be of an older version, and of a newer one that left it alone.
    private static let migrations: [ServiceMigrations] = [
        LogMigrations.service.needing(1), CatalogService.migrations.needing(1),
    ]

    static let replay: Command = Command(
        "events replay",
        summary: "Rebuild the state of a moment from the audit log, as a folder of JSON to read and compare",
        options: [
            .init("data", "FOLDER", "the data folder, served or not (./data)"),
            .init(
                "store-url-file", "FILE",
                "instead, for a platform on PostgreSQL: the file with the database's address (PASSERELLE_STORE_URL)"),
            .init(
                "until", "TIME|N", "a time such as 2026-01-02T03:04:05Z, or the number of an audit entry (the newest)"),
            .init("into", "FOLDER", "the folder to make; must not exist, or be empty"),
            .init("base", "FOLDER", "a restored backup, for entries that retention has removed since"),
        ],
        example: "passerelle events replay --until 2026-11-20T12:00:00Z --into ./yesterday --data /var/lib/passerelle"
    ) { arguments, console in
        let folder: String = try arguments.required("into")
        let end: StateReplay.End = try Self.end(arguments["until"])
        let base: DatabasePicture? = try arguments["base"].map { try Self.picture($0) }
        defer { base?.end() }
        let until: String? = arguments["until"]
        let work: @Sendable (any Queryable) throws -> Rebuilt = { newest in
            try Self.rebuild(newest, base, until: until, end, into: folder, console)
        }
        let rebuilt: Rebuilt
        do {
            if let url: String = try Self.server(arguments) {
                rebuilt = try await Self.read(url, work)
            } else {
                let newest: DatabasePicture = try Self.picture(arguments["data"] ?? "./data")
                defer { newest.end() }
                rebuilt = try work(newest)
            }
        } catch let error as CommandError {
            throw error
        } catch {
            throw CommandError.failed("\(error)")
        }
        console.show(
            .object(rebuilt.summary),
            members: ["until", "first_entry", "last_entry", "last_time", "complete", "counts"])
        if !rebuilt.isComplete {
            console.error(
                "The state may lack what did not change since entry \(rebuilt.firstEntry): older entries are gone. Give --base FOLDER with a restored backup that has them."
            )
        }
    }

    private struct Rebuilt: Sendable {
        let summary: JSONObject
        let isComplete: Bool
        let firstEntry: Int64
    }

    private static func rebuild(
        _ newest: any Queryable, _ base: DatabasePicture?, until: String?, _ end: StateReplay.End, into folder: String,
        _ console: Console
    ) throws -> Rebuilt {
        var replay: StateReplay = StateReplay(until: end)
        try replay.run(newest: newest, base: base) { console.progress("\($0) entries read") }
        console.progress("")
        var databases: [any Queryable] = [newest]
        if let base: DatabasePicture { databases.append(base) }
        let summary: JSONObject = try ReplayFolder(replay: replay, until: until, databases: databases).write(to: folder)
        return Rebuilt(summary: summary, isComplete: replay.isComplete, firstEntry: replay.entries.lowerBound)
    }

    /// The address of the database on PostgreSQL that the arguments or the environment name; `--data` stands for a folder.
    private static func server(_ arguments: Arguments) throws -> String? {
        if let file: String = arguments["store-url-file"] { return try Settings.storeURL(inFile: file) }
        return arguments["data"] == nil ? Login.environment("PASSERELLE_STORE_URL") : nil
    }

    /// All of it over one snapshot, however long that takes.
    private static func read(
        _ url: String, _ work: @escaping @Sendable (any Queryable) throws -> Rebuilt
    ) async throws -> Rebuilt {
        var configuration: StoreConfiguration = StoreConfiguration(folder: "", url: url, readers: 1)
        configuration.readTimeMax = .seconds(Self.readSecondsMax)
        configuration.schema = .partial
        let store: Store = try Store.open(configuration, migrations: Self.migrations)
        let rebuilt: Result<Rebuilt, any Error>
        do {
            rebuilt = .success(try await store.read { try work($0) })
        } catch {
            rebuilt = .failure(error)
        }
        await store.close()
        return try rebuilt.get()
    }

    private static func end(_ text: String?) throws(CommandError) -> StateReplay.End {
        guard let text: String else { return .newest }
        if let number: Int64 = Int64(text), number >= 0 { return .entry(number) }
        if let time: Timestamp = Timestamp(rfc3339: text) { return .time(time) }
        throw .usage("--until is '\(text)'; expected a time such as 2026-01-02T03:04:05Z, or an entry's number.")
    }

    /// A picture does not care whether somebody works there.
    private static func picture(_ folder: String) throws -> DatabasePicture {
        guard Files.exists("\(folder)/passerelle.db") else {
            throw CommandError.failed("\(folder) is no data folder: there is no passerelle.db in it.")
        }
        do {
            let picture: DatabasePicture = try DatabasePicture(ofOpenStoreIn: folder)
            try picture.require(Self.migrations)
            return picture
        } catch {
            throw CommandError.failed("\(folder) cannot be read: \(error)")
        }
    }
}

/// Writes a replayed state as a folder: one file a thing, named so that two such folders can be compared with `diff -r`.
struct ReplayFolder {
    let replay: StateReplay
    let until: String?
    /// Where documents are found by their hash, newest first.
    let databases: [any Queryable]

    /// - Returns: what `summary.json` holds.
    func write(to target: String) throws -> JSONObject {
        if Files.exists(target) {
            guard Folders.isFolder(target), try Folders.names(in: target).isEmpty else {
                throw CommandError.failed("\(target) is not empty: give a folder that does not exist yet.")
            }
        }
        let place: String = target + ".partial"
        try Folders.remove(place)
        try Files.makeFolder(place)
        let state: ReplayedState = self.replay.state
        var missing: [JSONValue] = []
        for (key, tenant) in state.all(.tenant) {
            try Self.put(.object(tenant), "\(place)/tenants/\(key.id)", "tenant")
        }
        for kind: ReplayedState.Kind in [
            .target, .environment, .plan, .application, .subscription, .deployment, .role, .group, .serviceAccount,
            .oauthClient, .secondFactorRule,
        ] {
            for (key, thing) in state.all(kind) {
                // Roles, groups and service accounts of no tenant are the platform's.
                let owner: String = key.tenant.isEmpty ? place : "\(place)/tenants/\(key.tenant)"
                try Self.put(.object(thing), "\(owner)/\(kind.rawValue)s", key.id)
            }
        }
        for (key, api) in state.all(.api) {
            let folder: String = "\(place)/tenants/\(key.tenant)/apis/\(api["name"]?.text ?? key.id)"
            try Self.put(.object(api), folder, "api")
            if let live: [String: JSONValue] = state.live[key] { try Self.put(Self.object(live), folder, "live") }
            for revision in state.revisions[key] ?? [] {
                missing += try self.write(revision, of: key, to: "\(folder)/revisions")
            }
        }
        for (id, user) in state.users { try Self.put(.object(user), "\(place)/users", id) }
        for (key, token) in state.all(.gatewayToken) { try Self.put(.object(token), "\(place)/gateway-tokens", key.id) }
        let summary: JSONObject = self.summary(missing)
        try Self.put(.object(summary), place, "summary")
        try Folders.rename(place, to: target)
        return summary
    }

    /// - Returns: what of the revision is nowhere to be found.
    private func write(_ revision: JSONObject, of api: ReplayedState.Key, to folder: String) throws -> [JSONValue] {
        let number: Int64 = revision["revision"]?.integer ?? 0
        try Self.put(.object(revision), folder, "\(number)")
        var missing: [JSONValue] = []
        let history: CatalogHistory = CatalogHistory()
        if let hash: String = revision["document_sha256"]?.text {
            var document: [UInt8]?
            for database in self.databases where document == nil {
                document = try history.document(tenant: api.tenant, hash: hash, in: database)
            }
            if let document: [UInt8], Hex.encode(SHA256.hash(document)) == hash {
                let isJSON: Bool = document.first { $0 > 32 } == UInt8(ascii: "{")
                try Files.replace("\(folder)/\(number).document.\(isJSON ? "json" : "yaml")", with: document)
            } else {
                missing.append(.string("document \(hash) of \(api.id), revision \(number)"))
            }
        }
        if let hash: String = revision["gateway_sha256"]?.text {
            var gateway: JSONValue?
            for database in self.databases where gateway == nil {
                gateway = try history.gateway(tenant: api.tenant, api: api.id, revision: number, in: database)
            }
            if let gateway: JSONValue, Hex.encode(SHA256.hash(gateway.canonical())) == hash {
                try Self.put(gateway, folder, "\(number).gateway")
            } else {
                missing.append(.string("gateway configuration \(hash) of \(api.id), revision \(number)"))
            }
        }
        return missing
    }

    private func summary(_ missing: [JSONValue]) -> JSONObject {
        var counts: JSONObject = ["user": .int(Int64(self.replay.state.users.count))]
        for kind in ReplayedState.Kind.allCases {
            counts[kind.rawValue] = .int(Int64(self.replay.state.things[kind]?.count ?? 0))
        }
        var gaps: [JSONValue] = []
        for gap in self.replay.gaps {
            gaps.append(
                .object([
                    "first": .int(gap.entries.lowerBound), "last": .int(gap.entries.upperBound - 1),
                    "reason": .string(gap.reason),
                ]))
        }
        return [
            "format": 1, "until": self.until.map { JSONValue.string($0) } ?? .null,
            "first_entry": .int(self.replay.entries.lowerBound), "last_entry": .int(self.replay.entries.upperBound - 1),
            "last_id": self.replay.last["id"] ?? .null, "last_time": self.replay.last["time"] ?? .null,
            "complete": .bool(self.replay.isComplete && missing.isEmpty), "gaps": .array(gaps),
            "missing": .array(missing), "counts": .object(counts),
        ]
    }

    private static func object(_ members: [String: JSONValue]) -> JSONValue {
        var object: JSONObject = JSONObject()
        for name in members.keys.sorted() { object.append(name, members[name] ?? .null) }
        return .object(object)
    }

    private static func put(_ value: JSONValue, _ folder: String, _ name: String) throws {
        // Names are slugs, ids or hashes; one from a log that somebody wrote by hand must not lead elsewhere.
        let safe: String = name.utf8.contains(UInt8(ascii: "/")) || name.hasPrefix(".") ? "_" : name
        if !Folders.isFolder(folder) { try Files.makeFolder(folder) }
        try Files.replace("\(folder)/\(safe).json", with: value.pretty())
    }
}
