import Contracts
import HTTP
import JSON
import ServiceTestKit
import Synchronization
import Testing

/// A token that ends after it was looked at once.
private final class EndingAuthenticator: Authenticator {
    private let asked: Mutex<Int> = Mutex(0)

    func authenticate(bearer token: String, ip: String) async -> Caller? {
        let isFirst: Bool = self.asked.withLock { (asked: inout Int) -> Bool in
            asked += 1
            return asked == 1
        }
        return isFirst
            ? Caller(kind: .user, id: "usr_ada", grants: [Grant(role: .devops, tenant: "acme")], ip: ip) : nil
    }
}

struct StillValidTests {
    /// A body may be sent for hours.
    @Test func whatWasAllowedWhenARequestBeganMustBeAllowedWhenItIsThere() async throws {
        let harness: ServiceHarness = try await ServiceHarness(
            migrations: [SampleService.migrations], authenticator: { _, _, _ in EndingAuthenticator() }
        ) { _ in [SampleService()] }
        let answer: TestAnswer = try await harness.send(
            "POST", "/v1/tenants/acme/notes", token: "any", .object(["name": "a", "text": "x"]))
        #expect(answer.status == 401)
        #expect(answer.fields["WWW-Authenticate"]?.contains("invalid_token") == true)
        #expect(try await harness.auditEntries("note.created").isEmpty)
    }

    @Test(arguments: ["/v1/hello", "/v1/mine", "/v1/nowhere", "/openapi.json"])
    func noCacheKeepsAnswersAndNoBrowserGuessesWhatTheyAre(path: String) async throws {
        let harness: ServiceHarness = try await ServiceHarness(migrations: [SampleService.migrations]) { _ in
            [SampleService()]
        }
        let answer: TestAnswer = try await harness.send("GET", path)
        #expect(answer.fields.all("Cache-Control") == ["no-store"])
        #expect(answer.fields.all("X-Content-Type-Options") == ["nosniff"])
    }

    @Test func aBodyThatNobodyWantsIsNotReadFarther() async throws {
        let harness: ServiceHarness = try await ServiceHarness(migrations: [SampleService.migrations]) { _ in
            [SampleService()]
        }
        let text: JSONValue = .string(String(repeating: "x", count: 5_000))
        #expect(try await harness.send("GET", "/v1/hello", token: nil, text).status == 413)
        #expect(try await harness.send("GET", "/v1/hello", token: nil, "x").status == 400)
    }
}
