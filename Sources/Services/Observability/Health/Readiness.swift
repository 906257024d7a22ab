package import JSON
package import Store
import Synchronization
package import Time

/// Why a part of the platform is not ready, and since when.
package struct Unreadiness: Sendable, Equatable {
    package let reason: String
    package let since: Timestamp

    package init(reason: String, since: Timestamp) {
        self.reason = reason
        self.since = since
    }
}

/// Whether the platform is ready to serve: every service started, every check passes. What `/readyz` answers from.
///
/// The composition root names the services before it starts them, says when each has, and adds the checks. Any thread.
package final class Readiness: Sendable {
    /// Answers at once and from any thread: nil while all is well.
    package typealias Check = @Sendable () -> Unreadiness?

    private struct State {
        var services: [(name: String, isStarted: Bool)] = []
        var checks: [(name: String, check: Check)] = []
        var isDraining: Timestamp?
    }

    private let clock: any WallClock
    private let begun: Timestamp
    private let state: Mutex<State> = Mutex(State())

    package init(clock: any WallClock) {
        self.clock = clock
        self.begun = clock.now()
    }

    /// When the process began.
    package var since: Timestamp { self.begun }

    /// Names a service that is to be started: until it has, nothing is ready.
    package func expect(service: String) {
        self.state.withLock { $0.services.append((service, false)) }
    }

    package func started(service: String) {
        self.state.withLock { state in
            for index in state.services.indices where state.services[index].name == service {
                state.services[index].isStarted = true
            }
        }
    }

    package func add(_ name: String, _ check: @escaping Check) {
        self.state.withLock { $0.checks.append((name, check)) }
    }

    /// Adds a store's health as a check.
    package func add(_ name: String, store: Store) {
        self.add(name) { () -> Unreadiness? in
            guard case .failing(let reason, let since) = store.health else { return nil }
            return Unreadiness(reason: reason, since: since)
        }
    }

    /// The process is about to stop: load balancers should look elsewhere.
    package func drain() {
        self.state.withLock { $0.isDraining = $0.isDraining ?? self.clock.now() }
    }

    /// Every part by name, with what keeps it from being ready.
    package var parts: [(name: String, problem: Unreadiness?)] {
        let state: State = self.state.withLock { $0 }
        var parts: [(name: String, problem: Unreadiness?)] = []
        for service in state.services {
            let problem: Unreadiness? =
                service.isStarted ? nil : Unreadiness(reason: "the service has not started yet", since: self.begun)
            parts.append(("service:\(service.name)", problem))
        }
        // Outside of the lock: a check may take one of its own.
        for check in state.checks { parts.append((check.name, check.check())) }
        if let since: Timestamp = state.isDraining {
            parts.append(("process", Unreadiness(reason: "the process is stopping", since: since)))
        }
        return parts
    }

    /// The answer of `/readyz`.
    package var report: (isReady: Bool, json: JSONValue) {
        var isReady: Bool = true
        var checks: [JSONValue] = []
        for part in self.parts {
            var check: JSONObject = ["name": .string(part.name), "ok": .bool(part.problem == nil)]
            if let problem: Unreadiness = part.problem {
                isReady = false
                check["reason"] = .string(problem.reason)
                check["since"] = .string(problem.since.rfc3339)
            }
            checks.append(.object(check))
        }
        return (isReady, .object(["status": isReady ? "ready" : "not-ready", "checks": .array(checks)]))
    }
}
