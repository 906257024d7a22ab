import Crypto
import EventLoops
import GatewayConfiguration
import HTTP
import Synchronization

/// Numbers that authentication goes by; one for each process.
package struct AuthenticationSettings: Sendable {
    /// Nanoseconds after which an issuer's keys are asked for again.
    package var keysFreshFor: UInt64 = 600_000_000_000
    /// Nanoseconds between two calls to an issuer at least, whatever tokens ask for.
    package var keysAskedEvery: UInt64 = 10_000_000_000
    /// Nanoseconds after which keys that could not be fetched again are believed no more.
    package var keysStaleMax: UInt64 = 86_400_000_000_000
    /// Nanoseconds a request waits for keys at most; then it is answered 503.
    package var keysWaitedFor: UInt64 = 5_000_000_000
    /// For a whole call to an issuer.
    package var keysCallMax: Duration = .seconds(5)
    /// Threads for what is too long for a loop: passwords (150 ms each), signatures on P-384 and P-521.
    package var threads: Int = 1
    /// Requests that wait for these threads at most; further ones are answered 503.
    package var queueMax: Int = 64
    /// Calls to introspection endpoints under way at most; further ones are answered 503.
    package var introspectionsMax: Int = 256
    /// Nonces of signed requests remembered at most; when all are in use, signed requests are answered 503.
    package var noncesMax: Int = 1 << 17

    package init() {}
}

/// What authentication shares across snapshots and loops: caches, issuers' keys, threads, counters. One for each `LiveState`.
final class AuthenticationServices: Sendable {
    private struct Registry {
        var providers: [ProviderKey: WeakProvider] = [:]
        var verifiers: [WeakVerifier] = []
        var introspectors: [WeakIntrospector] = []
    }

    private struct ProviderKey: Hashable {
        let source: KeySource
        /// Only where the source depends on it.
        let issuer: String
    }

    private struct WeakProvider {
        weak var provider: KeyProvider?
    }

    private struct WeakVerifier {
        weak var verifier: TokenJudge?
    }

    private struct WeakIntrospector {
        weak var introspector: Introspector?
    }

    let settings: AuthenticationSettings
    let counters: AuthenticationCounters = AuthenticationCounters()
    let cache: IdentityCache = IdentityCache()
    let network: AuthenticationNetwork
    let workers: AuthenticationWorkers
    let nonces: NonceTable
    /// What other gateways know of nonces.
    let claims: SharedClaims
    /// Tokens that their issuer has ended.
    let revocations: TokenRevocations = TokenRevocations()
    let introspections: Atomic<Int> = Atomic(0)
    /// Mixed into the digests of passwords: what is kept of them cannot be tried out elsewhere.
    let secret: [UInt8] = Random.bytes(32)
    private let registry: Mutex<Registry> = Mutex(Registry())
    private let lastVerifier: Atomic<UInt64> = Atomic(AuthenticationServices.certificateVerifier)

    /// The rules that passwords are judged by in the cache: they are in the digest.
    static let basicVerifier: UInt64 = 1
    /// A certificate says the same everywhere.
    static let certificateVerifier: UInt64 = 2

    init(
        _ settings: AuthenticationSettings = AuthenticationSettings(), claims: SharedClaims = SharedClaims(),
        egress: @escaping @Sendable (SocketAddress) -> EgressVerdict = { _ in .allow }
    ) {
        self.claims = claims
        self.settings = settings
        self.network = AuthenticationNetwork(callMax: settings.keysCallMax, egress: egress)
        self.workers = AuthenticationWorkers(threads: settings.threads, queueMax: settings.queueMax)
        self.nonces = NonceTable(capacity: settings.noncesMax)
    }

    /// The keys of a source, the same object for all who name it.
    func provider(_ source: KeySource, issuer: String) -> KeyProvider {
        let key: ProviderKey = ProviderKey(source: source, issuer: source == .discovery ? issuer : "")
        return self.registry.withLock { registry in
            if let known: KeyProvider = registry.providers[key]?.provider { return known }
            let provider: KeyProvider = KeyProvider(
                source: source, issuer: issuer, settings: self.settings,
                fetcher: KeyFetcher(network: self.network, counters: self.counters))
            registry.providers = registry.providers.filter { $0.value.provider != nil }
            registry.providers[key] = WeakProvider(provider: provider)
            return provider
        }
    }

    /// Who judges tokens by a policy: the same object while the policy is the same, so that what it has verified stays known
    /// across snapshots.
    func judge(_ policy: JWTPolicy) -> TokenJudge {
        let known: TokenJudge? = self.registry.withLock { registry in
            registry.verifiers.removeAll { $0.verifier == nil }
            for entry in registry.verifiers {
                if let verifier: TokenJudge = entry.verifier, verifier.policy == policy { return verifier }
            }
            return nil
        }
        if let known { return known }
        let made: TokenJudge = TokenJudge(policy, id: self.nextVerifier(), services: self)
        self.registry.withLock { $0.verifiers.append(WeakVerifier(verifier: made)) }
        return made
    }

    /// Who asks about tokens by a policy; the same object while the policy is the same.
    func introspector(_ policy: IntrospectionPolicy) -> Introspector {
        self.registry.withLock { registry in
            registry.introspectors.removeAll { $0.introspector == nil }
            for entry in registry.introspectors {
                if let known: Introspector = entry.introspector, known.policy == policy { return known }
            }
            let made: Introspector = Introspector(policy, id: self.nextVerifier(), services: self)
            registry.introspectors.append(WeakIntrospector(introspector: made))
            return made
        }
    }

    deinit { self.workers.stop() }

    func nextVerifier() -> UInt64 { self.lastVerifier.wrappingAdd(1, ordering: .relaxed).newValue }
}
