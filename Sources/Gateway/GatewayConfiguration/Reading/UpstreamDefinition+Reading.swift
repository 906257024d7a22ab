import Documents

extension UpstreamDefinition {
    private static let known: [String] = [
        "targets", "strip_prefix", "balance", "preserve_host", "passive_health", "connections", "tls",
    ]
    private static let planned: [String] = [
        "active_health", "circuit_breaker", "retries", "mirror", "canary", "discovery", "outlier_ejection",
    ]

    static func read(_ decoder: NodeDecoder) -> UpstreamDefinition? {
        guard let fields: NodeFields = decoder.fields(self.known, planned: self.planned) else { return nil }
        let targets: [TargetDefinition]? = fields.required("targets")?.list(count: 1...UpstreamDefinition.targetsMax) {
            TargetDefinition.read($0)
        }
        let prefix: String?? = fields.optional("strip_prefix") { self.prefix($0) }
        let balance: BalanceRule? = fields.value("balance", default: .roundRobin) { self.balance($0) }
        let preserveHost: Bool? = fields.boolean("preserve_host", default: false)
        let health: PassiveHealth? = fields.value("passive_health", default: PassiveHealth()) { PassiveHealth.read($0) }
        let connections: UpstreamConnections? = fields.value("connections", default: UpstreamConnections()) {
            UpstreamConnections.read($0)
        }
        let tls: UpstreamTLS? = fields.value("tls", default: UpstreamTLS()) { UpstreamTLS.read($0) }
        guard let targets, let prefix, let balance, let preserveHost, let health, let connections, let tls else {
            return nil
        }
        self.checkTargets(targets, fields)
        return UpstreamDefinition(
            targets: targets, stripPrefix: prefix, balance: balance, preserveHost: preserveHost, passiveHealth: health,
            connections: connections, tls: tls)
    }

    private static func checkTargets(_ targets: [TargetDefinition], _ fields: NodeFields) {
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

    private static func balance(_ decoder: NodeDecoder) -> BalanceRule? {
        let planned: [String] = ["least_requests", "power_of_two", "maglev"]
        if let text: String = decoder.node.text, planned.contains(text) {
            decoder.problem("'\(text)' is not supported yet in this version, expected round_robin")
            return nil
        }
        return decoder.choice(["round_robin": .roundRobin])
    }
}

extension TargetDefinition {
    static func read(_ decoder: NodeDecoder) -> TargetDefinition? {
        guard let fields: NodeFields = decoder.fields(["url", "weight"], planned: ["zone"]) else { return nil }
        let url: TargetURL? = fields.required("url")?.pattern { (text: String) throws(PatternError) -> TargetURL in
            try TargetURL(parsing: text)
        }
        let weight: Int? = fields.integer("weight", default: 1, in: 0...TargetDefinition.weightMax)
        guard let url, let weight else { return nil }
        return TargetDefinition(url: url, weight: weight)
    }
}

extension PassiveHealth {
    static func read(_ decoder: NodeDecoder) -> PassiveHealth? {
        guard let fields: NodeFields = decoder.fields(["failures", "eject_for"]) else { return nil }
        let defaults: PassiveHealth = PassiveHealth()
        let failures: Int? = fields.integer("failures", default: defaults.failures, in: 1...1000)
        let ejectFor: Duration? = fields.duration(
            "eject_for", default: defaults.ejectFor, in: .milliseconds(100) ... .seconds(3600))
        guard let failures, let ejectFor else { return nil }
        return PassiveHealth(failures: failures, ejectFor: ejectFor)
    }
}

extension UpstreamConnections {
    static func read(_ decoder: NodeDecoder) -> UpstreamConnections? {
        guard let fields: NodeFields = decoder.fields(["max", "idle_max", "idle_timeout"]) else { return nil }
        let defaults: UpstreamConnections = UpstreamConnections()
        let max: Int? = fields.integer("max", default: defaults.max, in: 1...65535)
        let idleMax: Int? = fields.integer("idle_max", default: defaults.idleMax, in: 0...65535)
        let idleTimeout: Duration? = fields.duration(
            "idle_timeout", default: defaults.idleTimeout, in: .seconds(1) ... .seconds(3600))
        guard let max, let idleMax, let idleTimeout else { return nil }
        return UpstreamConnections(max: max, idleMax: idleMax, idleTimeout: idleTimeout)
    }
}

extension UpstreamTLS {
    static func read(_ decoder: NodeDecoder) -> UpstreamTLS? {
        let known: [String] = ["verify", "authorities", "server_name"]
        guard let fields: NodeFields = decoder.fields(known, planned: ["certificate"]) else { return nil }
        let verify: Bool? = fields.boolean("verify", default: true)
        let authorities: String?? = fields.optional("authorities") { $0.string(length: 1...(1 << 20)) }
        let serverName: String?? = fields.optional("server_name") { element in
            guard let host: HostPattern = element.host() else { return nil }
            if host.isWildcard { element.problem("expected one host name, without '*'") }
            return host.name
        }
        guard let verify, let authorities, let serverName else { return nil }
        return UpstreamTLS(verify: verify, authorities: authorities, serverName: serverName)
    }
}
