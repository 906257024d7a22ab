package import Contracts
import Synchronization

/// What is left to decide of a request that the caller may make for some APIs alone: whether the one it is about is among them.
///
/// Its handler decides where it reads the API, in the same transaction or snapshot. A change whose handler forgot is not committed, and no
/// other answer is given either.
package final class APIAccess: Sendable {
    let caller: Caller
    private let permission: Permission
    let tenant: String
    private let environment: String?
    private let asked: Atomic<Bool> = Atomic(false)

    init(_ caller: Caller, _ permission: Permission, tenant: String, environment: String?) {
        self.caller = caller
        self.permission = permission
        self.tenant = tenant
        self.environment = environment
    }

    func decide(_ labels: APILabels?) -> AccessDecision {
        self.asked.store(true, ordering: .relaxed)
        return self.caller.decide(
            self.permission, tenant: self.tenant, environment: self.environment, labels: labels)
    }

    /// The refusal that a decision means.
    ///
    /// - Parameter unknown: what is answered where there is no such API, and where it is not there for the caller.
    func refusal(_ decision: AccessDecision, _ labels: APILabels?, unknown: APIProblem?) -> AccessRefusal {
        let after: Caller = self.caller.afterSecondFactor
        if let labels: APILabels, !self.caller.withheld.isEmpty,
            after.decide(self.permission, tenant: self.tenant, environment: self.environment, labels: labels).isAllowed
        {
            return AccessRefusal(problem: StepUp.isMissing(self.caller.withheld), rule: decision.rule)
        }
        let isSeen: Bool = labels.map { self.caller.sees($0, tenant: self.tenant) } ?? false
        if !isSeen, let unknown: APIProblem { return AccessRefusal(problem: unknown, rule: decision.rule) }
        return AccessRefusal(problem: RESTHandler.forbidden(self.permission, decision), rule: decision.rule)
    }

    /// - Throws: when nobody has asked: then the handler is wrong, and nothing comes of the request.
    func requireAsked() throws {
        guard self.asked.load(ordering: .relaxed) else {
            throw AccessRefusal(
                problem: APIProblem(.forbidden, "The operation does not decide by labels."),
                rule: "the operation did not look at the API's labels")
        }
    }
}

/// A refusal of a handler: recorded like every other, then answered.
struct AccessRefusal: Error {
    let problem: APIProblem
    let rule: String
}

extension RequestContext {
    /// Whether the handler has to decide, by the labels of the API.
    package var dependsOnLabels: Bool { self.apiAccess != nil }

    /// Makes sure that the caller may do this to an API. Asked where the API is read, in the transaction of the change.
    ///
    /// - Parameters:
    ///   - labels: those of the API; nil: there is no such API.
    ///   - unknown: what is answered then; the same is where the API is not there for the caller (`Caller.sees`).
    /// - Throws: the refusal. Nothing where all APIs are alike to the caller, also not for a missing one.
    package func requireAccess(_ labels: APILabels?, unknown: @autoclosure () -> APIProblem) throws {
        guard let access: APIAccess = self.apiAccess else { return }
        let decision: AccessDecision = access.decide(labels)
        if labels == nil || !decision.isAllowed {
            throw access.refusal(decision, labels, unknown: unknown())
        }
    }

    /// Makes sure that the caller may do this to an API that has these labels because of it: one that is made, or gets others.
    ///
    /// - Parameter old: the labels it has now; nil: it is made.
    package func requireAccess(toGive labels: APILabels, inPlaceOf old: APILabels?) throws {
        if let access: APIAccess = self.apiAccess {
            let decision: AccessDecision = access.decide(labels)
            if !decision.isAllowed { throw access.refusal(decision, labels, unknown: nil) }
        }
        guard let old: APILabels, old != labels,
            let rule: String = self.caller.gain(from: old, to: labels, tenant: self.tenant)
        else { return }
        throw AccessRefusal(
            problem: APIProblem(
                .forbidden, "With these labels you could do to the API what you cannot do to it now: \(rule)."),
            rule: rule)
    }

    /// Makes sure that what the caller may do is not limited to some APIs: the request is about no one.
    package func requireAccessToAll() throws {
        guard let access: APIAccess = self.apiAccess else { return }
        throw access.refusal(access.decide(nil), nil, unknown: nil)
    }

    /// What decides of each API whether a list shows what belongs to it; nil: all of them are shown.
    package var isShown: (@Sendable (APILabels) -> Bool)? {
        guard let access: APIAccess = self.apiAccess else { return nil }
        _ = access.decide(nil)
        return { access.decide($0).isAllowed }
    }
}
