package import Tokens

/// One policy of an API or a route. Policies run in the gateway's order, not in the order they are written.
package enum PolicyDefinition: Sendable, Equatable {
    /// `api_key`: a caller identifies itself with a key.
    case apiKey(APIKeyPolicy)
    /// `anonymous`: a caller without credentials is let in; one with wrong credentials is not.
    case anonymous
    /// `jwt`: signed tokens.
    case jwt(JWTPolicy)
    /// `introspection`: tokens that their issuer is asked about.
    case introspection(IntrospectionPolicy)
    /// `basic`: a user name and a password.
    case basic(BasicPolicy)
    /// `hmac`: signed requests.
    case signature(SignaturePolicy)
    /// `client_certificate`: the certificate of the connection.
    case clientCertificate(ClientCertificatePolicy)
    /// `acl`: which identified callers may pass.
    case acl(ACLPolicy)
    /// `identity_headers`: tells the upstream who calls.
    case identityHeaders(IdentityHeadersPolicy)
    /// `rate_limit`: so many requests in a window.
    case rateLimit(RateLimitPolicy)
    /// `quota`: so many requests in a span of the calendar.
    case quota(QuotaPolicy)
    /// `concurrency`: so many requests at once.
    case concurrency(ConcurrencyPolicy)
    /// `spike_arrest`: requests evenly spread.
    case spikeArrest(SpikeArrestPolicy)
    /// `connection_limit`: so many connections at once.
    case connectionLimit(ConnectionLimitPolicy)
    /// `ip`: which addresses may call.
    case addresses(AddressPolicy)
    /// `request_size`: how large a body may be.
    case requestSize(RequestSizePolicy)
    /// `timeouts`: how long an upstream may take.
    case timeouts(TimeoutPolicy)
    /// `headers`: fields set and removed on the way.
    case headers(HeaderPolicy)
    /// `mock`: a fixed answer.
    case mock(MockPolicy)
    /// `external_authorization`: a service decides.
    case externalAuthorization(ExternalAuthorizationPolicy)
    /// `validation`: messages are checked by the API's OpenAPI document.
    case validation(ValidationPolicy)
    /// `compression`: responses are compressed.
    case compression(CompressionPolicy)
    /// `cache`: responses are stored and used again.
    case cache(CachePolicy)
    /// `idempotency`: a request with a key is done once.
    case idempotency(IdempotencyPolicy)
    /// `cors`: which pages of other origins may read answers.
    case cors(CORSPolicy)
    /// `security_headers`: fields that tell browsers to be careful.
    case securityHeaders(SecurityHeadersPolicy)
    /// `rewrite`: another path goes upstream.
    case rewrite(RewritePolicy)
    /// `redirect`: the client is sent elsewhere.
    case redirect(RedirectPolicy)
    /// `transform`: fields, query and JSON bodies changed on the way.
    case transform(TransformPolicy)

    /// The name in a document.
    package var kind: String {
        switch self {
        case .apiKey: return "api_key"
        case .anonymous: return "anonymous"
        case .jwt: return "jwt"
        case .introspection: return "introspection"
        case .basic: return "basic"
        case .signature: return "hmac"
        case .clientCertificate: return "client_certificate"
        case .acl: return "acl"
        case .identityHeaders: return "identity_headers"
        case .rateLimit: return "rate_limit"
        case .quota: return "quota"
        case .concurrency: return "concurrency"
        case .spikeArrest: return "spike_arrest"
        case .connectionLimit: return "connection_limit"
        case .addresses: return "ip"
        case .requestSize: return "request_size"
        case .timeouts: return "timeouts"
        case .headers: return "headers"
        case .mock: return "mock"
        case .externalAuthorization: return "external_authorization"
        case .validation: return "validation"
        case .compression: return "compression"
        case .cache: return "cache"
        case .idempotency: return "idempotency"
        case .cors: return "cors"
        case .securityHeaders: return "security_headers"
        case .rewrite: return "rewrite"
        case .redirect: return "redirect"
        case .transform: return "transform"
        }
    }

    /// Whether several of the kind in one list add up; any other kind stands there once.
    package var addsUp: Bool {
        switch self {
        case .rateLimit, .quota: return true
        default: return false
        }
    }

    /// Whom a policy of the limiting kinds counts; nil for others.
    package var subject: RateLimitPolicy.Subject? {
        switch self {
        case .rateLimit(let policy): return policy.by
        case .quota(let policy): return policy.by
        case .concurrency(let policy): return policy.by
        default: return nil
        }
    }

    /// Whether it says how callers are identified. Those of a route replace all of its API's.
    package var isAuthentication: Bool {
        switch self {
        case .apiKey, .anonymous, .jwt, .introspection, .basic, .signature, .clientCertificate: return true
        default: return false
        }
    }

    /// Policies of one API or one route at most.
    package static let countMax: Int = 64
}

/// Where the key of a caller is found. At least one of the two places is given.
package struct APIKeyPolicy: Sendable, Equatable {
    /// Name of the header field, lower case.
    package var header: String?
    /// Name of the query parameter, compared byte by byte.
    package var query: String?

    package init(header: String? = nil, query: String? = nil) {
        self.header = header
        self.query = query
    }
}

/// So many requests in a window, counted for each subject apart.
package struct RateLimitPolicy: Sendable, Equatable {
    /// Whom a limit counts.
    package enum Subject: String, Sendable, Equatable, CaseIterable {
        /// All callers together.
        case api
        /// Each application; a caller without one is counted by address.
        case application
        /// Each key of an application; a caller without one is counted by address.
        case key
        /// Each address: IPv4 whole, IPv6 by its /64.
        case ip
        /// Each value of a header field; requests without it share one count.
        case header
        /// Each value of a claim of a verified token; callers without it share one count.
        case claim
    }

    /// How a limit counts; each needs one word a subject.
    package enum Algorithm: String, Sendable, Equatable, CaseIterable {
        /// Exactly `limit` requests in a window that begins with the first request after the last window ended.
        case window
        /// A bucket of `limit` tokens, refilled evenly over the window: smooth, but a window that starts with a full bucket can
        /// see up to twice the limit.
        case tokenBucket = "token_bucket"
        /// The present span and the part of the one before that a window reaching back from now covers, taken as evenly spread:
        /// no burst at the border of two windows. At most 16,777,215 requests a window.
        case slidingWindow = "sliding_window"
    }

    /// Requests a window, 1 to 100,000,000. Required.
    package var limit: Int64
    /// Length of the window, 1 s to 31 days. Required.
    package var window: Duration
    /// Default `api`.
    package var by: Subject
    /// Name of the header field for `by: header`, lower case.
    package var header: String?
    /// The claim for `by: claim`.
    package var claim: ClaimPath?
    /// Default `window`.
    package var algorithm: Algorithm
    /// Default `divided`; `shared` counts in windows aligned with the clock, and needs `by` to be `api`, `application` or `key`.
    package var scope: LimitScope
    /// The policy's name in `RateLimit-Policy` and `RateLimit`. Default: from its place, `api`, `route` or `plan`.
    package var name: String?
    /// What one request takes, 1 to 1,000,000. Default: what its route says.
    package var cost: Int?

    package init(
        limit: Int64, window: Duration, by: Subject = .api, header: String? = nil, claim: ClaimPath? = nil,
        algorithm: Algorithm = .window, scope: LimitScope = .divided, name: String? = nil, cost: Int? = nil
    ) {
        self.cost = cost
        self.limit = limit
        self.window = window
        self.by = by
        self.header = header
        self.claim = claim
        self.algorithm = algorithm
        self.scope = scope
        self.name = name
    }

    package static let limitMax: Int64 = 100_000_000
    package static let slidingLimitMax: Int64 = 16_777_215
    package static let windowMin: Duration = .seconds(1)
    package static let windowMax: Duration = .seconds(31 * 86_400)
}

/// Which addresses may call: a denied block refuses; when blocks are allowed, only they may.
package struct AddressPolicy: Sendable, Equatable {
    package var allow: [AddressBlock]
    package var deny: [AddressBlock]

    package init(allow: [AddressBlock] = [], deny: [AddressBlock] = []) {
        self.allow = allow
        self.deny = deny
    }

    /// Blocks in one list at most.
    package static let blocksMax: Int = 256
}

/// How large a request's body may be.
package struct RequestSizePolicy: Sendable, Equatable {
    /// Bytes, 0 to 1 TiB. Default without this policy: 10 MiB.
    package var bytesMax: Int64

    package init(bytesMax: Int64) {
        self.bytesMax = bytesMax
    }

    package static let bytesDefault: Int64 = 10 << 20
    package static let bytesLimit: Int64 = 1 << 40
}

/// How long an upstream may take, each 1 ms to 1 h.
package struct TimeoutPolicy: Sendable, Equatable {
    /// To accept a connection. Default 5 s.
    package var connect: Duration
    /// From the request's last byte to the response's head. Default 30 s.
    package var response: Duration
    /// Between two pieces of a body, either way. Default 60 s.
    package var idle: Duration
    /// From the request's head to the end of the answer, retries and waits included; zero: no limit. Default zero.
    package var total: Duration

    package init(
        connect: Duration = .seconds(5), response: Duration = .seconds(30), idle: Duration = .seconds(60),
        total: Duration = .zero
    ) {
        self.total = total
        self.connect = connect
        self.response = response
        self.idle = idle
    }
}

/// Fields set and removed on the request before it goes upstream and on the response before it goes back.
package struct HeaderPolicy: Sendable, Equatable {
    /// What happens to one message.
    package struct Changes: Sendable, Equatable {
        /// Fields given this value, replacing all of that name. Names are lower case.
        package var set: [HeaderField]
        /// Fields with this value besides those of the same name that are there. Names are lower case.
        package var add: [HeaderField]
        /// Names of fields removed, lower case.
        package var remove: [String]

        package init(set: [HeaderField] = [], add: [HeaderField] = [], remove: [String] = []) {
            self.set = set
            self.add = add
            self.remove = remove
        }

        package var isEmpty: Bool { self.set.isEmpty && self.add.isEmpty && self.remove.isEmpty }
    }

    package var request: Changes
    package var response: Changes

    package init(request: Changes = Changes(), response: Changes = Changes()) {
        self.request = request
        self.response = response
    }

    /// Fields set, fields added, and fields removed, in one direction at most.
    package static let fieldsMax: Int = 32
}

/// A header field with its value.
package struct HeaderField: Sendable, Equatable {
    package var name: String
    package var value: String

    package init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}
