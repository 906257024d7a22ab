package import Documents

extension ProcessSettings {
    static func read(_ fields: NodeFields) -> ProcessSettings {
        let listen: ListenSettings? = fields.value("listen", default: ListenSettings()) { ListenSettings.read($0) }
        let workers: WorkerCount? = fields.value("workers", default: .auto) { WorkerCount.read($0) }
        let telemetry: TelemetrySettings? = fields.value("telemetry", default: TelemetrySettings()) {
            TelemetrySettings.read($0)
        }
        let zone: String?? = fields.optional("zone") { $0.id() }
        let counters: CounterSettings? = fields.value("counters", default: CounterSettings()) {
            CounterSettings.read($0)
        }
        let dns: DNSSettings? = fields.value("dns", default: DNSSettings()) { DNSSettings.read($0) }
        return ProcessSettings(
            listen: listen ?? ListenSettings(), workers: workers ?? .auto, telemetry: telemetry ?? TelemetrySettings(),
            zone: zone ?? nil, counters: counters ?? CounterSettings(), dns: dns ?? DNSSettings())
    }
}

extension CounterSettings {
    static func read(_ decoder: NodeDecoder) -> CounterSettings? {
        guard let fields: NodeFields = decoder.fields(["folder", "redis", "password_file", "key_file", "when_away"])
        else {
            return nil
        }
        let folder: String?? = fields.optional("folder") { $0.string(length: 1...4096) }
        let redis: String?? = fields.optional("redis") { $0.redisURL() }
        let passwordFile: String?? = fields.optional("password_file") { $0.string(length: 1...4096) }
        let keyFile: String?? = fields.optional("key_file") { $0.string(length: 1...4096) }
        let whenAway: Away? = fields.choice(
            "when_away", default: .divided, ["divided": .divided, "open": .open, "closed": .closed])
        guard let folder, let redis, let passwordFile, let keyFile, let whenAway else { return nil }
        return CounterSettings(
            folder: folder, redis: redis, passwordFile: passwordFile, keyFile: keyFile, whenAway: whenAway)
    }
}

extension DNSSettings {
    package static func read(_ decoder: NodeDecoder) -> DNSSettings? {
        let known: [String] = ["servers", "timeout", "attempts", "min_ttl", "max_ttl"]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let defaults: DNSSettings = DNSSettings()
        let servers: [String]? = fields.list("servers", count: 0...DNSSettings.serversMax) { $0.listenAddress() }
        let timeout: Duration? = fields.duration(
            "timeout", default: .seconds(defaults.timeoutSeconds), in: .seconds(1) ... .seconds(60))
        let attempts: Int? = fields.integer("attempts", default: defaults.attempts, in: 1...5)
        let least: Duration? = fields.duration("min_ttl", default: defaults.keepMin, in: .seconds(1) ... .seconds(3600))
        let most: Duration? = fields.duration(
            "max_ttl", default: defaults.keepMax, in: .seconds(1) ... .seconds(86_400))
        guard let servers, let timeout, let attempts, let least, let most else { return nil }
        if most < least { fields["max_ttl"]?.problem("expected at least 'min_ttl'") }
        return DNSSettings(
            servers: servers, timeoutSeconds: Int(timeout.components.seconds), attempts: attempts, keepMin: least,
            keepMax: most)
    }
}

extension ListenSettings {
    /// What is written is all there is: the default address is only listened on where `listen` is absent.
    static func read(_ decoder: NodeDecoder) -> ListenSettings? {
        guard let fields: NodeFields = decoder.fields(["http", "https", "admin", "admin_token_file"]) else {
            return nil
        }
        let http: String? = fields["http"].flatMap { $0.listenAddress() }
        let https: HTTPSListener? = fields["https"].flatMap { HTTPSListener.read($0) }
        let admin: String? = fields["admin"].flatMap { $0.listenAddress() }
        if fields["http"] == nil && fields["https"] == nil {
            fields.problem("expected 'http', 'https' or both to listen on")
        }
        let tokenFile: String?? = fields.optional("admin_token_file") { $0.string(length: 1...4096) }
        if let file: NodeDecoder = fields["admin_token_file"], fields["admin"] == nil {
            file.problem("expected 'admin' beside it: the listener that asks for the token")
        }
        var seen: Set<String> = []
        for (name, address) in [("http", http), ("https", https?.address), ("admin", admin)] {
            guard let address, !address.hasSuffix(":0") else { continue }
            if !seen.insert(address).inserted { fields[name]?.problem("expected an address that is listened on once") }
        }
        return ListenSettings(http: http, https: https, admin: admin, adminTokenFile: tokenFile ?? nil)
    }
}

extension HTTPSListener {
    package static func read(_ decoder: NodeDecoder) -> HTTPSListener? {
        let known: [String] = [
            "address", "certificates", "client_certificates", "min_version", "ciphers", "ticket_lifetime",
        ]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let address: String? = fields.required("address")?.listenAddress()
        let certificates: [CertificateFiles]? = fields.required("certificates")?.list(
            count: 1...HTTPSListener.certificatesMax
        ) { CertificateFiles.read($0) }
        let clients: ClientCertificateRule? = fields["client_certificates"].flatMap { ClientCertificateRule.read($0) }
        let minimum: UpstreamTLS.Version? = fields.value("min_version", default: .tls12) {
            UpstreamTLS.Version.read($0)
        }
        let ciphers: [String]? = fields.value("ciphers", default: []) { Self.readCiphers($0) }
        let lifetime: Duration? = fields.duration(
            "ticket_lifetime", default: HTTPSListener.ticketLifetimeDefault,
            in: .zero...HTTPSListener.ticketLifetimeMax)
        // A rule for clients that cannot be read must not become none.
        guard let address, let certificates, let minimum, let ciphers, let lifetime,
            clients != nil || fields["client_certificates"] == nil
        else { return nil }
        return HTTPSListener(
            address: address, certificates: certificates, clientCertificates: clients, minimumVersion: minimum,
            ciphers: ciphers, ticketLifetime: lifetime)
    }

    private static func readCiphers(_ decoder: NodeDecoder) -> [String]? {
        decoder.list(count: 1...HTTPSListener.ciphersKnown.count) { (decoder: NodeDecoder) -> String? in
            guard let name: String = decoder.string() else { return nil }
            if HTTPSListener.ciphersKnown.contains(name) { return name }
            decoder.problem("expected one of \(HTTPSListener.ciphersKnown.joined(separator: ", "))")
            return nil
        }
    }
}

extension ClientCertificateRule {
    package static func read(_ decoder: NodeDecoder) -> ClientCertificateRule? {
        guard let fields: NodeFields = decoder.fields(["authorities", "mode", "revocation_lists"]) else { return nil }
        let authorities: String? = fields.string("authorities", length: 1...4096)
        let isRequired: Bool? = fields.choice("mode", default: true, ["required": true, "optional": false])
        let lists: String?? = fields.optional("revocation_lists") { $0.string(length: 1...4096) }
        guard let authorities, let isRequired, let lists else { return nil }
        return ClientCertificateRule(authorities: authorities, isRequired: isRequired, revocationLists: lists)
    }
}

extension CertificateFiles {
    package static func read(_ decoder: NodeDecoder) -> CertificateFiles? {
        guard let fields: NodeFields = decoder.fields(["cert", "key"]) else { return nil }
        let certificate: String? = fields.string("cert", length: 1...4096)
        let key: String? = fields.string("key", length: 1...4096)
        guard let certificate, let key else { return nil }
        return CertificateFiles(certificate: certificate, key: key)
    }
}

extension WorkerCount {
    static func read(_ decoder: NodeDecoder) -> WorkerCount? {
        if decoder.node.text == "auto" { return .auto }
        guard case .int(let count) = decoder.node.kind, count >= 1, count <= Int64(WorkerCount.fixedMax) else {
            decoder.problem("expected 'auto' or an integer from 1 to \(WorkerCount.fixedMax)")
            return nil
        }
        return .fixed(Int(count))
    }
}

extension TelemetrySettings {
    /// Reads `telemetry`; the platform's settings hold the same.
    package static func read(_ decoder: NodeDecoder) -> TelemetrySettings? {
        guard let fields: NodeFields = decoder.fields(["access_log", "metrics", "tracing"]) else { return nil }
        let log: (AccessLog, AccessLogRules)? = fields.value("access_log", default: (.off, AccessLogRules())) {
            AccessLog.readWithRules($0)
        }
        let metrics: Bool? = fields.value("metrics", default: true) { decoder in
            if case .bool(let isOn) = decoder.node.kind { return isOn }
            return decoder.choice(["on": true, "off": false])
        }
        var sample: Double? = 0
        var export: SpanExportSettings??
        if let tracing: NodeFields = fields["tracing"]?.fields(["sample"] + SpanExportSettings.fieldNames) {
            sample = tracing.value("sample", default: 0) { $0.number(in: 0...1) }
            export = SpanExportSettings.read(tracing)
        } else {
            export = .some(nil)
        }
        guard let log, let metrics, let sample, let export else { return nil }
        return TelemetrySettings(
            accessLog: log.0, accessLogRules: log.1, metrics: metrics, traceSample: sample, export: export)
    }
}

extension SpanExportSettings {
    /// The fields beside `sample`.
    static let fieldNames: [String] = ["endpoint", "errors", "slow", "service_name", "headers_file"]

    /// Nil: there was a problem; nil within: no endpoint is given.
    static func read(_ fields: NodeFields) -> SpanExportSettings?? {
        let errors: Bool? = fields.boolean("errors", default: true)
        let slow: Duration?? = fields.optional("slow") { $0.duration(in: SpanExportSettings.slowRange) }
        let service: String? = fields.string("service_name", default: Self.serviceDefault, length: 1...128)
        let headersFile: String?? = fields.optional("headers_file") { $0.string(length: 1...4096) }
        guard let decoder: NodeDecoder = fields["endpoint"] else {
            for name in Self.fieldNames.dropFirst() {
                fields[name]?.problem("expected 'endpoint' beside it: without one no spans are sent")
            }
            return .some(nil)
        }
        let endpoint: String? = decoder.parsed("a URL with http or https such as http://127.0.0.1:4318") {
            KeySource.isURL($0) && !$0.contains("@") ? $0 : nil
        }
        guard let endpoint, let errors, let slow, let service, let headersFile else { return nil }
        return SpanExportSettings(
            endpoint: endpoint, keepsErrors: errors, slow: slow, service: service, headersFile: headersFile)
    }
}

extension TelemetrySettings.AccessLog {
    /// As `read`, or a mapping of `file` and what is to be written.
    static func readWithRules(_ decoder: NodeDecoder) -> (TelemetrySettings.AccessLog, AccessLogRules)? {
        guard case .mapping = decoder.node.kind else { return self.read(decoder).map { ($0, AccessLogRules()) } }
        guard let fields: NodeFields = decoder.fields(["file", "sample", "fields", "addresses"]) else { return nil }
        let log: TelemetrySettings.AccessLog? = fields.value("file", default: .file("-")) { self.read($0) }
        let sample: Double? = fields.value("sample", default: 1) { $0.number(in: 0...1) }
        let all: [AccessLogField] = AccessLogField.allCases
        let names: [AccessLogField]? = fields.value("fields", default: all) { decoder in
            decoder.list(count: 1...all.count) { element in
                element.parsed("one of \(all.map(\.rawValue).joined(separator: ", "))") { AccessLogField(rawValue: $0) }
            }
        }
        let addresses: LoggedAddresses? = fields.choice(
            "addresses", default: .truncated, ["full": .full, "truncated": .truncated, "none": .none])
        guard let log, let sample, let names, let addresses else { return nil }
        return (log, AccessLogRules(sample: sample, fields: Set(names), addresses: addresses))
    }

    /// `off`, `on` (standard output, as `-` and as JSON's true), or a path.
    static func read(_ decoder: NodeDecoder) -> TelemetrySettings.AccessLog? {
        if case .bool(let isOn) = decoder.node.kind { return isOn ? .file("-") : .off }
        guard let text: String = decoder.string(length: 1...4096) else { return nil }
        switch text {
        case "off": return .off
        case "on": return .file("-")
        default: return .file(text)
        }
    }
}

extension NodeDecoder {
    /// Where Redis is. A password belongs into a file: a configuration is shown, checked in and passed around.
    package func redisURL() -> String? {
        self.parsed("a URL such as redis://127.0.0.1:6379/0, without a password") { (text: String) -> String? in
            guard text.hasPrefix("redis://") || text.hasPrefix("rediss://") else { return nil }
            let authority: Substring = text.drop { $0 != "/" }.dropFirst(2).prefix { $0 != "/" }
            let user: Substring = authority.contains("@") ? authority.prefix { $0 != "@" } : ""
            return user.contains(":") ? nil : text
        }
    }

    /// A literal address with a port.
    func listenAddress() -> String? {
        self.parsed("an address such as 127.0.0.1:8000 or [::1]:8000") { ListenAddress.isValid($0) ? $0 : nil }
    }
}

/// Addresses as `listen` takes them.
enum ListenAddress {
    static func isValid(_ text: String) -> Bool {
        guard let colon: String.Index = text.lastIndex(of: ":") else { return false }
        let port: Substring = text[text.index(after: colon)...]
        let isNumber: Bool = !port.isEmpty && port.utf8.allSatisfy { $0 >= 48 && $0 <= 57 }
        guard isNumber, UInt16(port) != nil else { return false }
        let host: Substring = text[..<colon]
        if host.hasPrefix("[") && host.hasSuffix("]") {
            guard let address = IPAddress(text: String(host.dropFirst().dropLast())) else { return false }
            return !address.isIPv4
        }
        return IPAddress(text: String(host))?.isIPv4 ?? false
    }
}
