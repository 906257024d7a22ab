import Documents
import JSON

/// How a target is chosen among those in health.
package enum BalanceRule: String, Sendable, Equatable, CaseIterable {
    /// In turn, in proportion to the weights. Each loop takes its own turns.
    case roundRobin = "round_robin"
    /// The one with the fewest requests on their way for its weight, of all loops.
    case leastRequests = "least_requests"
    /// The less busy one of two chosen at random by weight.
    case powerOfTwo = "power_of_two"
    /// The same one for the same key (Maglev hashing), as long as it is in health.
    case maglev
}

/// What a request's key for `maglev`, or for a sticky version, is made of.
package enum HashSource: Sendable, Equatable {
    /// The client's address.
    case address
    case path
    /// Lower-case name of a header field.
    case header(String)
    case cookie(String)
    /// Name of a query parameter, compared as sent.
    case query(String)

    static let nameLengthMax: Int = 128

    static func read(_ decoder: NodeDecoder) -> HashSource? {
        if decoder.node.text == "ip" { return .address }
        if decoder.node.text == "path" { return .path }
        guard case .mapping = decoder.node.kind else {
            decoder.problem("expected 'ip', 'path', or one of {header: NAME}, {cookie: NAME}, {query: NAME}")
            return nil
        }
        guard let fields: NodeFields = decoder.fields(["header", "cookie", "query"]) else { return nil }
        let header: String?? = fields.optional("header") { $0.fieldName() }
        let cookie: String?? = fields.optional("cookie") { $0.cookieName() }
        let query: String?? = fields.optional("query") { $0.string(length: 1...self.nameLengthMax) }
        guard let header, let cookie, let query else { return nil }
        switch (header, cookie, query) {
        case (.some(let name), nil, nil): return .header(name)
        case (nil, .some(let name), nil): return .cookie(name)
        case (nil, nil, .some(let name)): return .query(name)
        default:
            decoder.problem("expected exactly one of header, cookie and query")
            return nil
        }
    }

    func json() -> JSONValue {
        switch self {
        case .address: return .string("ip")
        case .path: return .string("path")
        case .header(let name): return .object(["header": .string(name)])
        case .cookie(let name): return .object(["cookie": .string(name)])
        case .query(let name): return .object(["query": .string(name)])
        }
    }
}

extension NodeDecoder {
    /// The name of a cookie: a token (RFC 6265 section 4.1.1). Case counts.
    func cookieName() -> String? {
        self.parsed("the name of a cookie") { (text: String) -> String? in
            HeaderRules.name(text) == nil ? nil : text
        }
    }
}
