import Deployments
import Documents
import EventLoops
import Files
import GatewayConfiguration
import HTTP
import Identity
import KeyRing
import Redis
import Secrets
import Telemetry

/// How this process runs: flags over `PASSERELLE_*` over `passerelle.yaml` over these defaults.
struct Settings: Sendable {
    /// The services this version has, in the order they start.
    static let servicesKnown: [String] = [
        "observability", "catalog", "portal", "identity", "secrets", "deployments", "audit", "geolocation", "gateway",
    ]

    /// The data folder. Default `./data`.
    var data: String = "./data"
    /// Where PostgreSQL is; nil is SQLite in the data folder. May hold a password: never shown.
    var storeURL: String?
    /// Connections to PostgreSQL that write. Default 8, 1…64.
    var storeWriters: Int = 8
    /// Connections to PostgreSQL that read. Default 4, 1…64.
    var storeReaders: Int = 4
    /// What tokens name as their issuer: a URL that all processes on one database share. Default: the control plane's address.
    var issuer: String?
    /// What of the platform runs here. Default: all of it.
    var services: [String] = Settings.servicesKnown
    /// Where the gateway listens. Default 127.0.0.1:8000.
    var gatewayAddress: String = "127.0.0.1:8000"
    /// Where the control plane listens. Default 127.0.0.1:8001.
    var controlPlaneAddress: String = "127.0.0.1:8001"
    /// Where a gateway apart tells its health and metrics; nowhere unless configured.
    var adminAddress: String?
    /// Where the sample API listens. Default 127.0.0.1:8010.
    var geolocationAddress: String = "127.0.0.1:8010"
    /// The gateway's HTTPS listener; none unless configured. Its files are relative to the working folder.
    var https: HTTPSListener?
    /// What flags say about it, put together by `check`.
    private var httpsFlags: HTTPSFlags = HTTPSFlags()
    /// Where HTTPS is listened on when certificates are named and no address is. Default 127.0.0.1:8002.
    private var httpsAddress: String = "127.0.0.1:8002"
    /// Event loops of the gateway. Default: one a processor.
    var workers: WorkerCount = .auto
    /// Where the gateway stands; targets of the same zone are preferred. Default: nowhere.
    var zone: String?
    /// How the gateway looks names of targets up. Default: as the system does.
    var dns: DNSSettings = DNSSettings()
    /// This gateway's name. Default: `gw-` and the host's name and port.
    var gatewayID: String?
    /// The gateways that run the same snapshot. Default `default`.
    var gatewayGroup: String = "default"
    /// The control plane of a gateway apart. Default: the one in this process.
    var controlPlaneURL: String?
    /// The file with the token of a gateway apart.
    var gatewayTokenFile: String?
    /// Whether a gateway apart asks for a certificate for its link, where that is https. Default: yes.
    var gatewayCertificate: Bool = true
    /// The file with the authorities a gateway apart trusts for its control plane, PEM. Default: those of this machine.
    var controlPlaneAuthorities: String?
    /// What a gateway apart shows its control plane where it has no certificate of its own. Default: nothing.
    var gatewayClientCertificate: CertificateFiles?
    /// How the control plane speaks TLS. Default: plain HTTP.
    var tls: TLSSettings?
    /// What flags say about it, put together by `check`.
    private var tlsFlags: TLSFlags = TLSFlags()
    /// Where `POST /v1/backups` puts backups; none unless configured.
    var backupFolder: String?
    /// The file with their passphrase or key.
    var backupKeyFile: String?
    /// The shared counters of rate limits. Default: none, such limits are divided among live gateways.
    var counters: CounterSettings = CounterSettings()
    /// Their password, where it is a secret of the platform.
    var countersPassword: String?
    /// What answers that gateways share are sealed with, where it is a secret of the platform.
    var countersKey: String?
    /// Where the master key is. Default: `master.key` in the data folder.
    var keys: KeySettings = KeySettings()
    /// What the gateway tells about its traffic. Default: metrics only.
    var telemetry: TelemetrySettings = TelemetrySettings()
    /// For how long what happened is kept.
    var retention: RetentionSettings = RetentionSettings()
    /// How tenants end and are archived.
    var tenants: TenantSettings = TenantSettings()
    /// Where checkpoints of the audit log are kept outside.
    var audit: AuditSettings = AuditSettings()
    /// Identity providers of others. Default: none.
    var identityProviders: [IdentityProviderSettings] = []
    /// What happens to every request of the control plane.
    var edge: EdgeSettings = EdgeSettings()
    /// Addresses that are not public and may be called all the same. Default: none.
    var egressAllowed: [AddressRange] = []
    /// Whether tenants' targets may be at loopback and private addresses, where one's own servers are.
    var egressPrivateTargets: Bool = true
    var logLevel: LogLevel = .info
    /// The settings file.
    var fileName: String = "passerelle.yaml"
    /// Where the file refers to secrets, which `readAgain` takes the values of.
    var secretReferences: [SettingsSecrets.Reference] = []
    /// Reads everything again with the values of secrets; nil where nothing refers to any.
    var readAgain: (@Sendable ([String: String]) throws -> Settings)?

    /// Where a process that serves the data folder can be taken over.
    var handoverPath: String { "\(self.data)/passerelle.sock" }

    /// Where the control plane is reached: its issuer, or its address.
    var publicURL: String {
        let url: String = self.issuer ?? "\(self.controlPlaneScheme)://\(self.controlPlaneAddress)"
        return url.hasSuffix("/") ? String(url.dropLast()) : url
    }

    var controlPlaneScheme: String { self.tls == nil ? "http" : "https" }

    /// What the control plane's own certificate is valid for.
    var controlPlaneNames: [String] {
        self.tls?.ownNames(address: self.controlPlaneAddress, issuer: self.issuer) ?? []
    }

    func runs(_ service: String) -> Bool { self.services.contains(service) }

    /// Whether this process is a gateway apart: no store, the link over HTTP.
    var isGatewayOnly: Bool { self.services == ["gateway"] }

    /// `--port-base N`: N gateway, N+1 control plane, N+2 HTTPS, N+3 Kafka, N+4 geolocation; all on 127.0.0.1.
    mutating func setPortBase(_ base: Int) {
        self.gatewayAddress = "127.0.0.1:\(base)"
        self.controlPlaneAddress = "127.0.0.1:\(base + 1)"
        self.httpsAddress = "127.0.0.1:\(base + 2)"
        self.geolocationAddress = "127.0.0.1:\(base + 4)"
    }

    // MARK: Sources

    static let options: [Command.Option] = [
        .init("config", "FILE", "settings file (passerelle.yaml where it exists)"),
        .init("data", "FOLDER", "the data folder (./data)"),
        .init("store-url-file", "FILE", "a file with the address of PostgreSQL (SQLite in the data folder)"),
        .init("issuer", "URL", "what tokens name as their issuer (the control plane's address)"),
        .init("services", "A,B", "what runs in this process (everything)"),
        .init("port-base", "N", "N gateway, N+1 control plane, N+2 HTTPS, N+4 geolocation"),
        .init("https", "ADDRESS", "where the gateway listens with TLS (nowhere; with --tls-cert 127.0.0.1:8002)"),
        .init("tls-cert", "FILE", "the certificate and its chain, PEM; read again when it changes"),
        .init("tls-key", "FILE", "its private key, PEM"),
        .init("tls-client-ca", "FILE", "authorities, PEM: clients must show a certificate of theirs"),
        .init(
            "control-tls-cert", "own|FILE", "the control plane's certificate: of the own authority, or PEM (plain HTTP)"
        ),
        .init("control-tls-key", "FILE", "with a file: its private key, PEM; both are read again when they change"),
        .init("control-tls-names", "A,B", "with own: what it is valid for (the address, this machine, localhost)"),
        .init("gateway-credentials", "KIND", "by what gateways call over TLS: either, token or certificate (either)"),
        .init("trusted-proxies", "A,B", "proxies in front of the control plane: addresses and ranges (none)"),
        .init("proxy-field", "FIELD", "where they name the caller: x-forwarded-for or forwarded (x-forwarded-for)"),
        .init("workers", "N|auto", "event loops of the gateway (one a processor)"),
        .init("gateway-id", "ID", "this gateway's name"),
        .init("gateway-group", "GROUP", "the gateways that run the same snapshot (default)"),
        .init("control-plane", "URL", "the control plane of a gateway apart"),
        .init("gateway-token-file", "FILE", "the token of a gateway apart"),
        .init("admin", "ADDRESS", "where a gateway apart answers /healthz, /readyz and /metrics (nowhere)"),
        .init("backup-folder", "FOLDER", "where backups of the running platform go (nowhere)"),
        .init("backup-key-file", "FILE", "the file with their passphrase or key"),
        .init("limits-url", "URL", "Redis for limits that gateways share (none: limits are divided)"),
        .init(
            "keys-url", "URL", "the master key: file:PATH, env:NAME, openbao+https://HOST:PORT/MOUNT/KEY (master.key)"),
        .init("keys-old-url", "URL", "the master key before: the keys move from it to the present one"),
        .init("keys-token-file", "FILE", "the token for OpenBao"),
        .init("keys-role-id", "ID", "an AppRole of OpenBao, in place of a token"),
        .init("keys-secret-id-file", "FILE", "the secret id of that role"),
        .init("keys-auth-mount", "MOUNT", "where OpenBao has the method of that role (approle)"),
        .init("keys-namespace", "NAMESPACE", "the namespace of OpenBao (the root)"),
        .init("keys-ca-file", "FILE", "authorities of OpenBao's certificate, PEM (those of this machine)"),
        .init(
            "keys-rotate-every", "TIME|never", "how old keys become before they rotate by themselves, 1h to 3650d (90d)"
        ),
        .init("log-level", "LEVEL", "debug, info, warning or error (info)"),
    ]

    /// - Parameter makesCertificate: HTTPS without a certificate is not refused: `DemoCertificate` makes one.
    /// - Throws: a usage error that names the flag, variable or place in the file.
    /// - Parameter secrets: the values of what the file refers to; nil: they cannot be opened yet.
    static func load(
        _ arguments: Arguments, makesCertificate: Bool = false, secrets: [String: String]? = nil
    ) throws(CommandError) -> Settings {
        var settings: Settings = Settings()
        try settings.applyFile(
            named: arguments["config"] ?? Login.environment("PASSERELLE_CONFIG"), secrets: secrets)
        if secrets == nil, !settings.secretReferences.isEmpty {
            settings.readAgain = { values in
                try Settings.load(arguments, makesCertificate: makesCertificate, secrets: values)
            }
        }
        for option in Self.options where option.name != "config" {
            let variable: String = "PASSERELLE_" + option.name.uppercased().map { $0 == "-" ? "_" : $0 }
            if let value: String = Login.environment(variable) {
                try settings.apply(option.name, value, source: variable)
            }
        }
        // The address itself may hold a password, so it is no argument: arguments show in the list of processes.
        if let url: String = Login.environment("PASSERELLE_STORE_URL") { settings.storeURL = url }
        for option in Self.options where option.name != "config" {
            if let value: String = arguments[option.name] {
                try settings.apply(option.name, value, source: "--\(option.name)")
            }
        }
        let trust: ControlPlaneTrust = .ofEnvironment
        settings.controlPlaneAuthorities = trust.authorities ?? settings.controlPlaneAuthorities
        if let certificate: String = trust.certificate {
            settings.gatewayClientCertificate = CertificateFiles(
                certificate: certificate, key: trust.key ?? certificate)
        }
        try settings.applyHTTPS(makesCertificate: makesCertificate)
        try settings.applyTLS()
        try settings.check()
        return settings
    }

    /// Flags over the file: a certificate named by flags replaces those of the file.
    private mutating func applyHTTPS(makesCertificate: Bool) throws(CommandError) {
        let flags: HTTPSFlags = self.httpsFlags
        guard (flags.certificate == nil) == (flags.key == nil) else {
            throw .usage("--tls-cert and --tls-key belong together: give both or none.")
        }
        var certificates: [CertificateFiles] = self.https?.certificates ?? []
        if let certificate: String = flags.certificate, let key: String = flags.key {
            certificates = [CertificateFiles(certificate: certificate, key: key)]
        } else if certificates.isEmpty, makesCertificate, flags.address != nil {
            certificates = [DemoCertificate.files(in: self.data)]
        }
        guard !certificates.isEmpty else {
            if flags.address == nil && flags.authorities == nil { return }
            throw .usage(
                "HTTPS needs a certificate: --tls-cert FILE and --tls-key FILE, or listen.https in the settings.")
        }
        var listener: HTTPSListener =
            self.https ?? HTTPSListener(address: self.httpsAddress, certificates: certificates)
        listener.certificates = certificates
        if let address: String = flags.address { listener.address = address }
        if let authorities: String = flags.authorities {
            listener.clientCertificates = ClientCertificateRule(authorities: authorities)
        }
        guard SocketAddress(listener.address) != nil else {
            throw .usage(
                "'\(listener.address)' is not an address; expected for example 127.0.0.1:8002 or [::1]:8002.")
        }
        self.https = listener
    }

    /// Flags over the file: a certificate named by flags replaces that of the file.
    private mutating func applyTLS() throws(CommandError) {
        let flags: TLSFlags = self.tlsFlags
        switch (flags.certificate, flags.key) {
        case (nil, nil): break
        case ("own", nil): self.setCertificate(.own)
        case (let certificate?, let key?) where certificate != "own":
            self.setCertificate(.files(CertificateFiles(certificate: certificate, key: key)))
        default:
            throw .usage(
                "--control-tls-cert FILE and --control-tls-key FILE belong together; --control-tls-cert own is alone.")
        }
        guard self.tls != nil || (flags.names == nil && flags.gateways == nil) else {
            throw .usage(
                "--control-tls-names and --gateway-credentials need --control-tls-cert, or tls in the settings.")
        }
        if let names: String = flags.names {
            let list: [String] = names.split(separator: ",").map(String.init)
            for name in list {
                if let problem: String = PlatformCertificates.problem(name: name) {
                    throw .usage("--control-tls-names has '\(name)': \(problem).")
                }
            }
            self.tls?.names = list
        }
        if let text: String = flags.gateways {
            guard let kind: GatewayCredentials = GatewayCredentials(rawValue: text) else {
                throw .usage("--gateway-credentials is '\(text)'; expected either, token or certificate.")
            }
            self.tls?.gateways = kind
        }
    }

    private mutating func setCertificate(_ certificate: TLSSettings.Certificate) {
        if self.tls == nil {
            self.tls = TLSSettings(certificate: certificate)
        } else {
            self.tls?.certificate = certificate
        }
    }

    /// The path of a mount or namespace of OpenBao.
    private static func place(_ value: String, _ source: String) throws(CommandError) -> String {
        guard let wanted: String = VaultServer.problem(place: value) else { return value }
        throw .usage("\(source) is '\(value)'; expected \(wanted).")
    }

    /// What of another reading of the same settings comes from secrets.
    mutating func takeSecrets(of other: Settings) {
        self.identityProviders = other.identityProviders
        self.counters = other.counters
        self.countersPassword = other.countersPassword
        self.countersKey = other.countersKey
        self.telemetry = other.telemetry
    }

    private mutating func applyFile(named name: String?, secrets: [String: String]?) throws(CommandError) {
        let path: String = name ?? "passerelle.yaml"
        self.fileName = path
        if name == nil && !Files.exists(path) { return }
        let bytes: [UInt8]
        do {
            bytes = try Files.read(path, bytesMax: SettingsFile.bytesMax)
        } catch {
            throw .usage("\(error)")
        }
        do {
            try SettingsFile.apply(bytes, to: &self, secrets: secrets)
        } catch {
            throw .usage(error.text(file: path))
        }
    }

    private mutating func apply(_ name: String, _ value: String, source: String) throws(CommandError) {
        switch name {
        case "data": self.data = value
        case "store-url-file": self.storeURL = try Self.storeURL(inFile: value)
        case "issuer": self.issuer = value
        case "services": self.services = value.split(separator: ",").map(String.init)
        case "port-base":
            guard let base: Int = Int(value), (1_024...65_500).contains(base) else {
                throw .usage("\(source) is '\(value)'; expected a port from 1024 to 65500.")
            }
            self.setPortBase(base)
        case "workers":
            guard let count: WorkerCount = Self.workers(value) else {
                throw .usage("\(source) is '\(value)'; expected auto or a number from 1 to \(WorkerCount.fixedMax).")
            }
            self.workers = count
        case "https": self.httpsFlags.address = value
        case "tls-cert": self.httpsFlags.certificate = value
        case "tls-key": self.httpsFlags.key = value
        case "tls-client-ca": self.httpsFlags.authorities = value
        case "control-tls-cert": self.tlsFlags.certificate = value
        case "control-tls-key": self.tlsFlags.key = value
        case "control-tls-names": self.tlsFlags.names = value
        case "gateway-credentials": self.tlsFlags.gateways = value
        case "trusted-proxies": self.edge.proxies.ranges = try EdgeSettings.proxies(value, source: source)
        case "proxy-field": self.edge.proxies.field = try EdgeSettings.field(value, source: source)
        case "gateway-id": self.gatewayID = value
        case "gateway-group": self.gatewayGroup = value
        case "control-plane": self.controlPlaneURL = value
        case "admin": self.adminAddress = value
        case "backup-folder": self.backupFolder = value
        case "backup-key-file": self.backupKeyFile = value
        case "gateway-token-file": self.gatewayTokenFile = value
        case "keys-url": self.keys.url = value
        case "keys-old-url": self.keys.oldURL = value
        case "keys-token-file": self.keys.tokenFile = value
        case "keys-role-id": self.keys.roleID = value
        case "keys-secret-id-file": self.keys.secretIDFile = value
        case "keys-auth-mount": self.keys.authMount = try Self.place(value, source)
        case "keys-namespace": self.keys.namespace = try Self.place(value, source)
        case "keys-rotate-every":
            let age: Duration? = value == "never" ? nil : DurationText.parse(value)
            guard value == "never" || age.map({ KeySettings.rotations.contains($0) }) == true else {
                throw .usage("\(source) is '\(value)'; expected never, or a time from 1h to 3650d.")
            }
            self.keys.rotateEvery = age
        case "keys-ca-file": self.keys.authoritiesFile = value
        case "limits-url":
            do {
                _ = try RedisLocation(parsing: value)
            } catch {
                throw .usage("\(source): \(error)")
            }
            self.counters.redis = value
        default:
            guard let level: LogLevel = LogLevel(name: value) else {
                throw .usage("\(source) is '\(value)'; expected debug, info, warning or error.")
            }
            self.logLevel = level
        }
    }

    /// The first line of a file that only its owner should be able to read.
    static func storeURL(inFile path: String) throws(CommandError) -> String {
        let bytes: [UInt8]
        do { bytes = try Files.read(path, bytesMax: 4_096) } catch { throw .usage("\(error)") }
        let line: String = String(decoding: bytes.prefix { $0 > 32 }, as: UTF8.self)
        guard line.hasPrefix("postgresql://") || line.hasPrefix("postgres://") else {
            throw .usage("\(path) does not begin with postgresql://: expected postgresql://USER@HOST:PORT/DATABASE.")
        }
        return line
    }

    private static func workers(_ text: String) -> WorkerCount? {
        if text == "auto" { return .auto }
        guard let count: Int = Int(text), (1...WorkerCount.fixedMax).contains(count) else { return nil }
        return .fixed(count)
    }

    /// What only the whole shows.
    private func check() throws(CommandError) {
        for service in self.services where !Self.servicesKnown.contains(service) {
            throw .usage(
                "There is no service '\(service)'; expected some of \(Self.servicesKnown.joined(separator: ", ")).")
        }
        guard !self.services.isEmpty else { throw .usage("--services names nothing to run.") }
        if let issuer: String = self.issuer, URLParts(issuer) == nil {
            throw .usage("The issuer is '\(issuer)'; expected a URL such as https://api.example.com.")
        }
        if self.storeURL != nil, !self.isGatewayOnly, self.runs("gateway"), !self.runs("deployments") {
            throw .usage(
                "The gateway needs the deployments service in its process, or to run apart: --services gateway.")
        }
        if !self.isGatewayOnly, self.storeURL == nil, self.services.count < Self.servicesKnown.count {
            let control: [String] = Self.servicesKnown.filter { $0 != "gateway" && $0 != "geolocation" }
            for service in control where !self.runs(service) {
                throw .usage(
                    "On SQLite only the gateway runs apart: --services gateway, or without gateway and geolocation, not without \(service)."
                )
            }
        }
        if self.isGatewayOnly, let reference: SettingsSecrets.Reference = self.secretReferences.first {
            throw .usage(
                reference.problem("a gateway apart opens no secrets: expected the value, or a file with it").text(
                    file: self.fileName))
        }
        if self.isGatewayOnly {
            guard let url: String = self.controlPlaneURL, URLParts(url) != nil else {
                throw .usage("A gateway apart needs --control-plane URL, for example http://127.0.0.1:8001.")
            }
            guard self.gatewayTokenFile != nil else {
                throw .usage(
                    "A gateway apart needs --gateway-token-file FILE: the control plane keeps one in its data folder.")
            }
        }
        guard (self.backupFolder == nil) == (self.backupKeyFile == nil) else {
            throw .usage("backup.folder and backup.key_file belong together: give both or none.")
        }
        for address in [self.gatewayAddress, self.controlPlaneAddress, self.geolocationAddress] {
            guard SocketAddress(address) != nil else {
                throw .usage("'\(address)' is not an address; expected for example 127.0.0.1:8000 or [::1]:8000.")
            }
        }
    }
}

/// The control plane's TLS as flags and variables give it.
private struct TLSFlags: Sendable {
    var certificate: String?
    var key: String?
    var names: String?
    var gateways: String?
}

/// The HTTPS listener as flags and variables give it.
private struct HTTPSFlags: Sendable {
    var address: String?
    var certificate: String?
    var key: String?
    var authorities: String?
}
