import Documents
import GatewayConfiguration
import KeyRing
import Telemetry

/// `passerelle.yaml`: every problem at once, by line and column.
enum SettingsFile {
    static let bytesMax: Int = 1 << 20

    /// - Parameter secrets: the values of what the file refers to; nil: they cannot be opened yet.
    static func apply(
        _ bytes: [UInt8], to settings: inout Settings, secrets: [String: String]? = nil
    ) throws(InvalidDocument) {
        let root: Node
        do {
            root = try DocumentReader.parse(bytes)
        } catch {
            throw InvalidDocument(problems: [error.problem])
        }
        settings.secretReferences = try SettingsSecrets.references(in: root)
        let start: Settings = settings
        settings = try NodeDecoder.decode(SettingsSecrets.document(root, with: secrets)) { decoder in
            Self.read(decoder, start)
        }
    }

    private static func read(_ decoder: NodeDecoder, _ start: Settings) -> Settings? {
        guard
            let fields: NodeFields = decoder.fields([
                "data", "store", "issuer", "port_base", "services", "listen", "gateway", "keys", "limits", "backup",
                "log", "telemetry", "identity", "egress", "tenants", "retention", "tls", "audit",
                "proxies", "cors", "rate_limits",
            ])
        else {
            return nil
        }
        var settings: Settings = start
        if let data: String = fields["data"]?.string(length: 1...4_096) { settings.data = data }
        if let store: NodeDecoder = fields["store"] { Self.readStore(store, &settings) }
        if let issuer: String = fields["issuer"]?.string(length: 1...2_048) { settings.issuer = issuer }
        if let base: Int = fields["port_base"]?.integer(in: 1_024...65_500) { settings.setPortBase(base) }
        if let services: [String] = fields["services"]?.list(count: 1...64, { Self.service($0) }) {
            settings.services = services
        }
        if let listen: NodeFields = fields["listen"]?.fields([
            "gateway", "https", "control_plane", "geolocation", "admin",
        ]) {
            if let text: String = listen["admin"]?.string(length: 1...256) { settings.adminAddress = text }
            if let https: NodeDecoder = listen["https"] { settings.https = HTTPSListener.read(https) ?? settings.https }
            if let text: String = listen["gateway"]?.string(length: 1...256) { settings.gatewayAddress = text }
            if let text: String = listen["control_plane"]?.string(length: 1...256) {
                settings.controlPlaneAddress = text
            }
            if let text: String = listen["geolocation"]?.string(length: 1...256) { settings.geolocationAddress = text }
        }
        if let gateway: NodeDecoder = fields["gateway"] { Self.readGateway(gateway, &settings) }
        if let backup: NodeFields = fields["backup"]?.fields(["folder", "key_file"]) {
            if let folder: String = backup["folder"]?.string(length: 1...4_096) { settings.backupFolder = folder }
            if let file: String = backup["key_file"]?.string(length: 1...4_096) { settings.backupKeyFile = file }
        }
        if let keys: NodeFields = fields["keys"]?.fields([
            "url", "old_url", "token_file", "ca_file", "rotate_every", "role_id", "secret_id_file",
            "auth_mount", "namespace",
        ]) {
            if let url: String = keys["url"]?.string(length: 1...2_048) { settings.keys.url = url }
            if let url: String = keys["old_url"]?.string(length: 1...2_048) { settings.keys.oldURL = url }
            if let file: String = keys["token_file"]?.string(length: 1...4_096) { settings.keys.tokenFile = file }
            if let id: String = keys["role_id"]?.string(length: 1...256) { settings.keys.roleID = id }
            if let file: String = keys["secret_id_file"]?.string(length: 1...4_096) {
                settings.keys.secretIDFile = file
            }
            if let mount: String = keys["auth_mount"]?.string(VaultServer.problem(place:)) {
                settings.keys.authMount = mount
            }
            if let name: String = keys["namespace"]?.string(VaultServer.problem(place:)) {
                settings.keys.namespace = name
            }
            if let file: String = keys["ca_file"]?.string(length: 1...4_096) { settings.keys.authoritiesFile = file }
            if let every: NodeDecoder = keys["rotate_every"] {
                if every.node.text == "never" {
                    settings.keys.rotateEvery = nil
                } else if let age: Duration = every.duration(in: KeySettings.rotations) {
                    settings.keys.rotateEvery = age
                }
            }
        }
        if let tls: NodeDecoder = fields["tls"] { settings.tls = TLSSettings.read(tls, settings.tls) }
        if let proxies: NodeDecoder = fields["proxies"] { settings.edge.readProxies(proxies) }
        if let cors: NodeDecoder = fields["cors"] { settings.edge.readCORS(cors) }
        if let rates: NodeDecoder = fields["rate_limits"] { settings.edge.readLimits(rates) }
        if let egress: NodeDecoder = fields["egress"] { IdentitySettings.readEgress(egress, &settings) }
        if let identity: NodeDecoder = fields["identity"] { IdentitySettings.read(identity, &settings) }
        if let retention: NodeDecoder = fields["retention"] { RetentionSettings.read(retention, &settings) }
        if let tenants: NodeDecoder = fields["tenants"] { TenantSettings.read(tenants, &settings) }
        if let audit: NodeDecoder = fields["audit"] { AuditSettings.read(audit, &settings) }
        if let limits: NodeDecoder = fields["limits"] { Self.readLimits(limits, &settings) }
        if let telemetry: NodeDecoder = fields["telemetry"] {
            settings.telemetry = TelemetrySettings.read(telemetry) ?? settings.telemetry
        }
        if let log: NodeFields = fields["log"]?.fields(["level"]) {
            let level: LogLevel? = log.choice(
                "level", default: settings.logLevel,
                ["debug": .debug, "info": .info, "warning": .warning, "error": .error])
            settings.logLevel = level ?? settings.logLevel
        }
        return settings
    }

    private static func service(_ decoder: NodeDecoder) -> String? {
        guard let name: String = decoder.string() else { return nil }
        if Settings.servicesKnown.contains(name) { return name }
        decoder.problem("expected one of \(Settings.servicesKnown.joined(separator: ", "))")
        return nil
    }

    /// `url` or `url_file`, and how many connections.
    private static func readStore(_ decoder: NodeDecoder, _ settings: inout Settings) {
        guard let fields: NodeFields = decoder.fields(["url", "url_file", "writers", "readers"]) else { return }
        if let url: NodeDecoder = fields["url"], let text: String = url.string(length: 1...4_096) {
            if text.hasPrefix("postgresql://") || text.hasPrefix("postgres://") {
                settings.storeURL = text
            } else {
                url.problem("expected postgresql://USER@HOST:PORT/DATABASE, or no url for SQLite in the data folder")
            }
        }
        if let file: NodeDecoder = fields["url_file"], let path: String = file.string(length: 1...4_096) {
            do throws(CommandError) {
                settings.storeURL = try Settings.storeURL(inFile: path)
            } catch {
                file.problem("\(error)")
            }
        }
        if let count: Int = fields["writers"]?.integer(in: 1...64) { settings.storeWriters = count }
        if let count: Int = fields["readers"]?.integer(in: 1...64) { settings.storeReaders = count }
    }

    private static func readLimits(_ decoder: NodeDecoder, _ settings: inout Settings) {
        let known: [String] = ["url", "password", "password_file", "key", "key_file", "when_away"]
        guard let fields: NodeFields = decoder.fields(known) else { return }
        settings.countersPassword = fields["password"]?.string(length: 1...4_096) ?? settings.countersPassword
        settings.counters.redis = fields["url"]?.redisURL() ?? settings.counters.redis
        if let file: String = fields["password_file"]?.string(length: 1...4_096) {
            settings.counters.passwordFile = file
        }
        let keyBytes: ClosedRange<Int> = CounterSettings.keyBytesMin...4_096
        settings.countersKey = fields["key"]?.string(length: keyBytes) ?? settings.countersKey
        if let file: String = fields["key_file"]?.string(length: 1...4_096) { settings.counters.keyFile = file }
        let whenAway: CounterSettings.Away? = fields.choice(
            "when_away", default: settings.counters.whenAway,
            ["divided": .divided, "open": .open, "closed": .closed])
        settings.counters.whenAway = whenAway ?? settings.counters.whenAway
    }

    private static func readGateway(_ decoder: NodeDecoder, _ settings: inout Settings) {
        let known: [String] = [
            "id", "group", "workers", "control_plane", "token_file", "ca_file", "certificate", "client_certificate",
            "zone", "dns",
        ]
        guard let fields: NodeFields = decoder.fields(known) else { return }
        if let id: String = fields["id"]?.string(length: 1...128) { settings.gatewayID = id }
        if let group: String = fields["group"]?.string(length: 1...63) { settings.gatewayGroup = group }
        if let url: String = fields["control_plane"]?.string(length: 1...2_048) { settings.controlPlaneURL = url }
        if let file: String = fields["token_file"]?.string(length: 1...4_096) { settings.gatewayTokenFile = file }
        if let file: String = fields["ca_file"]?.string(length: 1...4_096) { settings.controlPlaneAuthorities = file }
        if let wanted: Bool = fields["certificate"]?.boolean() { settings.gatewayCertificate = wanted }
        if let files: NodeDecoder = fields["client_certificate"] {
            settings.gatewayClientCertificate = CertificateFiles.read(files) ?? settings.gatewayClientCertificate
        }
        if let zone: NodeDecoder = fields["zone"], let name: String = zone.string() {
            if let message: String = EntryRules.problem(id: name) { zone.problem(message) }
            settings.zone = name
        }
        if let dns: NodeDecoder = fields["dns"] { settings.dns = DNSSettings.read(dns) ?? settings.dns }
        if let workers: NodeDecoder = fields["workers"] {
            if workers.node.text == "auto" {
                settings.workers = .auto
            } else if let count: Int = workers.integer(in: 1...WorkerCount.fixedMax) {
                settings.workers = .fixed(count)
            }
        }
    }
}
