import Crypto
import GatewayConfiguration

extension Snapshot {
    /// Runs the policies of a matched route on a request. After this call either the request is forwarded or the answer is
    /// `decision.reason`.
    ///
    /// On the loop that owns `decision`; allocates nothing on success. `hasEncodedSlash` comes from `PathScreen`.
    package func decide(
        _ request: RequestView, route: RouteIndex, hasEncodedSlash: Bool, at time: DecisionTime,
        into decision: inout Decision
    ) {
        let rules: RouteRules = self.rules[route.value]
        decision.begin(rules, route: route)
        if !self.admit(request, rules, hasEncodedSlash: hasEncodedSlash, at: time, &decision) { return }
        var caller: Caller = .anonymous
        if rules.access != .open {
            caller = self.identify(request, rules, at: time, &decision)
            if decision.reason != .none { return }
        }
        if rules.accessRun.count > 0, !self.permits(caller, rules) {
            decision.reason = .accessDenied
            return
        }
        _ = self.limit(request, rules, caller, at: time, &decision)
    }

    /// What is decided before anybody asks who calls; false when the request is refused.
    @inline(__always)
    func admit(
        _ request: RequestView, _ rules: RouteRules, hasEncodedSlash: Bool, at time: DecisionTime,
        _ decision: inout Decision
    ) -> Bool {
        if hasEncodedSlash && rules.refusesEncodedSlashes {
            decision.reason = .pathRefused
            return false
        }
        if rules.denyCount + rules.allowCount > 0 && !self.admits(request.remote, rules) {
            decision.reason = .addressDenied
            return false
        }
        if request.contentLength > rules.bodyBytesMax {
            decision.reason = .bodyTooLarge
            return false
        }
        if rules.addressLimitCount > 0 {
            self.placeLimits(rules, from: 0, count: Int(rules.addressLimitCount), request, .anonymous, &decision)
            if !self.passLimits(alreadyTaken: 0, cost: rules.cost, at: time, &decision) { return false }
        }
        return true
    }

    /// Counts the request in all limits that are left, and takes the prefix off its path; false when a limit refuses it.
    @inline(__always)
    func limit(
        _ request: RequestView, _ rules: RouteRules, _ caller: Caller, at time: DecisionTime,
        _ decision: inout Decision
    ) -> Bool {
        let limitsLeft: Int = Int(rules.limitCount - rules.addressLimitCount)
        if limitsLeft > 0 || caller.planCount > 0 || rules.tenantLimits.count > 0 {
            let taken: Int = decision.taken.count
            self.placeLimits(rules, from: Int(rules.addressLimitCount), count: limitsLeft, request, caller, &decision)
            self.placePlanLimits(caller, &decision)
            self.placeTenantLimits(rules, &decision)
            if !self.passLimits(alreadyTaken: taken, cost: rules.cost, at: time, &decision) { return false }
        }
        if !rules.stripPrefix.isEmpty {
            decision.forwarding.strippedPathLength = self.strippedLength(request.path, rules.stripPrefix)
        }
        return true
    }

    /// Bytes of the prefix when the path begins with it at a segment's end, else 0.
    private func strippedLength(_ path: UnsafeRawBufferPointer, _ range: TextRange) -> UInt32 {
        let prefix: UnsafeRawBufferPointer = range.bytes
        guard path.count >= prefix.count, let start: UnsafeRawPointer = path.baseAddress,
            let own: UnsafeRawPointer = prefix.baseAddress, ASCIIBytes.equal(start, own, count: prefix.count)
        else { return 0 }
        if path.count > prefix.count && path[prefix.count] != UInt8(ascii: "/") { return 0 }
        return range.length
    }

    private func admits(_ address: IPAddress, _ rules: RouteRules) -> Bool {
        var index: Int = Int(rules.blockStart)
        let denyEnd: Int = index + Int(rules.denyCount)
        let allowEnd: Int = denyEnd + Int(rules.allowCount)
        while index < denyEnd {
            if self.blocks[index]?.contains(address) ?? true { return false }
            index += 1
        }
        if rules.allowCount == 0 { return true }
        while index < allowEnd {
            if self.blocks[index]?.contains(address) ?? false { return true }
            index += 1
        }
        return false
    }
}

/// Who calls, as limits need it.
struct Caller: BitwiseCopyable, Sendable {
    var application: Int32
    var applicationIdentity: IdentityNumber
    /// Place among the keys of the application.
    var keyOrdinal: Int32
    /// -1: no subscription.
    var wordStart: Int32
    var keyWordStart: Int32
    var keyWords: Int32
    /// Places of the plan's limits and of their words, one behind the other.
    var planLimit: Int32
    var planWordStart: Int32
    var planCount: Int32
    /// Id of the plan; empty: none.
    var plan: TextRange = TextRange()
    /// What the caller has proved; belongs to the context of the exchange.
    var identity: Unmanaged<VerifiedIdentity>?

    static let anonymous: Caller = Caller(
        application: -1, applicationIdentity: .none, keyOrdinal: -1, wordStart: -1, keyWordStart: -1, keyWords: 0,
        planLimit: -1, planWordStart: -1, planCount: 0, identity: nil)
}
