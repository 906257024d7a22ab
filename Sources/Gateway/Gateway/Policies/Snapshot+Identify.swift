import Crypto
import GatewayConfiguration

extension Snapshot {
    /// Finds out who calls by the key in the header or the query. On refusal sets the reason and, for 401, the challenge.
    ///
    /// A key is only looked for among those of the API's tenant: a key of another tenant is as unknown as any other.
    func identify(
        _ request: RequestView, _ rules: RouteRules, at time: DecisionTime, _ decision: inout Decision
    ) -> Caller {
        var found: PresentedKey = PresentedKey()
        self.findKey(request, rules, &found)
        decision.forwarding.strippedField = found.field
        decision.forwarding.strippedQueryOffset = found.queryOffset
        decision.forwarding.strippedQueryLength = found.queryLength
        guard found.isPresent else {
            if rules.access == .requiredKey { self.challenge(.credentialsMissing, rules, &decision) }
            return .anonymous
        }
        guard !found.isAmbiguous, found.value.count > 0, found.value.count <= KeyDefinition.bytesMax,
            let credential: Credential = self.credential(found.value, tenant: rules.tenant, &decision)
        else {
            self.challenge(.credentialsUnknown, rules, &decision)
            return .anonymous
        }
        let application: ApplicationRules = self.applicationRules[Int(credential.application)]
        decision.forwarding.application = credential.application
        decision.forwarding.applicationIdentity = application.identity
        if time.wallSeconds >= credential.expires {
            self.challenge(.credentialsExpired, rules, &decision)
        } else if !application.isActive {
            decision.reason = .applicationSuspended
        }
        return self.caller(
            credential, application, rules, needsSubscription: rules.access == .requiredKey, &decision)
    }

    /// The caller behind a credential of an application; sets the reason when it has no subscription and needs one.
    func caller(
        _ credential: Credential, _ application: ApplicationRules, _ rules: RouteRules, needsSubscription: Bool,
        _ decision: inout Decision
    ) -> Caller {
        var caller: Caller = .anonymous
        caller.application = credential.application
        caller.applicationIdentity = application.identity
        caller.keyOrdinal = credential.ordinal
        guard
            let subscription: SubscriptionRules = self.subscriptionTable.find(
                application: credential.application, api: rules.api)
        else {
            // Where anonymous callers are let in, a key without subscription opens no less than no key.
            if decision.reason == .none && needsSubscription { decision.reason = .notSubscribed }
            return caller
        }
        decision.forwarding.subscription = subscription.index
        decision.forwarding.subscriptionIdentity = subscription.identity
        if decision.reason == .none && !subscription.isActive { decision.reason = .subscriptionSuspended }
        caller.wordStart = subscription.wordStart
        caller.keyWordStart = subscription.keyWordStart
        caller.keyWords = subscription.keyWords
        caller.planLimit = subscription.planLimit
        caller.planWordStart = subscription.planWordStart
        caller.planCount = subscription.planCount
        caller.plan = subscription.plan
        return caller
    }

    func credential(
        _ key: UnsafeRawBufferPointer, tenant: Int32, _ decision: inout Decision
    ) -> Credential? {
        let digest: KeyDigest = withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { output in
            decision.hasher.hash(key, into: output)
            return KeyDigest(loading: UnsafeRawBufferPointer(output))
        }
        return self.credentials.find(digest, tenant: tenant)
    }

    func findKey(_ request: RequestView, _ rules: RouteRules, _ found: inout PresentedKey) {
        if !rules.keyHeader.isEmpty {
            let name: UnsafeRawBufferPointer = rules.keyHeader.bytes
            let index: Int = request.fields.index(of: name)
            if index >= 0 {
                found.field = Int32(truncatingIfNeeded: index)
                found.value = request.fields.value(at: index)
                // Two fields of that name: nobody can say which one the caller means, and only one would be taken off.
                found.isAmbiguous = request.fields.index(of: name, from: index + 1) >= 0
            }
        }
        if !rules.keyQuery.isEmpty && request.query.count > 0 {
            let name: UnsafeRawBufferPointer = rules.keyQuery.bytes
            if let pair: QueryBytes.Pair = QueryBytes.pair(named: name, in: request.query) {
                let end: Int = pair.offset + pair.length
                found.isAmbiguous =
                    found.isAmbiguous || QueryBytes.pair(named: name, in: request.query, from: end + 1) != nil
                let takesNext: Bool = end < request.query.count
                let takesPrevious: Bool = !takesNext && pair.offset > 0
                found.queryOffset = UInt32(pair.offset - (takesPrevious ? 1 : 0))
                found.queryLength = UInt32(pair.length + (takesNext || takesPrevious ? 1 : 0))
                // The header counts when both are there; the query's is taken off all the same.
                if found.field < 0 {
                    found.value = UnsafeRawBufferPointer(
                        rebasing: request.query[pair.valueOffset..<(pair.valueOffset + pair.valueLength)])
                }
            }
        }
    }

    private func challenge(_ reason: RequestReason, _ rules: RouteRules, _ decision: inout Decision) {
        decision.reason = reason
        // RFC 9110 section 11.6.1 asks for a challenge with every 401; there is no registered scheme for API keys.
        decision.headerLines.append(contentsOf: "WWW-Authenticate: ApiKey realm=\"".utf8)
        decision.headerLines.append(contentsOf: self.apiRules[Int(rules.api)].realm.bytes)
        decision.headerLines.append(contentsOf: "\"\r\n".utf8)
    }
}

/// Where a key was found.
struct PresentedKey {
    var field: Int32 = -1
    var queryOffset: UInt32 = 0
    var queryLength: UInt32 = 0
    var value: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    var isAmbiguous: Bool = false

    var isPresent: Bool { self.field >= 0 || self.queryLength > 0 }
}
