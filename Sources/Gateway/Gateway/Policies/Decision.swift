import Crypto

/// What the policies make of one request: whether it goes upstream and as whom, or which answer the gateway gives.
///
/// One for each loop, filled anew for each request: it keeps a hash context and a buffer, so that deciding allocates nothing.
/// `forwarding` is plain and may be copied; `headerLines` is valid until the next request is decided.
package struct Decision: ~Copyable {
    /// `none`: forward. Else the answer to give, with its status.
    package internal(set) var reason: RequestReason = .none
    /// Who calls and what is taken off the request; also filled on a refusal as far as it is known, for the record.
    package internal(set) var forwarding: Forwarding = Forwarding()
    /// Complete lines (`Name: value` CR LF) that a refusal's answer carries besides those every answer has.
    package internal(set) var headerLines: [UInt8] = []

    var hasher: SHA256Context = SHA256Context()
    /// Limits that counted this request, to be given back when another one refuses.
    var taken: LimitReceipts = LimitReceipts()

    package init() {
        self.headerLines.reserveCapacity(512)
    }

    package var isForwarded: Bool { self.reason == .none }

    mutating func begin(_ rules: RouteRules, route: RouteIndex) {
        self.reason = .none
        self.forwarding = Forwarding()
        self.forwarding.route = route
        self.forwarding.api = rules.api
        self.forwarding.upstream = rules.upstream
        self.forwarding.routeIdentity = rules.identity
        if !self.headerLines.isEmpty { self.headerLines.removeAll(keepingCapacity: true) }
        self.taken.count = 0
    }
}

extension Decision {
    /// Goes on with a request that had waited.
    mutating func resume(_ forwarding: Forwarding, taken: [LimitPlace]) {
        self.reason = .none
        self.forwarding = forwarding
        self.headerLines.removeAll(keepingCapacity: true)
        self.taken.count = 0
        for place in taken { self.taken.add(place) }
    }

    /// The limits counted so far.
    func copyTaken(into places: inout [LimitPlace]) {
        places.removeAll(keepingCapacity: true)
        for index in 0..<self.taken.count { places.append(self.taken.places[index]) }
    }
}

/// A decided request, as plain numbers: what the engine and the record need after the receive buffer is gone.
package struct Forwarding: BitwiseCopyable, Sendable {
    package var route: RouteIndex = RouteIndex(0)
    /// Place in `Snapshot.apis`.
    package var api: Int32 = -1
    /// What `Snapshot.upstream` takes.
    package var upstream: Int32 = -1
    /// Place in `Snapshot.applications`; -1: anonymous.
    package var application: Int32 = -1
    /// Place in `Snapshot.subscriptions`; -1: none.
    package var subscription: Int32 = -1
    package var routeIdentity: IdentityNumber = .none
    package var applicationIdentity: IdentityNumber = .none
    package var subscriptionIdentity: IdentityNumber = .none
    /// Place of the header field that held the key and is not forwarded; -1: none.
    package var strippedField: Int32 = -1
    /// Part of the query that held the key and is not forwarded, with the `&` that goes with it; length 0: none.
    package var strippedQueryOffset: UInt32 = 0
    package var strippedQueryLength: UInt32 = 0
    /// Leading bytes of the path that are not forwarded. What is left may be empty and is then `/`.
    package var strippedPathLength: UInt32 = 0
    /// Limits of requests at once that count this one until it ends; see `Snapshot.release`.
    var held: HeldPlaces = HeldPlaces()

    package init() {}

    /// Takes out what another way of authentication had found, which was refused.
    mutating func forgetCaller(unless caller: Caller) {
        if caller.application < 0 {
            self.application = -1
            self.applicationIdentity = .none
        }
        if caller.wordStart < 0 {
            self.subscription = -1
            self.subscriptionIdentity = .none
        }
    }
}

/// The clocks a decision reads, taken once a tick.
package struct DecisionTime: BitwiseCopyable, Sendable {
    /// Nanoseconds of the monotonic clock.
    package var monotonic: UInt64
    /// Nanoseconds since 1970, UTC: for windows that all gateways share.
    package var wall: UInt64

    package init(monotonic: UInt64, wall: UInt64) {
        self.monotonic = monotonic
        self.wall = wall
    }

    package init(monotonic: UInt64, wallSeconds: Int64) {
        self.init(monotonic: monotonic, wall: UInt64(wallSeconds) * 1_000_000_000)
    }

    /// Seconds since 1970, UTC: for the expiry of keys.
    package var wallSeconds: Int64 { Int64(self.wall / 1_000_000_000) }

    /// The clock a rule counts by.
    @inline(__always)
    func reading(for rule: LimitRule) -> UInt64 { rule.algorithm == .aligned ? self.wall : self.monotonic }
}

/// Where a request counts as under way: places in the snapshot's words, one each for the API, the route and the plan.
struct HeldPlaces: BitwiseCopyable, Sendable {
    private var places: (Int32, Int32, Int32) = (-1, -1, -1)
    private(set) var count: UInt8 = 0

    static let countMax: Int = 3

    mutating func add(_ place: Int32) {
        switch self.count {
        case 0: self.places.0 = place
        case 1: self.places.1 = place
        case 2: self.places.2 = place
        default: preconditionFailure("a request has at most three limits of requests at once")
        }
        self.count += 1
    }

    subscript(index: Int) -> Int32 {
        switch index {
        case 0: return self.places.0
        case 1: return self.places.1
        default: return self.places.2
        }
    }
}
