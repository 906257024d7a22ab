import Contracts
import HTTP
import ServiceTestKit
import Synchronization
import TestKit
import Testing

/// One token, whose caller can be changed or taken away.
final class ChangingAuthenticator: Authenticator {
    private let roles: Mutex<[Role]?> = Mutex([.viewer])

    func set(_ roles: [Role]?) { self.roles.withLock { $0 = roles } }

    func authenticate(bearer token: String, ip: String) async -> Caller? {
        self.roles.withLock { $0 }.map {
            Caller(kind: .user, id: "usr_ada", grants: $0.map { Grant(role: $0, tenant: "acme") }, ip: ip)
        }
    }
}

/// Answers that go on for long.
struct StreamTests {
    /// Whose session ends, or who gets other roles, gets nothing more of what is being read.
    @Test(arguments: [nil, [], [Role.auditor]] as [[Role]?])
    func aStreamEndsWithWhatItsCallerMay(roles: [Role]?) async throws {
        let authenticator: ChangingAuthenticator = ChangingAuthenticator()
        let harness: ServiceHarness = try await ServiceHarness(
            migrations: [SampleService.migrations], authenticator: { _, _, _ in authenticator }
        ) { _ in [SampleService()] }
        let stream = await harness.open("/v1/ticks?tenant=acme")
        #expect(stream.status == 200)
        try await eventually("some lines") {
            harness.clock.advance(by: .seconds(1))
            return stream.recorder.received.count >= 5 * 5
        }
        authenticator.set(roles)
        let ended: Mutex<Bool> = Mutex(false)
        async let end: Void = {
            await #expect(throws: HTTPError.disconnected) { try await stream.producer.value }
            ended.withLock { $0 = true }
        }()
        try await eventually("the stream to end") {
            harness.clock.advance(by: .seconds(1))
            return ended.withLock { $0 }
        }
        await end
        await #expect(throws: HTTPError.disconnected) { try await stream.recorder.writer.write("more") }
    }
}
