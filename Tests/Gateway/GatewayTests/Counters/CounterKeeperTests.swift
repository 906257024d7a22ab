import GatewayConfiguration
import Synchronization
import Telemetry
import TestKit
import Testing
import Time

@testable import Gateway

/// Two gateways and what they count together.
struct CounterKeeperTests {
    /// Counts in memory; refuses while it is away.
    private final class MemoryStore: CounterStore {
        struct Away: Error {}

        let totals: Mutex<[String: Int64]> = Mutex([:])
        let isAway: Mutex<Bool> = Mutex(false)

        /// All that was ever added.
        var sum: Int64 { self.totals.withLock { $0.values.reduce(0, +) } }

        func add(_ changes: [CounterChange]) async throws -> [Int64] {
            if self.isAway.withLock({ $0 }) || Task.isCancelled { throw Away() }
            return self.totals.withLock { totals in
                var answer: [Int64] = []
                for change in changes {
                    totals["\(change.key) \(change.window)", default: 0] += change.amount
                    answer.append(totals["\(change.key) \(change.window)", default: 0])
                }
                return answer
            }
        }
    }

    private struct Gateway {
        let loop: DecidingLoop
        let keeper: CounterKeeper

        var counted: UInt64 { self.loop.snapshot.counted }
    }

    private static func gateway(
        _ policy: String, _ quotas: (any CounterStore)?, _ limits: (any CounterStore)?,
        away: CounterSettings.Away = .divided, clock: any WallClock = SystemClock()
    ) throws -> Gateway {
        let snapshot: Snapshot = try Sample.snapshot(
            """
            apis:
              - id: a
                routes: [{path: /a}]
                upstream: {targets: [{url: "http://127.0.0.1:9700"}]}
                policies: [\(policy)]
            """)
        let loop: DecidingLoop = DecidingLoop(snapshot)
        loop.wallSeconds = clock.now().milliseconds / 1000
        let keeper: CounterKeeper = CounterKeeper(
            live: snapshot.live, quotas: quotas, shared: SharedStores(limits: limits, claims: nil), away: away,
            clock: clock,
            logger: .silent, metrics: MetricRegistry())
        return Gateway(loop: loop, keeper: keeper)
    }

    private static let call: SampleRequest = SampleRequest(path: "/a")
    private static let quota: String = "{quota: {limit: 10, window: year, by: api}}"

    @Test func gatewaysShareAQuota() async throws {
        let store: MemoryStore = MemoryStore()
        let first: Gateway = try Self.gateway(Self.quota, store, nil)
        let second: Gateway = try Self.gateway(Self.quota, store, nil)
        #expect(first.loop.count(4, Self.call) == 4)
        #expect(second.loop.count(3, Self.call) == 3)
        await first.keeper.exchange()
        await second.keeper.exchange()
        #expect(store.sum == 7)
        #expect(second.counted == 7)
        // The first learns of the others with its next request, or when it asks.
        #expect(first.loop.count(1, Self.call) == 1)
        await first.keeper.exchange()
        #expect(first.counted == 8)
        #expect(first.loop.count(20, Self.call) == 2)
        await first.keeper.exchange()
        // A gateway that starts later learns what was used.
        let third: Gateway = try Self.gateway(Self.quota, store, nil)
        await third.keeper.exchange()
        #expect(third.counted == 10)
        #expect(third.loop.count(5, Self.call) == 0)
    }

    @Test func anIdleGatewayAsksNowAndThen() async throws {
        let store: MemoryStore = MemoryStore()
        let clock: ManualClock = ManualClock()
        let first: Gateway = try Self.gateway(Self.quota, store, nil, clock: clock)
        let second: Gateway = try Self.gateway(Self.quota, store, nil, clock: clock)
        await second.keeper.exchange()
        #expect(first.loop.count(4, Self.call) == 4)
        await first.keeper.exchange()
        await second.keeper.exchange()
        #expect(second.counted == 0)
        clock.advance(by: .seconds(20))
        await second.keeper.exchange()
        #expect(second.counted == 4)
    }

    @Test func whatAStoreDidNotTakeIsToldLater() async throws {
        let store: MemoryStore = MemoryStore()
        store.isAway.withLock { $0 = true }
        let gateway: Gateway = try Self.gateway(Self.quota, store, nil)
        #expect(gateway.loop.count(4, Self.call) == 4)
        await gateway.keeper.exchange()
        #expect(gateway.loop.count(20, Self.call) == 6)
        await gateway.keeper.exchange()
        store.isAway.withLock { $0 = false }
        await gateway.keeper.exchange()
        #expect(store.sum == 10)
        await gateway.keeper.exchange()
        #expect(store.sum == 10)
    }

    @Test func aQuotaOutlivesTheProcess() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        for round in 0..<3 {
            let store: FileCounterStore = try FileCounterStore(folder: folder.path)
            let gateway: Gateway = try Self.gateway(Self.quota, store, nil)
            await gateway.keeper.exchange()
            #expect(gateway.counted == UInt64(round * 4))
            #expect(gateway.loop.count(4, Self.call) == (round < 2 ? 4 : 2))
            await gateway.keeper.exchange()
        }
    }

    @Test func itRunsByItself() async throws {
        let store: MemoryStore = MemoryStore()
        let gateway: Gateway = try Self.gateway(Self.quota, store, nil)
        let keeper: CounterKeeper = gateway.keeper
        let run: Task<Void, Never> = Task { await keeper.run() }
        #expect(gateway.loop.count(3, Self.call) == 3)
        run.cancel()
        await run.value
        // What was counted last is told at the end.
        #expect(store.sum == 3)
    }

    @Test func aTornLineIsPassedOver() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        _ = folder.write("7 1 99999999999999 a/a|x\n9 1 99999999999999 a/b|y\n12 1 9999", to: "quotas")
        let store: FileCounterStore = try FileCounterStore(folder: folder.path)
        let changes: [CounterChange] = ["a/a|x", "a/b|y", "a/c|z"].map {
            CounterChange(key: $0, window: 1, ends: Timestamp(milliseconds: 99_999_999_999_999), amount: 1)
        }
        #expect(try await store.add(changes) == [8, 10, 1])
        let again: FileCounterStore = try FileCounterStore(folder: folder.path)
        #expect(try await again.add([changes[2]]) == [2])
    }

    @Test func sharedLimitsFollowTheirCounters() async throws {
        let store: MemoryStore = MemoryStore()
        let policy: String = "{rate_limit: {limit: 10, window: 31d, scope: shared}}"
        let first: Gateway = try Self.gateway(policy, nil, store, away: .closed)
        let second: Gateway = try Self.gateway(policy, nil, store, away: .closed)
        first.loop.snapshot.live.limitShare = 2
        #expect(first.loop.count(6, Self.call) == 6)
        #expect(second.loop.count(1, Self.call) == 1)
        await first.keeper.exchange()
        await second.keeper.exchange()
        #expect(second.counted == 7)
        #expect(second.loop.count(20, Self.call) == 3)
        store.isAway.withLock { $0 = true }
        await second.keeper.exchange()
        #expect(second.loop.snapshot.live.sharedLimitsDivisor == 0)
        #expect(second.loop.count(1, Self.call) == 0)
        store.isAway.withLock { $0 = false }
        await second.keeper.exchange()
        #expect(second.loop.snapshot.live.sharedLimitsDivisor == 1)
        #expect(store.sum == 10)
    }
}

extension Snapshot {
    /// What the first shared count stands at.
    fileprivate var counted: UInt64 {
        guard let box: LimitBox = self.live.counters.first else { return 0 }
        return box.word.pointee.load(ordering: .relaxed) & LimitRule.alignedMask
    }
}
