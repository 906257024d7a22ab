import JSON

extension UpstreamDefinition {
    func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("targets", list: self.targets.map { $0.json() })
        writer.set("strip_prefix", self.stripPrefix.map { .string($0) })
        if self.balance != .roundRobin { writer.set("balance", .string(self.balance.rawValue)) }
        if self.hashBy != .address { writer.set("hash_by", self.hashBy.json()) }
        writer.set("slow_start", self.slowStart, unless: .zero)
        writer.set("panic_threshold", self.panicThreshold, unless: 0)
        if self.preserveHost { writer.set("preserve_host", .bool(true)) }
        writer.set("passive_health", self.passiveHealth.json())
        writer.set("active_health", self.activeHealth.map { $0.json() })
        writer.set("outlier_ejection", self.outliers.map { $0.json() })
        writer.set("circuit_breaker", self.circuitBreaker.map { $0.json() })
        writer.set("retries", self.retries.map { $0.json() })
        writer.set("connections", self.connections.json())
        writer.set("tls", self.tls.json())
        writer.set("canary", self.canary.map { $0.json() })
        writer.set("mirror", self.mirror.map { $0.json() })
        if self.http2 { writer.set("http2", .bool(true)) }
        return writer.value
    }
}

extension TargetDefinition {
    func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("url", .string(self.url.text))
        writer.set("weight", self.weight, unless: 1)
        writer.set("zone", self.zone.map { .string($0) })
        writer.set("version", self.version.map { .string($0) })
        writer.set("srv", self.service.map { .string($0) })
        return writer.value
    }
}

extension UpstreamConnections {
    func json() -> JSONValue? {
        let defaults: UpstreamConnections = UpstreamConnections()
        if self == defaults { return nil }
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("max", self.max, unless: defaults.max)
        writer.set("idle_max", self.idleMax, unless: defaults.idleMax)
        writer.set("idle_timeout", self.idleTimeout, unless: defaults.idleTimeout)
        writer.set("max_requests", self.requestsMax, unless: defaults.requestsMax)
        writer.set("max_age", self.ageMax, unless: defaults.ageMax)
        writer.set("queue", self.queueMax, unless: defaults.queueMax)
        writer.set("queue_timeout", self.queueTimeout, unless: defaults.queueTimeout)
        return writer.value
    }
}

extension UpstreamTLS {
    func json() -> JSONValue? {
        if self == UpstreamTLS() { return nil }
        var writer: DefinitionWriter = DefinitionWriter()
        if !self.verify { writer.set("verify", .bool(false)) }
        writer.set("authorities", self.authorities.map { .string($0) })
        writer.set("server_name", self.serverName.map { .string($0) })
        writer.set("certificate", self.certificate.map { $0.json() })
        if self.minimumVersion != .tls12 { writer.set("min_version", .string(self.minimumVersion.rawValue)) }
        return writer.value
    }
}

extension UpstreamCertificate {
    func json() -> JSONValue {
        switch self {
        case .files(let files): return ["cert": .string(files.certificate), "key": .string(files.key)]
        case .texts(let chain, let key): return ["cert_pem": .string(chain), "key_pem": .string(key)]
        }
    }
}
