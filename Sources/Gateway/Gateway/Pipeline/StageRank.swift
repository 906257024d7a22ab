/// When a policy of the request's way runs: the gateway's order, whatever the order in the document.
enum RequestRank: UInt8, Comparable, CaseIterable {
    /// Client certificates, connection limits.
    case connection = 10
    /// Encoded slashes, addresses, declared size, rate limits by address, spike arrest.
    case admission = 20
    case cors = 30
    case authentication = 40
    case accessControl = 50
    case externalAuthorization = 60
    /// Rate limits, quotas, concurrency; the path's prefix is taken off here.
    case limits = 70
    case idempotency = 80
    case validation = 90
    /// Rewriting, redirects, headers, query, body.
    case transformation = 100
    case mock = 110
    case cache = 120

    static func < (left: RequestRank, right: RequestRank) -> Bool { left.rawValue < right.rawValue }
}

/// When a policy of the response's way runs.
enum ResponseRank: UInt8, Comparable, CaseIterable {
    case validation = 10
    case transformation = 20
    case securityHeaders = 30
    case compression = 40
    /// What is stored is what other clients get: fields that belong to one caller are added behind it, by `answerFields`.
    case cacheStore = 50
    case idempotencyStore = 60
    /// Behind all stages: an answer that enters here meets none.
    case end = 255

    static func < (left: ResponseRank, right: ResponseRank) -> Bool { left.rawValue < right.rawValue }
}
