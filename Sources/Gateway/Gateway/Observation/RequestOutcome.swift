/// Why a request ended as it did: the gateway's own answers and the upstream's failures. One byte in a record.
///
/// `none` means that the upstream's answer was passed on. The raw values are part of records sent over the link: never reused.
package enum RequestReason: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    case none = 0
    // The request itself.
    case badRequest = 1
    case pathRefused = 2
    case headTooLarge = 3
    case targetTooLong = 4
    case bodyTooLarge = 5
    case requestTimeout = 6
    case versionUnsupported = 7
    case expectationFailed = 8
    case upgradeRefused = 9
    // Routing.
    case noRoute = 10
    case methodNotAllowed = 11
    case optionsAnswered = 12
    // Answers of policies.
    case answered = 13
    case cached = 14
    case replayed = 15
    // Regular expressions of the configuration.
    case expressionLimit = 16
    // Policies.
    case addressDenied = 20
    case credentialsMissing = 21
    case credentialsUnknown = 22
    case credentialsExpired = 23
    case applicationSuspended = 24
    case notSubscribed = 25
    case subscriptionSuspended = 26
    case rateLimited = 27
    case policyUnavailable = 28
    case tokenInvalid = 29
    case scopeInsufficient = 30
    case accessDenied = 31
    case signatureInvalid = 32
    case signatureReplayed = 33
    case quotaExceeded = 34
    case tooManyAtOnce = 35
    case tooManyConnections = 36
    case tenantRateLimited = 37
    case tenantQuotaExceeded = 38
    case certificateRevoked = 39
    // Upstream.
    case upstreamUnavailable = 40
    case upstreamConnectFailed = 41
    case upstreamConnectTimeout = 42
    case upstreamReset = 43
    case upstreamTimeout = 44
    case upstreamInvalidResponse = 45
    case upstreamOverloaded = 46
    case circuitOpen = 47
    case upstreamNotHTTP2 = 48
    // Policies with stages.
    case idempotencyKeyInvalid = 70
    case idempotencyInProgress = 71
    case idempotencyMismatch = 72
    case idempotencyUnrepeatable = 73
    case authorizationDenied = 74
    case notCached = 75
    case requestInvalid = 76
    case mediaTypeUnsupported = 77
    case responseInvalid = 78
    // This gateway and the client.
    case clientClosed = 60
    case draining = 61
    case overloaded = 62
    case internalError = 63

    /// No other request on the connection would fare better.
    var endsConnection: Bool { self == .tooManyConnections || self == .certificateRevoked }

    /// The upstream did not answer, or not so that it could be passed on.
    var isOfUpstream: Bool {
        switch self {
        case .upstreamConnectFailed, .upstreamConnectTimeout, .upstreamReset, .upstreamTimeout,
            .upstreamInvalidResponse, .upstreamOverloaded, .upstreamNotHTTP2:
            return true
        default: return false
        }
    }

    /// The status of the answer; 499 is never sent: the client is gone.
    package var status: Int {
        switch self {
        case .none, .answered, .cached, .replayed: return 200
        case .badRequest, .pathRefused: return 400
        case .headTooLarge: return 431
        case .targetTooLong: return 414
        case .bodyTooLarge: return 413
        case .requestTimeout: return 408
        case .versionUnsupported: return 505
        case .expectationFailed: return 417
        case .upgradeRefused: return 501
        case .noRoute: return 404
        case .methodNotAllowed: return 405
        case .optionsAnswered: return 204
        case .addressDenied, .applicationSuspended, .notSubscribed, .subscriptionSuspended, .scopeInsufficient,
            .accessDenied:
            return 403
        case .credentialsMissing, .credentialsUnknown, .credentialsExpired, .tokenInvalid, .signatureInvalid,
            .signatureReplayed, .certificateRevoked:
            return 401
        case .rateLimited, .quotaExceeded, .tooManyAtOnce, .tooManyConnections, .tenantRateLimited,
            .tenantQuotaExceeded:
            return 429
        case .upstreamUnavailable, .upstreamOverloaded, .circuitOpen, .draining, .overloaded, .policyUnavailable:
            return 503
        case .upstreamConnectFailed, .upstreamReset, .upstreamInvalidResponse, .upstreamNotHTTP2: return 502
        case .upstreamConnectTimeout, .upstreamTimeout: return 504
        case .clientClosed: return 499
        case .internalError, .expressionLimit: return 500
        case .idempotencyKeyInvalid: return 400
        case .idempotencyInProgress, .idempotencyUnrepeatable: return 409
        case .idempotencyMismatch: return 422
        case .authorizationDenied: return 403
        case .notCached: return 504
        case .requestInvalid: return 400
        case .mediaTypeUnsupported: return 415
        case .responseInvalid: return 502
        }
    }

    /// A stable word for problem types, metrics and logs.
    package var slug: String {
        switch self {
        case .none: return "none"
        case .badRequest: return "bad-request"
        case .pathRefused: return "path-refused"
        case .headTooLarge: return "head-too-large"
        case .targetTooLong: return "target-too-long"
        case .bodyTooLarge: return "body-too-large"
        case .requestTimeout: return "request-timeout"
        case .versionUnsupported: return "version-unsupported"
        case .expectationFailed: return "expectation-failed"
        case .upgradeRefused: return "upgrade-refused"
        case .noRoute: return "no-route"
        case .methodNotAllowed: return "method-not-allowed"
        case .optionsAnswered: return "options-answered"
        case .answered: return "answered"
        case .cached: return "cached"
        case .replayed: return "replayed"
        case .expressionLimit: return "expression-limit"
        case .addressDenied: return "address-denied"
        case .credentialsMissing: return "credentials-missing"
        case .credentialsUnknown: return "credentials-unknown"
        case .credentialsExpired: return "credentials-expired"
        case .applicationSuspended: return "application-suspended"
        case .notSubscribed: return "not-subscribed"
        case .subscriptionSuspended: return "subscription-suspended"
        case .rateLimited: return "rate-limited"
        case .policyUnavailable: return "policy-unavailable"
        case .tokenInvalid: return "token-invalid"
        case .scopeInsufficient: return "scope-insufficient"
        case .accessDenied: return "access-denied"
        case .signatureInvalid: return "signature-invalid"
        case .signatureReplayed: return "signature-replayed"
        case .quotaExceeded: return "quota-exceeded"
        case .tooManyAtOnce: return "too-many-at-once"
        case .tooManyConnections: return "too-many-connections"
        case .tenantRateLimited: return "tenant-rate-limited"
        case .tenantQuotaExceeded: return "tenant-quota-exceeded"
        case .certificateRevoked: return "certificate-revoked"
        case .upstreamUnavailable: return "upstream-unavailable"
        case .upstreamConnectFailed: return "upstream-connect-failed"
        case .upstreamConnectTimeout: return "upstream-connect-timeout"
        case .upstreamReset: return "upstream-reset"
        case .upstreamTimeout: return "upstream-timeout"
        case .upstreamInvalidResponse: return "upstream-invalid-response"
        case .upstreamOverloaded: return "upstream-overloaded"
        case .circuitOpen: return "circuit-open"
        case .upstreamNotHTTP2: return "upstream-not-http2"
        case .clientClosed: return "client-closed"
        case .draining: return "draining"
        case .overloaded: return "overloaded"
        case .internalError: return "internal-error"
        case .idempotencyKeyInvalid: return "idempotency-key-invalid"
        case .idempotencyInProgress: return "idempotency-in-progress"
        case .idempotencyMismatch: return "idempotency-mismatch"
        case .idempotencyUnrepeatable: return "idempotency-unrepeatable"
        case .authorizationDenied: return "authorization-denied"
        case .notCached: return "not-cached"
        case .requestInvalid: return "request-invalid"
        case .mediaTypeUnsupported: return "media-type-unsupported"
        case .responseInvalid: return "response-invalid"
        }
    }

    /// A sentence for people: the detail of a problem document. Says nothing a caller may not know.
    package var sentence: String {
        switch self {
        case .none: return "The upstream answered."
        case .badRequest: return "The request is not valid HTTP."
        case .pathRefused:
            return "The path has a form that servers read differently: dot segments, empty segments or encoded slashes."
        case .headTooLarge: return "The header block is too large."
        case .targetTooLong: return "The address is too long."
        case .bodyTooLarge: return "The body is larger than this API takes."
        case .requestTimeout: return "The request did not arrive in time."
        case .versionUnsupported: return "This version of HTTP is not spoken here."
        case .expectationFailed: return "The only expectation met here is 100-continue."
        case .upgradeRefused: return "This gateway does not switch protocols on this address."
        case .noRoute: return "No API answers at this address."
        case .methodNotAllowed: return "This address does not take this method."
        case .optionsAnswered: return "The methods of this address."
        case .answered: return "The gateway answered by a policy."
        case .cached: return "The gateway answered from its cache."
        case .replayed: return "The gateway repeated the answer to an earlier request."
        case .expressionLimit: return "A rule of this gateway could not be decided for this request within its bounds."
        case .addressDenied: return "Your address may not call this API."
        case .credentialsMissing: return "This API needs credentials."
        case .credentialsUnknown: return "The credentials are not valid."
        case .credentialsExpired: return "The credentials have expired."
        case .applicationSuspended: return "The application is suspended."
        case .notSubscribed: return "The application is not subscribed to this API."
        case .subscriptionSuspended: return "The subscription is suspended."
        case .rateLimited: return "Too many requests; try again after the time given."
        case .tokenInvalid: return "The token is not valid here."
        case .scopeInsufficient: return "The token lacks a scope that this API needs."
        case .accessDenied: return "The caller may not use this API."
        case .signatureInvalid: return "The signature of the request is not valid."
        case .signatureReplayed: return "The request was sent before; sign it anew."
        case .policyUnavailable: return "A service that decides about this request did not answer."
        case .quotaExceeded: return "The quota is used up; it begins anew after the time given."
        case .tooManyAtOnce: return "Too many requests at the same time; wait for others to end."
        case .tooManyConnections: return "Too many connections at the same time; close others first."
        case .tenantRateLimited:
            return "Too many requests to all APIs of this organisation; try again after the time given."
        case .tenantQuotaExceeded:
            return "The quota of all APIs of this organisation is used up; it begins anew after the time given."
        case .certificateRevoked: return "The certificate of this connection was revoked; connect with another one."
        case .upstreamUnavailable: return "No server of this API is available."
        case .upstreamConnectFailed: return "The server of this API could not be reached."
        case .upstreamConnectTimeout: return "The server of this API did not accept a connection in time."
        case .upstreamReset: return "The server of this API closed the connection."
        case .upstreamTimeout: return "The server of this API did not answer in time."
        case .upstreamInvalidResponse: return "The server of this API answered with something that is not valid HTTP."
        case .upstreamOverloaded: return "The server of this API has no free connection."
        case .circuitOpen: return "The servers of this API failed too often and get no requests for a moment."
        case .upstreamNotHTTP2: return "The server of this API does not speak HTTP/2, which gRPC needs."
        case .clientClosed: return "The client closed the connection."
        case .draining: return "This gateway is stopping."
        case .overloaded: return "This gateway has too much to do."
        case .internalError: return "Something went wrong in the gateway."
        case .idempotencyKeyInvalid:
            return "This request needs one Idempotency-Key of 1 to 255 visible ASCII characters."
        case .idempotencyInProgress: return "A request with this idempotency key is being worked on."
        case .idempotencyMismatch: return "This idempotency key was used for another request."
        case .idempotencyUnrepeatable:
            return "A request with this idempotency key was done; its answer was too large to be kept."
        case .authorizationDenied: return "The service that decides about access denied this request."
        case .notCached: return "Nothing is stored for this address, and the request asked for nothing else."
        case .requestInvalid: return "The request is not as the API's document describes it; 'errors' says where."
        case .mediaTypeUnsupported: return "This operation does not take a body of this type."
        case .responseInvalid:
            return "The server of this API answered with something that its document does not describe."
        }
    }
}
