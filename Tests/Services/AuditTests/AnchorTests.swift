import Contracts
import JSON
import Processes
import REST
import ServiceTestKit
import Store
import Synchronization
import Telemetry
import TestKit
import Testing

@testable import Audit

/// Checkpoints in places outside of the platform.
@Suite struct AnchorTests {
    /// A server that is told what to answer.
    private final class Server: Sendable {
        let status: Mutex<Int>
        let taken: Mutex<[String]> = Mutex([])

        init(_ status: Int) { self.status = Mutex(status) }

        var anchor: WebhookAnchor {
            WebhookAnchor(server: "https://witness.example", url: "https://witness.example/secret-path") { text in
                let status: Int = self.status.withLock { $0 }
                if status == 200 { self.taken.withLock { $0.append(String(decoding: text, as: UTF8.self)) } }
                return status
            }
        }
    }

    private static func states(_ fixture: AuditFixture) async throws -> [JSONValue] {
        let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/anchors")
        #expect(answer.status == 200)
        return answer.items
    }

    /// Lets time pass until the anchors stand as they should.
    private static func eventually(
        _ fixture: AuditFixture, _ what: String, _ isSo: @escaping ([JSONValue]) -> Bool
    ) async throws {
        try await TestKit.eventually(what) {
            fixture.harness.clock.advance(by: .seconds(3_600))
            return isSo(try await Self.states(fixture))
        }
    }

    private static func disputed(_ fixture: AuditFixture, _ reason: String) async throws {
        try await Self.eventually(fixture, reason) {
            $0.first?["failure"]?.text?.hasPrefix("disputed: ") ?? false
                && $0.first?["failure"]?.text?.contains(reason) ?? false
        }
        // Once told, however often it is looked at.
        for _ in 0..<3 {
            fixture.harness.clock.advance(by: .seconds(3_600))
            _ = try await Self.states(fixture)
        }
        try await fixture.settle()
        #expect(try await fixture.harness.auditEntries("audit.anchor-disputed").count == 1)
        let notes: [JSONValue] = try await fixture.harness.events(Topics.notifications)
        #expect(notes.map { $0["type"]?.text } == ["audit-anchor-disputed"])
        let metrics: String = String(decoding: fixture.harness.services.metrics.prometheusText(), as: UTF8.self)
        #expect(metrics.contains("passerelle_audit_anchor_failures_total{anchor="))
    }

    private static func sign(_ head: TreeHead, _ fixture: AuditFixture) throws -> [UInt8] {
        let service: AuditService = try #require(fixture.harness.running.first as? AuditService)
        return Array(try service.checkpoint(of: head).noteText.utf8)
    }

    private static func git(_ folder: String, _ arguments: String...) async throws -> String {
        let outcome: ChildProgram.Outcome = try await ChildProgram.run(
            "git", ["-C", folder] + arguments, within: .seconds(60))
        #expect(outcome.status == 0, "\(arguments): \(outcome.output)")
        return outcome.output
    }

    @Test func everyKindTakesCheckpointsThatTheKeySigned() async throws {
        let (folder, tree, origin): (TemporaryFolder, TemporaryFolder, TemporaryFolder) = (
            TemporaryFolder(), TemporaryFolder(), TemporaryFolder()
        )
        _ = try await Self.git(origin.path, "init", "--quiet", "--bare", ".")
        _ = try await Self.git("/", "clone", "--quiet", origin.path, "\(tree.path)/clone")
        let server: Server = Server(200)
        let fixture: AuditFixture = try await AuditFixture(anchors: [
            FolderAnchor(folder.path), RepositoryAnchor("\(tree.path)/clone", pushes: true), server.anchor,
        ])
        for count in [3, 2] {
            try await fixture.write(count)
            let size: Int64 = try await fixture.settle()
            try await Self.eventually(fixture, "all have \(size)") { states in
                states.count == 3 && states.allSatisfy { $0["size"]?.integer == size && $0["failure"] == .null }
            }
        }
        let keys: [NoteVerifier] = try await fixture.store.read { try CheckpointKeys.verifiers(in: $0) }
        let head: TreeHead = try await fixture.store.read { try TreeTables.head(in: $0) }
        let pushed: String = try await Self.git(origin.path, "cat-file", "blob", "HEAD:checkpoint")
        let last: String = try #require(server.taken.withLock { $0.last })
        let kept: [UInt8] = try #require(try await FolderAnchor(folder.path).newest())
        for note in [Array(pushed.utf8), Array(last.utf8), kept] {
            #expect(try Checkpoint(verifying: note, trusting: keys).head == head)
        }
        // Each checkpoint once; none goes.
        let commits: String = try await Self.git(origin.path, "log", "--format=%s")
        let subjects: [Substring] = commits.split(separator: "\n")
        #expect(subjects.first == "Checkpoint of 5 entries" && subjects.contains("Checkpoint of 3 entries"))
        #expect(Set(subjects).count == subjects.count)
        #expect(server.taken.withLock { Set($0).count == $0.count })
        let names: [String] = try await Self.states(fixture).map { $0["name"]?.text ?? "" }
        #expect(names[0] == "folder \(folder.path)" && names[1] == "repository \(tree.path)/clone")
        #expect(names[2].hasPrefix("url https://witness.example (") && !names[2].contains("secret"))
        await fixture.harness.stop()
    }

    @Test func aRewrittenHistoryIsFoundByTheCheckpointThatIsKept() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let fixture: AuditFixture = try await AuditFixture(anchors: [FolderAnchor(folder.path)])
        try await fixture.write(3)
        let size: Int64 = try await fixture.settle()
        try await Self.eventually(fixture, "it has \(size)") { $0.first?["size"]?.integer == size }
        // What a witness would hold of a log that told it something else.
        let note: [UInt8] = try Self.sign(TreeHead(size: size, root: TreeHash(leaf: [1])), fixture)
        folder.write(note, to: "000000000000000\(size).checkpoint")
        try await Self.disputed(fixture, "history was rewritten")
        #expect(try await FolderAnchor(folder.path).newest() == note, "the witness stays")
        await fixture.harness.stop()
    }

    @Test func aCutOffEndIsFound() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let fixture: AuditFixture = try await AuditFixture(anchors: [FolderAnchor(folder.path)])
        folder.write(
            try Self.sign(TreeHead(size: 900, root: TreeHash(leaf: [1])), fixture), to: "0000000000000900.checkpoint")
        try await fixture.write(1)
        try await Self.disputed(fixture, "more than there are")
        await fixture.harness.stop()
    }

    @Test func whatIsNotOfThisLogIsNotTaken() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        folder.write(Array("hello\n".utf8), to: "0000000000000001.checkpoint")
        folder.write(Array("hello\n".utf8), to: "9.checkpoint")
        let fixture: AuditFixture = try await AuditFixture(anchors: [FolderAnchor(folder.path)])
        try await fixture.write(1)
        try await Self.disputed(fixture, "no checkpoint of this log")
        await fixture.harness.stop()
    }

    @Test func whatFailsIsTriedAgain() async throws {
        let place: TemporaryFolder = TemporaryFolder()
        let (server, folder): (Server, String) = (Server(500), "\(place.path)/not-mounted")
        let fixture: AuditFixture = try await AuditFixture(anchors: [
            FolderAnchor(folder), RepositoryAnchor(folder, pushes: false), server.anchor,
        ])
        try await fixture.write(2)
        let size: Int64 = try await fixture.settle()
        try await Self.eventually(fixture, "none takes it") { $0.allSatisfy { $0["failing_since"]?.text != nil } }
        #expect(try await Self.states(fixture).allSatisfy { $0["size"] == 0 && $0["failure"]?.text != nil })
        _ = try await Self.git("/", "init", "--quiet", folder)
        server.status.withLock { $0 = 200 }
        try await Self.eventually(fixture, "all take it") {
            $0.allSatisfy { $0["size"]?.integer == size && $0["failure"] == .null }
        }
        #expect(try await fixture.harness.auditEntries("audit.anchor-disputed").isEmpty)
        await fixture.harness.stop()
    }

    @Test func aServerThatKnowsBetterDisputes() async throws {
        let fixture: AuditFixture = try await AuditFixture(anchors: [Server(409).anchor])
        try await fixture.write(1)
        try await fixture.settle()
        try await Self.disputed(fixture, "409")
        await fixture.harness.stop()
    }

    @Test(arguments: [("admin", 200), ("cpi-admin", 200), ("auditor@acme", 403), ("viewer@acme", 403)])
    func onlyWhoReadsAllEntriesSeesThem(token: String, status: Int) async throws {
        let fixture: AuditFixture = try await AuditFixture()
        let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/anchors", token: token)
        #expect(answer.status == status)
        if status == 200 { #expect(answer.items.isEmpty) }
        await fixture.harness.stop()
    }
}
