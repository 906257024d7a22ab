import JSON
package import Telemetry
package import Time

/// Forgets stored responses when the control plane says so. What is asked for while the gateway does not reach it is done when it
/// does again.
package final class PurgeFollower: Sendable {
    /// How long one call waits for something new.
    package static let wait: Duration = .seconds(8)

    private let link: any GatewayLink
    private let live: LiveState
    private let clock: any WallClock
    private let logger: Logger

    package init(link: any GatewayLink, live: LiveState, clock: any WallClock, logger: Logger) {
        self.link = link
        self.live = live
        self.clock = clock
        self.logger = logger
    }

    /// Follows until cancelled. That the control plane is away is the agent's to say.
    package func run() async {
        var number: Int64?
        var pause: LinkPause = LinkPause()
        while !Task.isCancelled {
            do {
                let feed: PurgeFeed = try await self.link.purges(since: number, wait: Self.wait)
                // What was stored before the first call may have been meant by an order that is not told any more.
                if number == nil || feed.forgetsAll { self.note(self.live.purgeEverything(), orders: 0) }
                if feed.forgetsAll || !feed.orders.isEmpty { self.note(self.forget(feed), orders: feed.orders.count) }
                number = feed.number
                pause.reset()
            } catch {
                if Task.isCancelled { return }
                try? await self.clock.sleep(for: pause.take(after: error))
            }
        }
    }

    private func forget(_ feed: PurgeFeed) -> Int {
        var count: Int = 0
        for order in feed.orders {
            for purge in order.purges { count += self.live.purge(purge) }
        }
        return count
    }

    private func note(_ count: Int, orders: Int) {
        if count == 0 && orders == 0 { return }
        self.logger.log(
            .info, "stored responses were forgotten",
            ["responses": .int(Int64(count)), "orders": .int(Int64(orders))])
    }
}
