import GatewayConfiguration
import JSON
import Synchronization
import Tokens

extension Snapshot {
    /// Finds the counts that a request's limits use and notes them in `decision.taken`.
    func placeLimits(
        _ rules: RouteRules, from: Int, count: Int, _ request: RequestView, _ caller: Caller,
        _ decision: inout Decision
    ) {
        var index: Int = Int(rules.limitStart) + from
        let end: Int = index + count
        while index < end {
            decision.taken.add(self.place(self.limits[index], index: index, request, caller))
            index += 1
        }
    }

    private func place(
        _ limit: CompiledLimit, index: Int, _ request: RequestView, _ caller: Caller
    ) -> LimitPlace {
        let number: Int32 = Int32(truncatingIfNeeded: index)
        switch limit.subject {
        case .api, .plan, .tenant: return self.place(limit.own, number)
        case .application:
            if caller.wordStart >= 0 { return self.place(caller.wordStart + limit.slot, number) }
        case .key:
            if caller.wordStart >= 0 {
                return self.place(caller.keyWordStart + caller.keyOrdinal * caller.keyWords + limit.slot, number)
            }
        case .ip: return self.place(self.fingerprint(limit, request.remote, .anonymous), number)
        case .header: return self.place(self.fingerprint(limit, header: request.fields), number)
        case .claim: return self.place(self.fingerprint(limit, claimOf: caller), number)
        }
        // A caller without subscription: of what has a word for each subscription all of them share one.
        if limit.own >= 0 { return self.place(limit.own, number) }
        return self.place(self.fingerprint(limit, request.remote, caller), number)
    }

    private func place(_ word: Int32, _ limit: Int32) -> LimitPlace {
        LimitPlace(word: self.words[Int(word)], wordIndex: word, fingerprint: 0, limit: limit)
    }

    private func place(_ fingerprint: UInt64, _ limit: Int32) -> LimitPlace {
        LimitPlace(word: nil, wordIndex: -1, fingerprint: fingerprint, limit: limit)
    }

    /// Notes the counts of the caller's plan.
    func placePlanLimits(_ caller: Caller, _ decision: inout Decision) {
        for number in 0..<caller.planCount {
            decision.taken.add(self.place(caller.planWordStart + number, caller.planLimit + number))
        }
    }

    /// Notes the counts of the tenant.
    func placeTenantLimits(_ rules: RouteRules, _ decision: inout Decision) {
        for number in rules.tenantLimits.start..<rules.tenantLimits.start + rules.tenantLimits.count {
            decision.taken.add(self.place(self.limits[Int(number)].own, number))
        }
    }

    /// An application or key without subscription counts by itself, a caller without application by address.
    private func fingerprint(_ limit: CompiledLimit, _ address: IPAddress, _ caller: Caller) -> UInt64 {
        if caller.application >= 0 {
            let subject: UInt64 =
                UInt64(caller.applicationIdentity.value) << 32 | UInt64(UInt32(bitPattern: caller.keyOrdinal))
            let key: UInt64 = limit.subject == .key ? subject : UInt64(caller.applicationIdentity.value)
            return ByteHash.mix(limit.seed ^ key, 0xe703_7ed1_a0b4_28db ^ limit.seed >> 7)
        }
        // One customer has a whole /64 of IPv6 to choose from.
        let low: UInt64 = address.isIPv4 ? address.low : 0
        return ByteHash.mix(limit.seed ^ address.high, 0xe703_7ed1_a0b4_28db ^ low)
    }

    private func fingerprint(_ limit: CompiledLimit, header fields: FieldTable) -> UInt64 {
        let index: Int = fields.index(of: limit.header.bytes)
        guard index >= 0 else { return limit.seed }
        let value: UnsafeRawBufferPointer = fields.value(at: index)
        guard let base: UnsafeRawPointer = value.baseAddress else { return limit.seed }
        return self.live.hash.hash(base, count: value.count, with: limit.seed)
    }

    /// Callers without the claim share one count.
    private func fingerprint(_ limit: CompiledLimit, claimOf caller: Caller) -> UInt64 {
        guard let identity: Unmanaged<VerifiedIdentity> = caller.identity else { return limit.seed }
        let path: ClaimPath = self.claimPaths[Int(limit.claim)]
        return identity._withUnsafeGuaranteedRef { identity in
            guard let value: JSONValue = identity.claims.flatMap({ path.value(in: $0) }), value != .null else {
                return limit.seed
            }
            var text: String = value.text ?? value.jsonText
            return text.withUTF8 { bytes in
                guard let base: UnsafePointer<UInt8> = bytes.baseAddress else { return limit.seed }
                return self.live.hash.hash(UnsafeRawPointer(base), count: bytes.count, with: limit.seed)
            }
        }
    }

    /// Counts the request, which takes `cost` where a limit does not say it, in every place noted from `alreadyTaken` on, or in none at all, those taken before included.
    ///
    /// All are asked first, so that a request one limit refuses does not even briefly occupy another. Between asking and
    /// counting other loops may count; then what was counted is given back.
    func passLimits(
        alreadyTaken: Int, cost: UInt32, at time: DecisionTime, _ decision: inout Decision
    ) -> Bool {
        let count: Int = decision.taken.count
        if count - alreadyTaken > 1 || alreadyTaken > 0 {
            for index in alreadyTaken..<count {
                let place: LimitPlace = decision.taken.places[index]
                let limit: UnsafePointer<CompiledLimit> = self.limits.pointer(Int(place.limit))
                let rule: LimitRule = self.share.rule(limit.pointee)
                if !place.wouldAdmit(rule, self.live, at: time, cost: rule.cost(limit.pointee.cost(cost))) {
                    self.refuse(index, taken: alreadyTaken, cost: cost, at: time, &decision)
                    return false
                }
            }
        }
        for index in alreadyTaken..<count {
            let place: LimitPlace = decision.taken.places[index]
            let limit: UnsafePointer<CompiledLimit> = self.limits.pointer(Int(place.limit))
            let rule: LimitRule = self.share.rule(limit.pointee)
            let own: UInt64 = rule.cost(limit.pointee.cost(cost))
            if !place.take(rule, isShared: limit.pointee.isShared, self.live, at: time, cost: own) {
                self.refuse(index, taken: index, cost: cost, at: time, &decision)
                return false
            }
            if rule.algorithm == .concurrent { decision.forwarding.held.add(place.wordIndex) }
        }
        return true
    }

    /// The request ended: it is not under way any more. Once for each forwarded request.
    func release(_ held: HeldPlaces) {
        for index in 0..<Int(held.count) {
            if let word: UnsafeMutablePointer<LimitWord> = self.words[Int(held[index])] { LimitRule.end(word.pointee) }
        }
    }

    /// Gives back the first `taken` counts and writes the answer's fields; `refusing` is the place that had no room.
    private func refuse(
        _ refusing: Int, taken: Int, cost: UInt32, at time: DecisionTime, _ decision: inout Decision
    ) {
        for index in 0..<taken {
            let place: LimitPlace = decision.taken.places[index]
            let limit: CompiledLimit = self.limits[Int(place.limit)]
            let rule: LimitRule = self.share.rule(limit)
            let own: UInt64 = rule.cost(limit.cost(cost))
            place.giveBack(rule, isShared: limit.isShared, self.live, at: time, cost: own)
        }
        decision.forwarding.held = HeldPlaces()
        decision.reason = self.limits[Int(decision.taken.places[refusing].limit)].refusal
        self.writeLimitFields(cost: cost, at: time, &decision)
    }

    /// `Retry-After` (RFC 9110 section 10.2.3), `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10),
    /// for all limits that apply to the request.
    private func writeLimitFields(cost: UInt32, at time: DecisionTime, _ decision: inout Decision) {
        var words: LimitWords = LimitWords()
        for index in 0..<decision.taken.count {
            let place: LimitPlace = decision.taken.places[index]
            let limit: CompiledLimit = self.limits[Int(place.limit)]
            let rule: LimitRule = self.share.rule(limit)
            let standing: LimitStanding = place.standing(
                rule, self.live, at: time, cost: rule.cost(limit.cost(cost)))
            if limit.rule.algorithm == .concurrent {
                words.add(concurrent: limit.name.bytes, quota: limit.quota, standing)
            } else {
                words.add(limit.name.bytes, quota: limit.quota, windowSeconds: limit.windowSeconds, standing)
            }
        }
        decision.headerLines.append(contentsOf: "Retry-After: \(words.retrySeconds)\r\nRateLimit-Policy: ".utf8)
        decision.headerLines.append(contentsOf: words.policies)
        decision.headerLines.append(contentsOf: "\r\nRateLimit: ".utf8)
        decision.headerLines.append(contentsOf: words.standings)
        decision.headerLines.append(contentsOf: "\r\n".utf8)
    }
}

extension LimitReceipts {
    mutating func add(_ place: LimitPlace) {
        precondition(self.count < CompiledLimit.perRequestMax)
        self.places[self.count] = place
        self.count += 1
    }
}
