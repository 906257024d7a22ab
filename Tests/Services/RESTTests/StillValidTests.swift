import Contracts
import HTTP
import Identifiers
import JSON
import ServiceTestKit
import Synchronization
import Testing

@testable import REST

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

    /// Who may do nothing has one thing left: to be refused, and that costs an entry.
    @Test func aFloodOfRefusalsIsSummed() async throws {
        let harness: ServiceHarness = try await ServiceHarness(migrations: [SampleService.migrations]) { _ in
            [SampleService()]
        }
        let recorder: RefusalRecorder = RefusalRecorder(services: harness.services)
        let ada: Caller = Caller(kind: .user, id: "usr_ada", grants: [], ip: "192.0.2.1")
        for _ in 0..<(RefusalRecorder.singlesMax + 500) {
            await recorder.record(ada, what: "createNote", tenant: "acme", rule: "none", trace: TraceContext.make())
        }
        await recorder.flush()
        #expect(try await harness.auditEntries("access.refused").count == RefusalRecorder.singlesMax)
        let summed: [JSONValue] = try await harness.auditEntries("access.refused-anonymous")
        #expect(summed.map { $0["changes"]?["count"]?.integer } == [500])
        #expect(summed.first?["changes"]?["account"]?.text == "usr_ada")
        await recorder.record(ada, what: "createNote", tenant: "acme", rule: "none", trace: TraceContext.make())
        #expect(try await harness.auditEntries("access.refused").count == RefusalRecorder.singlesMax + 1)
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
