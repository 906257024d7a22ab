import Crypto
package import GatewayConfiguration
import Synchronization
package import Telemetry
import Time

/// What all gateways know of idempotency keys and nonces, where they have a place to keep it. One for each process.
///
/// A request waits for its answer, off the loop. After a call that failed nobody asks for a second: meanwhile every request is told
/// at once that the place is away.
///
/// A claim under way has a lease that is renewed while its request goes on: what a gateway that dies had claimed is free again when
/// the lease has ended.
package final class SharedClaims: Sendable {
    enum Kind: String, CaseIterable, Sendable {
        case idempotency, nonce
    }

    enum Outcome: Sendable, Equatable {
        /// Nobody had it: it belongs to this request now.
        case first
        /// It was there, with this value.
        case known([UInt8])
        /// It cannot be said, and requests pass.
        case open
        /// It cannot be said, and requests are refused.
        case closed
    }

    /// A claim of a request that is under way here.
    struct Lease: Sendable, Hashable {
        let key: String
        let value: [UInt8]
    }

    private struct Attached: Sendable {
        let store: any ClaimStore
        var secrets: [[UInt8]]
        let failsClosed: Bool
        let counters: [String: Counter]

        func count(_ kind: Kind, _ result: String) { self.counters["\(kind.rawValue) \(result)"]?.add() }
    }

    /// How long what is under way is claimed, and how often that is renewed.
    static let leaseTime: Duration = .seconds(60)
    static let renewEvery: Duration = .seconds(15)
    /// Nobody asks for so long after a call that failed.
    static let awayTime: UInt64 = 1_000_000_000

    private let attached: Mutex<Attached?> = Mutex(nil)
    private let leases: Mutex<Set<Lease>> = Mutex([])
    /// Monotonic nanoseconds.
    private let awayUntil: Atomic<UInt64> = Atomic(0)
    /// Tells this process's claims from those of others.
    private let process: [UInt8] = Random.bytes(8)
    private let last: Atomic<UInt64> = Atomic(0)

    init() {}

    /// From now on claims are shared. Before the first request.
    ///
    /// - Parameter secrets: see `SharedStores`.
    package func attach(
        _ store: any ClaimStore, secrets: [[UInt8]] = [], away: CounterSettings.Away, metrics: MetricRegistry
    ) {
        var counters: [String: Counter] = [:]
        for kind in Kind.allCases {
            for result in ["first", "known", "away"] {
                counters["\(kind.rawValue) \(result)"] = metrics.counter(
                    "passerelle_gateway_shared_claims_total",
                    help: "Idempotency keys and nonces that were looked up where all gateways keep them.",
                    labels: ["kind": kind.rawValue, "result": result])
            }
        }
        let made: Attached = Attached(store: store, secrets: secrets, failsClosed: away == .closed, counters: counters)
        self.attached.withLock { $0 = made }
    }

    /// Whether there is a place for them.
    var isShared: Bool { self.attached.withLock { $0 != nil } }

    /// What records are sealed with besides what the request itself shows, the first; those after it still open. Empty: nothing.
    var secrets: [[UInt8]] { self.attached.withLock { $0?.secrets ?? [] } }

    /// - Returns: whether they are others than before.
    func use(secrets: [[UInt8]]) -> Bool {
        self.attached.withLock { attached in
            guard let known: [[UInt8]] = attached?.secrets, known != secrets else { return false }
            attached?.secrets = secrets
            return true
        }
    }

    /// 16 bytes that no other claim has.
    func makeToken() -> [UInt8] {
        let number: UInt64 = self.last.wrappingAdd(1, ordering: .relaxed).newValue
        return self.process + withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }

    /// Claims a key, or tells what is there.
    func claim(_ kind: Kind, _ key: String, _ value: [UInt8], keptFor: Duration) async -> Outcome {
        guard let attached: Attached = self.attached.withLock({ $0 }) else { return .open }
        let clock: SystemClock = SystemClock()
        guard clock.monotonic() >= self.awayUntil.load(ordering: .relaxed) else { return self.away(kind, attached) }
        do {
            let known: [UInt8]? = try await attached.store.claim(key, value, keptFor: keptFor)
            attached.count(kind, known == nil ? "first" : "known")
            return known.map { .known($0) } ?? .first
        } catch {
            self.awayUntil.store(clock.monotonic() &+ Self.awayTime, ordering: .relaxed)
            return self.away(kind, attached)
        }
    }

    private func away(_ kind: Kind, _ attached: Attached) -> Outcome {
        attached.count(kind, "away")
        return attached.failsClosed ? .closed : .open
    }

    // MARK: Leases

    /// Renews a claim until it is settled or given up.
    func hold(_ lease: Lease) { self.leases.withLock { _ = $0.insert(lease) } }

    /// The request is done: its claim becomes this value, which is made off the loop. Without one the lease ends by itself.
    func settle(_ lease: Lease, keptFor: Duration, as value: @escaping @Sendable () -> [UInt8]?) {
        self.finish(lease) { store in
            guard let value: [UInt8] = value() else { return }
            _ = try await store.replace(lease.key, lease.value, with: value, keptFor: keptFor)
        }
    }

    /// The request was not done: the key is free.
    func giveUp(_ lease: Lease) {
        self.finish(lease) { store in try await store.remove(lease.key, lease.value) }
    }

    /// Off the loop: nobody waits for it. What fails is over with its lease.
    private func finish(_ lease: Lease, _ step: @escaping @Sendable (any ClaimStore) async throws -> Void) {
        self.leases.withLock { _ = $0.remove(lease) }
        guard let attached: Attached = self.attached.withLock({ $0 }) else { return }
        Task {
            do {
                try await step(attached.store)
            } catch {
                attached.count(.idempotency, "away")
            }
        }
    }

    /// Renews the leases of what is under way, until cancelled.
    func keepLeases(_ clock: any WallClock) async {
        while (try? await clock.sleep(for: Self.renewEvery)) != nil { await self.renew() }
    }

    func renew() async {
        guard let store: any ClaimStore = self.attached.withLock({ $0?.store }) else { return }
        for lease in self.leases.withLock({ $0 }) {
            // What was settled meanwhile is not there any more, and stays as it is.
            _ = try? await store.replace(lease.key, lease.value, with: lease.value, keptFor: Self.leaseTime)
        }
    }

    /// Claims under way.
    var leaseCount: Int { self.leases.withLock { $0.count } }
}
