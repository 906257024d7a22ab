import Gateway
import REST
import Store
import Synchronization
import Time

/// Tells gateways what to forget as soon as it is asked for, and notes how far they are.
final class PurgeBoard: Sendable {
    private let services: ServiceEnvironment
    private let followers: Followers
    /// The latest number that those who wait were woken for.
    private let known: Mutex<Int64> = Mutex(0)
    /// How far each gateway was when it was last stored by this process.
    private let stored: Mutex<[String: Int64]> = Mutex([:])

    init(services: ServiceEnvironment) {
        self.services = services
        self.followers = Followers(clock: services.clock)
    }

    /// What a gateway has to do that has done everything up to `since`; waits up to `wait` when there is nothing.
    func feed(gateway: String, since: Int64?, wait: Duration) async throws -> PurgeFeed {
        if let since: Int64 { try await self.note(gateway, since) }
        var feed: PurgeFeed = try await self.read(since)
        if feed.number == since, wait > .zero {
            let number: Int64 = feed.number
            await self.followers.wait(atMost: wait) { self.known.withLock { $0 > number } }
            feed = try await self.read(since)
        }
        return feed
    }

    private func read(_ since: Int64?) async throws -> PurgeFeed {
        try await self.services.store.read { try PurgeTable.feed(since: since, in: $0) }
    }

    private func note(_ gateway: String, _ number: Int64) async throws {
        guard self.stored.withLock({ $0[gateway] }) != number else { return }
        try await self.services.store.write { try PurgeTable.note(gateway: gateway, number: number, in: $0) }
        self.stored.withLock { $0[gateway] = number }
    }

    /// An order of this process is committed.
    func added(_ number: Int64) {
        self.known.withLock { $0 = max($0, number) }
        self.followers.wakeAll()
    }

    /// Looks for orders of other processes.
    func look() async {
        guard let latest: Int64 = try? await self.services.store.read({ try PurgeTable.latest(in: $0) }) else { return }
        if self.known.withLock({ $0 < latest }) { self.added(latest) }
    }

    func wakeAll() { self.followers.wakeAll() }
}
