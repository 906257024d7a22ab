/// Where an API's requests go.
package struct UpstreamDefinition: Sendable, Equatable {
    /// The servers, 1 to 256.
    package var targets: [TargetDefinition]
    /// Leading part of the path that is removed before forwarding, at a segment's end. Default: nothing.
    package var stripPrefix: String?
    /// How a target is chosen. Default `round_robin`.
    package var balance: BalanceRule
    /// What `maglev` looks at. Default: the client's address.
    package var hashBy: HashSource
    /// How long a target that came back takes to get its whole share, at most 1 h. Default 0: at once.
    package var slowStart: Duration
    /// Percentage of the weight in health below which health is not looked at any more, 0 to 100. Default 0: never.
    package var panicThreshold: Int
    /// Forward the caller's `Host` instead of the target's. Default false.
    package var preserveHost: Bool
    /// When a failing target is left out. Default: see `PassiveHealth`.
    package var passiveHealth: PassiveHealth
    /// Checks the gateway makes by itself. Default: none.
    package var activeHealth: ActiveHealth?
    /// When a target that does worse than its peers is left out. Default: never.
    package var outliers: OutlierEjection?
    /// When nothing is sent any more because most fails. Default: never.
    package var circuitBreaker: CircuitBreakerDefinition?
    /// When a request is sent again. Default: as without rules, which is less; see the reference.
    package var retries: RetryDefinition?
    /// Connections kept to each target. Default: see `UpstreamConnections`.
    package var connections: UpstreamConnections
    /// How `https` targets are checked. Default: system trust, verified.
    package var tls: UpstreamTLS
    /// Speak HTTP/2 with the targets: by prior knowledge with `http`, where offered with `https`. Default false.
    package var http2: Bool
    /// How requests are shared among versions of the targets. Default: there are none.
    package var canary: CanaryDefinition?
    /// Where copies of requests go. Default: nowhere.
    package var mirror: MirrorDefinition?

    package init(
        targets: [TargetDefinition], stripPrefix: String? = nil, balance: BalanceRule = .roundRobin,
        hashBy: HashSource = .address, slowStart: Duration = .zero, panicThreshold: Int = 0,
        preserveHost: Bool = false, passiveHealth: PassiveHealth = PassiveHealth(), activeHealth: ActiveHealth? = nil,
        outliers: OutlierEjection? = nil, circuitBreaker: CircuitBreakerDefinition? = nil,
        retries: RetryDefinition? = nil,
        connections: UpstreamConnections = UpstreamConnections(), tls: UpstreamTLS = UpstreamTLS(), http2: Bool = false,
        canary: CanaryDefinition? = nil, mirror: MirrorDefinition? = nil
    ) {
        self.mirror = mirror
        self.canary = canary
        self.targets = targets
        self.stripPrefix = stripPrefix
        self.balance = balance
        self.hashBy = hashBy
        self.slowStart = slowStart
        self.panicThreshold = panicThreshold
        self.preserveHost = preserveHost
        self.passiveHealth = passiveHealth
        self.activeHealth = activeHealth
        self.outliers = outliers
        self.circuitBreaker = circuitBreaker
        self.retries = retries
        self.connections = connections
        self.tls = tls
        self.http2 = http2
    }

    /// Targets of one upstream at most.
    package static let targetsMax: Int = 256
}

/// One server of an upstream.
package struct TargetDefinition: Sendable, Equatable {
    package var url: TargetURL
    /// Share of the requests, 0 to 1000; 0 takes none. Default 1.
    package var weight: Int
    /// Where it stands; gateways of the same zone prefer it. Default: nowhere.
    package var zone: String?
    /// A DNS name whose SRV records say where the target is (RFC 2782); the URL still gives scheme, `Host` and base path.
    /// Default: the addresses of the URL's host.
    package var service: String?
    /// Its version, one of the upstream's `canary`. Default: none.
    package var version: String?

    package init(
        url: TargetURL, weight: Int = 1, zone: String? = nil, service: String? = nil, version: String? = nil
    ) {
        self.version = version
        self.service = service
        self.url = url
        self.weight = weight
        self.zone = zone
    }

    package static let weightMax: Int = 1000
}

/// Connections kept to each target by one gateway.
package struct UpstreamConnections: Sendable, Equatable {
    /// Open at once to one target, 1 to 65535; beyond it a request is answered 503. Default 1024.
    package var max: Int
    /// Kept open without a request, 0 to 65535. Default 128.
    package var idleMax: Int
    /// How long one is kept without a request, 1 s to 1 h. Default 60 s.
    package var idleTimeout: Duration
    /// Requests of one loop that wait for a connection of a target when `max` are open, 0 to 65535. Default 0: they are refused.
    package var queueMax: Int
    /// How long one waits, 1 ms to 1 min. Default 1 s.
    package var queueTimeout: Duration
    /// Requests one connection carries before it is closed, 1 to 1,000,000,000; 0: no end. Default 0.
    package var requestsMax: Int
    /// How old one may become, 1 s to 1 d; 0: no end. Default 0.
    package var ageMax: Duration

    package init(
        max: Int = 1024, idleMax: Int = 128, idleTimeout: Duration = .seconds(60), requestsMax: Int = 0,
        ageMax: Duration = .zero, queueMax: Int = 0, queueTimeout: Duration = .seconds(1)
    ) {
        self.queueMax = queueMax
        self.queueTimeout = queueTimeout
        self.max = max
        self.idleMax = idleMax
        self.idleTimeout = idleTimeout
        self.requestsMax = requestsMax
        self.ageMax = ageMax
    }
}

/// How TLS is spoken with `https` targets.
package struct UpstreamTLS: Sendable, Equatable {
    package enum Version: String, Sendable, Equatable {
        case tls12 = "1.2"
        case tls13 = "1.3"
    }

    /// Whether the certificate must be valid for the name. Default true.
    package var verify: Bool
    /// Certificates to trust instead of the system's, PEM text. Default: the system's.
    package var authorities: String?
    /// The name to ask for and to check. Default: the target's host.
    package var serverName: String?
    /// What the gateway shows a target that asks who it is. Default: nothing.
    package var certificate: UpstreamCertificate?
    /// Older versions are refused. Default 1.2.
    package var minimumVersion: Version

    package init(
        verify: Bool = true, authorities: String? = nil, serverName: String? = nil,
        certificate: UpstreamCertificate? = nil, minimumVersion: Version = .tls12
    ) {
        self.verify = verify
        self.authorities = authorities
        self.serverName = serverName
        self.certificate = certificate
        self.minimumVersion = minimumVersion
    }
}

/// A certificate of the gateway for targets, with its key.
package enum UpstreamCertificate: Sendable, Equatable {
    /// Files on the gateway's own disk: the key is in no document.
    case files(CertificateFiles)
    /// PEM texts: the chain, and the key, which is a secret of the API's tenant.
    case texts(chain: String, key: String)

    /// Bytes of a text at most.
    package static let textBytesMax: Int = 1 << 18
}
