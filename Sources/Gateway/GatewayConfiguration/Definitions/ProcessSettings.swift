/// What concerns one gateway process and may differ between gateways of a target.
package struct ProcessSettings: Sendable, Equatable {
    package var listen: ListenSettings
    package var workers: WorkerCount
    package var telemetry: TelemetrySettings
    /// Who is asked for the addresses of targets. Default: the system.
    package var dns: DNSSettings
    /// Where this gateway stands: targets of the same zone are preferred. Default: nowhere.
    package var zone: String?
    package var counters: CounterSettings

    package init(
        listen: ListenSettings = ListenSettings(), workers: WorkerCount = .auto,
        telemetry: TelemetrySettings = TelemetrySettings(), zone: String? = nil,
        counters: CounterSettings = CounterSettings(), dns: DNSSettings = DNSSettings()
    ) {
        self.dns = dns
        self.zone = zone
        self.listen = listen
        self.workers = workers
        self.telemetry = telemetry
        self.counters = counters
    }
}

/// Where counts are kept that outlive the process or are shared with other gateways.
package struct CounterSettings: Sendable, Equatable {
    /// What a shared rate limit becomes while its counters are away.
    package enum Away: String, Sendable, CaseIterable {
        /// Each gateway admits its part.
        case divided
        /// Each gateway admits all of it.
        case open
        /// Nothing is admitted.
        case closed
    }

    /// A folder for quotas, relative to the configuration file. Default: none, quotas begin at zero with the process.
    package var folder: String?
    /// `redis://[user@]host[:port][/database]` or `rediss://…`, for shared rate limits. Default: none, they are divided.
    package var redis: String?
    /// A file whose first line is the password for Redis, relative to the configuration file. Default: none.
    package var passwordFile: String?
    /// A file whose lines, each of at least `keyBytesMin` bytes, all gateways have and Redis has not: stored answers are sealed with
    /// it. Relative to the configuration file. Default: none, they are sealed with what each request shows.
    package var keyFile: String?
    package static let keyBytesMin: Int = 16
    /// Lines of that file at most.
    package static let keysMax: Int = 4
    /// Default `divided`.
    package var whenAway: Away

    package init(
        folder: String? = nil, redis: String? = nil, passwordFile: String? = nil, keyFile: String? = nil,
        whenAway: Away = .divided
    ) {
        self.folder = folder
        self.redis = redis
        self.passwordFile = passwordFile
        self.keyFile = keyFile
        self.whenAway = whenAway
    }
}

/// How names of targets are looked up.
package struct DNSSettings: Sendable, Equatable {
    /// Addresses with ports of at most three servers, asked in order. Default: as the system does it, with /etc/hosts.
    package var servers: [String]
    /// Whole seconds for one question to one server, 1 to 60. Default 2.
    package var timeoutSeconds: Int
    /// Rounds over the servers, 1 to 5. Default 2.
    package var attempts: Int
    /// What an answer is kept at least, 1 s to 1 h. Default 1 s.
    package var keepMin: Duration
    /// What an answer is kept at most, 1 s to 1 d. Default 5 min.
    package var keepMax: Duration

    package init(
        servers: [String] = [], timeoutSeconds: Int = 2, attempts: Int = 2, keepMin: Duration = .seconds(1),
        keepMax: Duration = .seconds(300)
    ) {
        self.servers = servers
        self.timeoutSeconds = timeoutSeconds
        self.attempts = attempts
        self.keepMin = keepMin
        self.keepMax = keepMax
    }

    package static let serversMax: Int = 3
}

/// Addresses a gateway listens on, each `host:port` with a literal address; port 0 lets the system choose.
package struct ListenSettings: Sendable, Equatable {
    /// Default `127.0.0.1:8000`.
    package var http: String?
    /// Default: none.
    package var https: HTTPSListener?
    /// `/healthz`, `/readyz`, `/metrics` of a gateway alone. Default: none, so that no tenant's path is shadowed.
    package var admin: String?
    /// A file whose first line is the token that changes at `admin` need, relative to the configuration file. Default: none, and
    /// nothing can be changed there.
    package var adminTokenFile: String?

    package init(
        http: String? = ListenSettings.httpDefault, https: HTTPSListener? = nil, admin: String? = nil,
        adminTokenFile: String? = nil
    ) {
        self.http = http
        self.https = https
        self.admin = admin
        self.adminTokenFile = adminTokenFile
    }

    package static let httpDefault: String = "127.0.0.1:8000"
}

/// A listener with TLS; certificates are chosen by the name a client asks for, the first one where it asks for none.
package struct HTTPSListener: Sendable, Equatable {
    package var address: String
    package var certificates: [CertificateFiles]
    /// Whether clients show certificates. Default: they are not asked.
    package var clientCertificates: ClientCertificateRule?
    /// The oldest version spoken. Default TLS 1.2.
    package var minimumVersion: UpstreamTLS.Version
    /// OpenSSL's names, of `ciphersKnown`; of a version of which none is named all are spoken. Default: all.
    package var ciphers: [String]
    /// How long a client may resume a session, 0 (never) to 7 days. Default 2 h.
    package var ticketLifetime: Duration

    package init(
        address: String, certificates: [CertificateFiles], clientCertificates: ClientCertificateRule? = nil,
        minimumVersion: UpstreamTLS.Version = .tls12, ciphers: [String] = [],
        ticketLifetime: Duration = HTTPSListener.ticketLifetimeDefault
    ) {
        self.address = address
        self.certificates = certificates
        self.clientCertificates = clientCertificates
        self.minimumVersion = minimumVersion
        self.ciphers = ciphers
        self.ticketLifetime = ticketLifetime
    }

    /// Certificates of one listener at most.
    package static let certificatesMax: Int = 1024
    package static let ticketLifetimeDefault: Duration = .seconds(7_200)
    package static let ticketLifetimeMax: Duration = .seconds(7 * 86_400)
    /// Forward secrecy and authenticated encryption, nothing else.
    package static let ciphersKnown: [String] = [
        "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305",
    ]
}

/// Mutual TLS: who vouches for clients.
package struct ClientCertificateRule: Sendable, Equatable {
    /// A PEM file with the authorities, relative to the configuration file.
    package var authorities: String
    /// Without a certificate there is no connection. Otherwise it is policies that ask for one. Default true.
    package var isRequired: Bool
    /// A PEM file with lists of revoked certificates, relative to the configuration file. Default: none is looked up.
    package var revocationLists: String?

    package init(authorities: String, isRequired: Bool = true, revocationLists: String? = nil) {
        self.authorities = authorities
        self.isRequired = isRequired
        self.revocationLists = revocationLists
    }
}

/// Files of a certificate chain and its private key, PEM, relative to the configuration file.
package struct CertificateFiles: Sendable, Equatable {
    package var certificate: String
    package var key: String

    package init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }
}

/// Number of event loops.
package enum WorkerCount: Sendable, Equatable {
    /// One for each processor this process may run on.
    case auto
    /// This many, 1 to 1024.
    case fixed(Int)

    package static let fixedMax: Int = 1024
}

/// What a gateway tells about its traffic.
package struct TelemetrySettings: Sendable, Equatable {
    /// Where a line a request is written.
    package enum AccessLog: Sendable, Equatable {
        case off
        /// JSON lines to this file, appended; `-` is standard output.
        case file(String)
    }

    /// `off`, `on` (standard output) or the path of a file. Default `off`.
    package var accessLog: AccessLog
    package var accessLogRules: AccessLogRules
    /// Default `on`.
    package var metrics: Bool
    /// Share of requests without a trace of their own whose trace is marked as sampled, 0 to 1. Default 0.
    package var traceSample: Double
    /// Where spans go. Default: nowhere.
    package var export: SpanExportSettings?

    package init(
        accessLog: AccessLog = .off, accessLogRules: AccessLogRules = AccessLogRules(), metrics: Bool = true,
        traceSample: Double = 0, export: SpanExportSettings? = nil
    ) {
        self.accessLogRules = accessLogRules
        self.accessLog = accessLog
        self.metrics = metrics
        self.traceSample = traceSample
        self.export = export
    }

    /// Whether requests get spans of their own.
    package var isTracing: Bool { self.traceSample > 0 || self.export != nil }
}
