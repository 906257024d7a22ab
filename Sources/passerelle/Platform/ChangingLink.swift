import Gateway
import Synchronization

/// The link of a gateway whose control plane moves to another process, and maybe back. Between two of them nothing answers; what
/// was to be said then is said again later, as after any failure of a link.
final class ChangingLink: GatewayLink, RevocationLink {
    struct Away: Error, CustomStringConvertible {
        let description: String = "the control plane is moving to another process"
    }

    private let current: Mutex<(any GatewayLink & RevocationLink)?>

    init(_ link: any GatewayLink & RevocationLink) { self.current = Mutex(link) }

    /// Nil: there is none now.
    func use(_ link: (any GatewayLink & RevocationLink)?) { self.current.withLock { $0 = link } }

    private func link() throws -> any GatewayLink & RevocationLink {
        guard let link: any GatewayLink & RevocationLink = self.current.withLock({ $0 }) else { throw Away() }
        return link
    }

    func pull(since version: Int64, hash: String, wait: Duration) async throws -> LinkPull {
        try await self.link().pull(since: version, hash: hash, wait: wait)
    }

    func acknowledge(_ acknowledgement: LinkAcknowledgement) async throws {
        try await self.link().acknowledge(acknowledgement)
    }

    func purges(since number: Int64?, wait: Duration) async throws -> PurgeFeed {
        try await self.link().purges(since: number, wait: wait)
    }

    func revocations(after number: Int64, wait: Duration) async throws -> LinkRevocations {
        try await self.link().revocations(after: number, wait: wait)
    }

    func report(_ batch: TrafficBatch) async throws { try await self.link().report(batch) }

    func add(_ changes: [CounterChange]) async throws -> [Int64] { try await self.link().add(changes) }
}
