import Contracts
import REST
import Store
import Time

/// Tells gateways which tokens to take no more, as soon as that is committed.
///
/// Woken by each audit entry: nothing is ended without one. A gateway says the last number it knows; one that comes with a number
/// that was never given here served another history, and gets all of them again.
actor RevocationNews {
    /// Revocations in one answer at most; the gateway asks for the next at once.
    static let countMax: Int64 = 5_000

    struct News: Sendable {
        let latest: Int64
        let revocations: [Revocation]
    }

    private let services: ServiceEnvironment
    private let offer: any RevocationsOffer
    private let followers: Followers
    private var latest: Int64 = -1

    init(services: ServiceEnvironment, offer: any RevocationsOffer) {
        self.services = services
        self.offer = offer
        self.followers = Followers(clock: services.clock)
    }

    /// Follows the log until cancelled.
    func run() async {
        await self.services.afterEachAuditEntry(failure: "revoked tokens could not be told to gateways") {
            try await self.look()
        }
    }

    private func look() async throws {
        let offer: any RevocationsOffer = self.offer
        let latest: Int64 = try await self.services.store.read { try offer.latestRevocation(in: $0) }
        guard latest != self.latest else { return }
        self.latest = latest
        self.followers.wakeAll()
    }

    /// What came after `number`, as soon as there is something; nothing after `wait`.
    func news(after number: Int64, wait: Duration) async throws -> News {
        let first: News = try await self.read(after: number)
        if !first.revocations.isEmpty || first.latest != number || wait <= .zero { return first }
        // What was committed since it was read has been seen by `look`, or will be after this wait was noted.
        if self.latest <= number { await self.followers.wait(atMost: wait) }
        return try await self.read(after: number)
    }

    private func read(after number: Int64) async throws -> News {
        let offer: any RevocationsOffer = self.offer
        let now: Timestamp = self.services.clock.now()
        return try await self.services.store.read { reader in
            let latest: Int64 = try offer.latestRevocation(in: reader)
            let found: [Revocation] = try offer.revocations(
                after: number > latest ? 0 : number, now: now, limit: Self.countMax, in: reader)
            let isAll: Bool = found.count < Int(Self.countMax)
            return News(latest: isAll ? latest : found.last?.number ?? latest, revocations: found)
        }
    }

    /// Ends every wait, at shutdown.
    func wakeAll() { self.followers.wakeAll() }
}
