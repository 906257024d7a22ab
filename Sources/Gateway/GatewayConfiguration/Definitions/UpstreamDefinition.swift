/// Where an API's requests go.
package struct UpstreamDefinition: Sendable, Equatable {
    /// The servers, 1 to 256.
    package var targets: [TargetDefinition]
    /// Leading part of the path that is removed before forwarding, at a segment's end. Default: nothing.
    package var stripPrefix: String?
    /// How a target is chosen. Default `round_robin`.
    package var balance: BalanceRule
    /// Forward the caller's `Host` instead of the target's. Default false.
    package var preserveHost: Bool
    /// When a failing target is left out. Default: see `PassiveHealth`.
    package var passiveHealth: PassiveHealth
    /// Connections kept to each target. Default: see `UpstreamConnections`.
    package var connections: UpstreamConnections
    /// How `https` targets are checked. Default: system trust, verified.
    package var tls: UpstreamTLS

    package init(
        targets: [TargetDefinition], stripPrefix: String? = nil, balance: BalanceRule = .roundRobin,
        preserveHost: Bool = false,
        passiveHealth: PassiveHealth = PassiveHealth(), connections: UpstreamConnections = UpstreamConnections(),
        tls: UpstreamTLS = UpstreamTLS()
    ) {
        self.targets = targets
        self.stripPrefix = stripPrefix
        self.balance = balance
        self.preserveHost = preserveHost
        self.passiveHealth = passiveHealth
        self.connections = connections
        self.tls = tls
    }

    /// Targets of one upstream at most.
    package static let targetsMax: Int = 256
}

/// One server of an upstream.
package struct TargetDefinition: Sendable, Equatable {
    package var url: TargetURL
    /// Share of the requests, 0 to 1000; 0 takes none. Default 1.
    package var weight: Int

    package init(url: TargetURL, weight: Int = 1) {
        self.url = url
        self.weight = weight
    }

    package static let weightMax: Int = 1000
}

/// How a target is chosen among those in health.
package enum BalanceRule: String, Sendable, Equatable, CaseIterable {
    /// In turn, in proportion to the weights.
    case roundRobin = "round_robin"
}

/// When answers and failures of real requests take a target out.
package struct PassiveHealth: Sendable, Equatable {
    /// Failures in a row (refused, reset, timed out) after which a target is left out, 1 to 1000. Default 3.
    package var failures: Int
    /// How long it is left out before one request tries it again, 100 ms to 1 h. Default 10 s.
    package var ejectFor: Duration

    package init(failures: Int = 3, ejectFor: Duration = .seconds(10)) {
        self.failures = failures
        self.ejectFor = ejectFor
    }
}

/// Connections kept to each target by one gateway.
package struct UpstreamConnections: Sendable, Equatable {
    /// Open at once to one target, 1 to 65535; beyond it a request is answered 503. Default 1024.
    package var max: Int
    /// Kept open without a request, 0 to 65535. Default 128.
    package var idleMax: Int
    /// How long one is kept without a request, 1 s to 1 h. Default 60 s.
    package var idleTimeout: Duration

    package init(max: Int = 1024, idleMax: Int = 128, idleTimeout: Duration = .seconds(60)) {
        self.max = max
        self.idleMax = idleMax
        self.idleTimeout = idleTimeout
    }
}

/// How the certificate of an `https` target is checked.
package struct UpstreamTLS: Sendable, Equatable {
    /// Whether the certificate must be valid for the name. Default true.
    package var verify: Bool
    /// Certificates to trust instead of the system's, PEM text. Default: the system's.
    package var authorities: String?
    /// The name to ask for and to check. Default: the target's host.
    package var serverName: String?

    package init(verify: Bool = true, authorities: String? = nil, serverName: String? = nil) {
        self.verify = verify
        self.authorities = authorities
        self.serverName = serverName
    }
}
