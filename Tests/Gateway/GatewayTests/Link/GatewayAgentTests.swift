import Bytes
import Files
import GatewayConfiguration
import JSON
import Synchronization
import Telemetry
import TestKit
import Testing
import Time

@testable import Gateway

/// A control plane of another process: hands out what it is given, and takes note of what is acknowledged.
private final class ScriptedLink: GatewayLink {
    private struct State {
        var answers: [[UInt8]] = []
        var acknowledged: [Int64] = []
        var isDeaf: Bool = false
        /// Acknowledgements that were not taken.
        var unheard: Int = 0
    }

    private struct Deaf: Error {}

    private let state: Mutex<State> = Mutex(State())

    /// Whether acknowledgements are not taken.
    var isDeaf: Bool {
        get { self.state.withLock { $0.isDeaf } }
        set { self.state.withLock { $0.isDeaf = newValue } }
    }

    var unheard: Int { self.state.withLock { $0.unheard } }

    func send(_ bytes: [UInt8]) { self.state.withLock { $0.answers.append(bytes) } }

    var acknowledged: [Int64] { self.state.withLock { $0.acknowledged } }

    func pull(since version: Int64, hash: String, wait: Duration) async throws -> LinkPull {
        let next: [UInt8]? = self.state.withLock { $0.answers.isEmpty ? nil : $0.answers.removeFirst() }
        if let next: [UInt8] { return LinkPull(.bytes(next), liveGateways: 2) }
        try await Task.sleep(for: .milliseconds(5))
        return LinkPull(.unchanged, liveGateways: 2)
    }

    func acknowledge(_ acknowledgement: LinkAcknowledgement) async throws {
        try self.state.withLock { state in
            if state.isDeaf {
                state.unheard += 1
                throw Deaf()
            }
            state.acknowledged.append(acknowledgement.version)
        }
    }

    func purges(since number: Int64?, wait: Duration) async throws -> PurgeFeed {
        throw CancellationError()
    }

    func report(_ batch: TrafficBatch) async throws {}

    func add(_ changes: [CounterChange]) async throws -> [Int64] { changes.map { $0.amount } }
}

struct GatewayAgentTests {
    private static func plan(_ id: String, version: Int64, after base: HashedDocument) -> HashedDocument {
        var next: HashedDocument = base
        next.set(PlanDefinition(id: id))
        next.advance(to: version)
        return next
    }

    private static func agent(_ folder: String, _ link: any GatewayLink) throws -> GatewayAgent {
        try GatewayAgent(link: link, folder: folder, live: LiveState(), clock: SystemClock(), logger: .silent)
    }

    /// Runs an agent, without its periodic saving, until `versions` are acknowledged; then it is gone as in a kill.
    private static func run(_ folder: String, _ documents: [[UInt8]], until version: Int64) async throws {
        let link: ScriptedLink = ScriptedLink()
        let agent: GatewayAgent = try Self.agent(folder, link)
        _ = await agent.load()
        let task: Task<Void, Never> = Task { await agent.run(engine: nil) }
        for bytes in documents { link.send(bytes) }
        #expect(await eventually { link.acknowledged.last == version })
        task.cancel()
        await task.value
    }

    private static func version(in folder: String) async throws -> Int64 {
        let agent: GatewayAgent = try Self.agent(folder, ScriptedLink())
        _ = await agent.load()
        return await agent.version
    }

    @Test func whatIsAcknowledgedIsThereAfterARestart() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let first: HashedDocument = Self.plan("a", version: 1, after: HashedDocument())
        let second: HashedDocument = Self.plan("b", version: 2, after: first)
        let third: HashedDocument = Self.plan("c", version: 3, after: second)
        try await Self.run(
            folder.path, [first.serialized(), second.delta(from: first).serialized()], until: 2)
        #expect(try await Self.version(in: folder.path) == 2)
        try await Self.run(folder.path, [third.delta(from: second).serialized()], until: 3)
        #expect(try await Self.version(in: folder.path) == 3)
    }

    @Test func aTornChangeIsLeftOut() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let first: HashedDocument = Self.plan("a", version: 1, after: HashedDocument())
        let second: HashedDocument = Self.plan("b", version: 2, after: first)
        try await Self.run(
            folder.path, [first.serialized(), second.delta(from: first).serialized()], until: 2)
        let path: String = "\(folder.path)/changes-1"
        let whole: [UInt8] = try Files.read(path, bytesMax: 1 << 20)
        try Files.replace(path, with: Array(whole.dropLast(3)))
        #expect(try await Self.version(in: folder.path) == 1)
        // And is no obstacle to what comes next.
        try await Self.run(folder.path, [second.delta(from: first).serialized()], until: 2)
        #expect(try await Self.version(in: folder.path) == 2)
    }

    @Test func savingTheDocumentRemovesTheChangesItHolds() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let files: SnapshotFiles = try SnapshotFiles(folder: folder.path)
        let first: HashedDocument = Self.plan("a", version: 1, after: HashedDocument())
        let second: HashedDocument = Self.plan("b", version: 2, after: first)
        try await files.append([first.serialized()])
        try await files.save(first)
        #expect(try Folders.names(in: folder.path) == ["snapshot.json"])
        try await files.append([second.delta(from: first).serialized()])
        #expect(try files.load()?.version == 2)
        #expect(try Folders.names(in: folder.path) == ["changes-2", "snapshot.json"])
    }

    @Test func whatCannotBeKeptIsNotAcknowledgedUntilItCan() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let link: ScriptedLink = ScriptedLink()
        let agent: GatewayAgent = try Self.agent(folder.path, link)
        // Where the files would be written there are folders.
        for name in ["changes-1", "snapshot.json"] { try Files.makeFolder("\(folder.path)/\(name)/in-the-way") }
        let task: Task<Void, Never> = Task { await agent.run(engine: nil) }
        link.send(Self.plan("a", version: 1, after: HashedDocument()).serialized())
        while await agent.version < 1 { await Task.yield() }
        #expect(link.acknowledged.isEmpty)
        for name in ["changes-1", "snapshot.json"] { try Folders.remove("\(folder.path)/\(name)") }
        #expect(await eventually { link.acknowledged == [1] })
        #expect(try await Self.version(in: folder.path) == 1)
        task.cancel()
        await task.value
    }

    /// A change need not wait until the one before it is confirmed; what came meanwhile is then confirmed at once.
    @Test func theNextChangeIsServedBeforeTheLastIsAcknowledged() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let link: ScriptedLink = ScriptedLink()
        link.isDeaf = true
        let agent: GatewayAgent = try Self.agent(folder.path, link)
        let task: Task<Void, Never> = Task { await agent.run(engine: nil) }
        let first: HashedDocument = Self.plan("a", version: 1, after: HashedDocument())
        let second: HashedDocument = Self.plan("b", version: 2, after: first)
        link.send(first.serialized())
        #expect(await eventually { link.unheard > 0 })
        link.send(second.delta(from: first).serialized())
        while await agent.version < 2 { await Task.yield() }
        #expect(link.acknowledged.isEmpty)
        link.isDeaf = false
        #expect(await eventually { link.acknowledged.last == 2 })
        task.cancel()
        await task.value
        #expect(try await Self.version(in: folder.path) == 2)
    }

    /// Nobody is told that nothing is there because a change did not fit: what runs goes on until the whole has come.
    @Test func aChangeThatDoesNotFitLeavesWhatRuns() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let link: ScriptedLink = ScriptedLink()
        let agent: GatewayAgent = try Self.agent(folder.path, link)
        let task: Task<Void, Never> = Task { await agent.run(engine: nil) }
        let first: HashedDocument = Self.plan("a", version: 1, after: HashedDocument())
        let second: HashedDocument = Self.plan("b", version: 2, after: first)
        let third: HashedDocument = Self.plan("c", version: 3, after: second)
        link.send(first.serialized())
        #expect(await eventually { link.acknowledged == [1] })
        link.send(third.delta(from: second).serialized())
        link.send(third.serialized())
        #expect(await eventually { link.acknowledged == [1, 3] })
        task.cancel()
        await task.value
        #expect(try await Self.version(in: folder.path) == 3)
    }

    @Test func severalChangesAreKeptByOneCall() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let files: SnapshotFiles = try SnapshotFiles(folder: folder.path)
        let first: HashedDocument = Self.plan("a", version: 1, after: HashedDocument())
        let second: HashedDocument = Self.plan("b", version: 2, after: first)
        try await files.append([first.serialized(), second.delta(from: first).serialized()])
        #expect(try files.load()?.version == 2)
        // The second torn off, the first is still whole.
        let path: String = "\(folder.path)/changes-1"
        try Files.replace(path, with: Array(try Files.read(path, bytesMax: 1 << 20).dropLast(3)))
        #expect(try files.load()?.version == 1)
    }

    @Test func theStagesOfAChangeAreMeasured() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let link: ScriptedLink = ScriptedLink()
        let metrics: MetricRegistry = MetricRegistry()
        let agent: GatewayAgent = try GatewayAgent(
            link: link, folder: folder.path, live: LiveState(), clock: SystemClock(), logger: .silent, metrics: metrics)
        let task: Task<Void, Never> = Task { await agent.run(engine: nil) }
        link.send(Self.plan("a", version: 1, after: HashedDocument()).serialized())
        #expect(await eventually { link.acknowledged == [1] })
        task.cancel()
        await task.value
        let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        for stage in ["read", "compile", "swap", "keep", "acknowledge"] {
            #expect(text.contains("passerelle_gateway_change_seconds_count{stage=\"\(stage)\"} 1\n"))
        }
    }
}
