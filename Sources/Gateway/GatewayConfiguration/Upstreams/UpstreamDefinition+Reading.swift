package import Documents

extension UpstreamDefinition {
    private static let known: [String] = [
        "targets", "strip_prefix", "balance", "hash_by", "slow_start", "panic_threshold", "preserve_host",
        "passive_health", "active_health", "outlier_ejection", "circuit_breaker", "retries", "connections", "tls",
        "http2", "canary", "mirror",
    ]

    static func read(_ decoder: NodeDecoder) -> UpstreamDefinition? {
        guard let fields: NodeFields = decoder.fields(self.known) else { return nil }
        let targets: [TargetDefinition]? = fields.required("targets")?.list(count: 1...UpstreamDefinition.targetsMax) {
            TargetDefinition.read($0)
        }
        let prefix: String?? = fields.optional("strip_prefix") { self.prefix($0) }
        let preserveHost: Bool? = fields.boolean("preserve_host", default: false)
        let connections: UpstreamConnections? = fields.value("connections", default: UpstreamConnections()) {
            UpstreamConnections.read($0)
        }
        let tls: UpstreamTLS? = fields.value("tls", default: UpstreamTLS()) { UpstreamTLS.read($0) }
        let http2: Bool? = fields.boolean("http2", default: false)
        let mirror: MirrorDefinition?? = fields.optional("mirror") { MirrorDefinition.read($0) }
        var upstream: UpstreamDefinition = UpstreamDefinition(targets: targets ?? [])
        // All are read, whatever becomes of one: problems come at once.
        let isBalanceRead: Bool = upstream.readBalance(fields)
        let isHealthRead: Bool = upstream.readHealth(fields)
        guard let targets, let prefix, let preserveHost, let connections, let tls, let http2, let mirror, isBalanceRead,
            isHealthRead
        else {
            return nil
        }
        self.checkTargets(targets, upstream.canary, fields)
        upstream.stripPrefix = prefix
        upstream.preserveHost = preserveHost
        upstream.connections = connections
        upstream.tls = tls
        upstream.http2 = http2
        upstream.mirror = mirror
        return upstream
    }

    private mutating func readBalance(_ fields: NodeFields) -> Bool {
        let balance: BalanceRule? = fields.choice(
            "balance", default: .roundRobin,
            [
                "round_robin": .roundRobin, "least_requests": .leastRequests, "power_of_two": .powerOfTwo,
                "maglev": .maglev,
            ])
        let hashBy: HashSource? = fields.value("hash_by", default: .address) { HashSource.read($0) }
        let slowStart: Duration? = fields.duration("slow_start", default: .zero, in: .zero ... .seconds(3600))
        let panic: Int? = fields.integer("panic_threshold", default: 0, in: 0...100)
        if let balance, balance != .maglev {
            fields["hash_by"]?.problem("expected 'hash_by' only with 'balance: maglev'")
        }
        let canary: CanaryDefinition?? = fields.optional("canary") { CanaryDefinition.read($0) }
        guard let balance, let hashBy, let slowStart, let panic, let canary else { return false }
        self.canary = canary
        self.balance = balance
        self.hashBy = hashBy
        self.slowStart = slowStart
        self.panicThreshold = panic
        return true
    }

    private mutating func readHealth(_ fields: NodeFields) -> Bool {
        let passive: PassiveHealth? = fields.value("passive_health", default: PassiveHealth()) {
            PassiveHealth.read($0)
        }
        let active: ActiveHealth?? = fields.optional("active_health") { ActiveHealth.read($0) }
        let outliers: OutlierEjection?? = fields.optional("outlier_ejection") { OutlierEjection.read($0) }
        let breaker: CircuitBreakerDefinition?? = fields.optional("circuit_breaker") {
            CircuitBreakerDefinition.read($0)
        }
        let retries: RetryDefinition?? = fields.optional("retries") { RetryDefinition.read($0) }
        guard let passive, let active, let outliers, let breaker, let retries else { return false }
        self.retries = retries
        self.passiveHealth = passive
        self.activeHealth = active
        self.outliers = outliers
        self.circuitBreaker = breaker
        return true
    }

    private static func checkTargets(
        _ targets: [TargetDefinition], _ canary: CanaryDefinition?, _ fields: NodeFields
    ) {
        if let canary {
            canary.check(targets, fields)
        } else if targets.contains(where: { $0.version != nil }) {
            fields["targets"]?.problem("expected a field 'canary' beside targets with a version")
        }
        var seen: Set<TargetURL> = []
        for target in targets where !seen.insert(target.url).inserted {
            fields["targets"]?.problem("expected each target only once, found \(target.url.text) again")
        }
        if !targets.isEmpty && targets.allSatisfy({ $0.weight == 0 }) {
            fields["targets"]?.problem("expected at least one target with a weight above 0")
        }
    }

    /// A literal path without a trailing slash.
    private static func prefix(_ decoder: NodeDecoder) -> String? {
        guard let path: PathPattern = decoder.path() else { return nil }
        guard path.kind == .exact, !path.text.hasSuffix("/") else {
            decoder.problem("expected a path without parameters, '*' and trailing slash, such as '/orders'")
            return nil
        }
        return path.text
    }
}

extension TargetDefinition {
    static func read(_ decoder: NodeDecoder) -> TargetDefinition? {
        guard let fields: NodeFields = decoder.fields(["url", "weight", "zone", "srv", "version"]) else { return nil }
        let url: TargetURL? = fields.required("url")?.pattern { (text: String) throws(PatternError) -> TargetURL in
            try TargetURL(parsing: text)
        }
        let weight: Int? = fields.integer("weight", default: 1, in: 0...TargetDefinition.weightMax)
        let zone: String?? = fields.optional("zone") { $0.id() }
        let service: String?? = fields.optional("srv") { (element: NodeDecoder) -> String? in
            guard let host: HostPattern = element.host() else { return nil }
            let isService: Bool = !host.isWildcard && host.name.hasPrefix("_") && host.name.contains("._")
            if !isService { element.problem("expected the name of SRV records such as '_http._tcp.example.com'") }
            return isService ? host.name : nil
        }
        let version: String?? = fields.optional("version") { $0.id() }
        guard let url, let weight, let zone, let service, let version else { return nil }
        return TargetDefinition(url: url, weight: weight, zone: zone, service: service, version: version)
    }
}

extension UpstreamConnections {
    static func read(_ decoder: NodeDecoder) -> UpstreamConnections? {
        let known: [String] = ["max", "idle_max", "idle_timeout", "max_requests", "max_age", "queue", "queue_timeout"]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let defaults: UpstreamConnections = UpstreamConnections()
        let max: Int? = fields.integer("max", default: defaults.max, in: 1...65535)
        let idleMax: Int? = fields.integer("idle_max", default: defaults.idleMax, in: 0...65535)
        let idleTimeout: Duration? = fields.duration(
            "idle_timeout", default: defaults.idleTimeout, in: .seconds(1) ... .seconds(3600))
        let requests: Int? = fields.integer("max_requests", default: defaults.requestsMax, in: 0...1_000_000_000)
        let age: Duration? = fields.duration("max_age", default: defaults.ageMax, in: .zero ... .seconds(86_400))
        let queue: Int? = fields.integer("queue", default: defaults.queueMax, in: 0...65535)
        let queueTimeout: Duration? = fields.duration(
            "queue_timeout", default: defaults.queueTimeout, in: .milliseconds(1) ... .seconds(60))
        guard let max, let idleMax, let idleTimeout, let requests, let age, let queue, let queueTimeout else {
            return nil
        }
        return UpstreamConnections(
            max: max, idleMax: idleMax, idleTimeout: idleTimeout, requestsMax: requests, ageMax: age,
            queueMax: queue, queueTimeout: queueTimeout)
    }
}

extension UpstreamTLS {
    static func read(_ decoder: NodeDecoder) -> UpstreamTLS? {
        let known: [String] = ["verify", "authorities", "server_name", "certificate", "min_version"]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let verify: Bool? = fields.boolean("verify", default: true)
        let authorities: String?? = fields.optional("authorities") { $0.string(length: 1...(1 << 20)) }
        let serverName: String?? = fields.optional("server_name") { element in
            guard let host: HostPattern = element.host() else { return nil }
            if host.isWildcard { element.problem("expected one host name, without '*'") }
            return host.name
        }
        let certificate: UpstreamCertificate?? = fields.optional("certificate") { UpstreamCertificate.read($0) }
        let version: Version? = fields.value("min_version", default: .tls12) { Version.read($0) }
        guard let verify, let authorities, let serverName, let certificate, let version else { return nil }
        return UpstreamTLS(
            verify: verify, authorities: authorities, serverName: serverName, certificate: certificate,
            minimumVersion: version)
    }
}

extension UpstreamCertificate {
    /// `{cert, key}`: files; `{cert_pem, key_pem}`: texts.
    static func read(_ decoder: NodeDecoder) -> UpstreamCertificate? {
        guard decoder.node["cert_pem"] != nil || decoder.node["key_pem"] != nil else {
            return CertificateFiles.read(decoder).map { .files($0) }
        }
        guard let fields: NodeFields = decoder.fields(["cert_pem", "key_pem"]) else { return nil }
        let chain: String? = fields.required("cert_pem")?.string(length: 1...self.textBytesMax)
        let key: String? = fields.required("key_pem")?.string(length: 1...self.textBytesMax)
        guard let chain, let key else { return nil }
        return .texts(chain: chain, key: key)
    }
}

extension UpstreamTLS.Version {
    package static func read(_ decoder: NodeDecoder) -> UpstreamTLS.Version? {
        // Without quotes, YAML reads a number.
        switch decoder.node.kind {
        case .double(1.2): return .tls12
        case .double(1.3): return .tls13
        default: return decoder.choice(["1.2": .tls12, "1.3": .tls13])
        }
    }
}
