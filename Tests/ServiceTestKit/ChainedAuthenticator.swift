package import Contracts

/// Asks one authenticator after the other: the fixed tokens of a test first, then those of the service under test.
package struct ChainedAuthenticator: Authenticator {
    private let all: [any Authenticator]

    package init(_ all: [any Authenticator]) { self.all = all }

    package func authenticate(bearer token: String, ip: String) async -> Caller? {
        for authenticator in self.all {
            if let caller: Caller = await authenticator.authenticate(bearer: token, ip: ip) { return caller }
        }
        return nil
    }

    package func isStepUpDue(for caller: Caller, enrolling: Bool) async -> Bool {
        for authenticator in self.all where await authenticator.isStepUpDue(for: caller, enrolling: enrolling) {
            return true
        }
        return false
    }
}
