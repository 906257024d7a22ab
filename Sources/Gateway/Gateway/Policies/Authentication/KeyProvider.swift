import CLinux
import Crypto
import Files
import GatewayConfiguration
import Glibc
import HTTP
import JSON
import Synchronization
import Tokens

/// The keys of one issuer: from the document, a file, a URL, or found by discovery. Shared by all APIs that name the same source.
///
/// Keys are fetched away from the loops and kept when the issuer is away. They are asked for again when they are old, and when a
/// token names a key that is not among them, that at a bounded rate: a stream of invented names costs one call in a while.
final class KeyProvider: Sendable {
    private struct State {
        var keys: JWKSet?
        /// What the keys were read from, to tell whether they changed.
        var text: [UInt8] = []
        /// Monotonic nanoseconds; 0: never.
        var fetchedAt: UInt64 = 0
        var askedAt: UInt64 = 0
        var isFetching: Bool = false
        var waiting: [@Sendable () -> Void] = []
    }

    let source: KeySource
    let issuer: String
    private let settings: AuthenticationSettings
    private let fetcher: KeyFetcher
    private let state: Mutex<State> = Mutex(State())
    private let versionNumber: Atomic<UInt64> = Atomic(0)
    /// When to ask again, in monotonic nanoseconds; .max: never.
    private let dueAt: Atomic<UInt64> = Atomic(.max)

    init(source: KeySource, issuer: String, settings: AuthenticationSettings, fetcher: KeyFetcher) {
        self.source = source
        self.issuer = issuer
        self.settings = settings
        self.fetcher = fetcher
        if case .inline(let text) = source {
            self.state.withLock {
                $0.keys = try? JWKSet(parsing: Array(text.utf8))
                $0.fetchedAt = 1
            }
        } else {
            // Fetched before the first token comes.
            self.refresh(now: MonotonicClock.now()) {}
        }
    }

    /// Changes when the keys do: what older ones vouched for is to be verified again.
    var version: UInt64 { self.versionNumber.load(ordering: .acquiring) }

    /// The keys and their version; nil when none were ever read, or the last ones are too old to be believed.
    func current(now: UInt64) -> (keys: JWKSet, version: UInt64)? {
        self.state.withLock { state in
            guard let keys: JWKSet = state.keys else { return nil }
            if case .inline = self.source { return (keys, self.version) }
            guard now < state.fetchedAt &+ self.settings.keysStaleMax else { return nil }
            return (keys, self.version)
        }
    }

    /// Asks for the keys when it is time. One atomic load when it is not; never waits.
    @inline(__always)
    func refreshWhenDue(now: UInt64) {
        if now >= self.dueAt.load(ordering: .relaxed) { self.refresh(now: now) {} }
    }

    /// Whether asking now is allowed, or somebody is asking already.
    func mayRefresh(now: UInt64) -> Bool {
        if case .inline = self.source { return false }
        return self.state.withLock {
            $0.isFetching || $0.askedAt == 0 || now >= $0.askedAt &+ self.settings.keysAskedEvery
        }
    }

    /// Asks for the keys unless somebody does or has just done; `done` is called on any thread when there is nothing to wait for
    /// any more.
    func refresh(now: UInt64, _ done: @escaping @Sendable () -> Void) {
        if case .inline = self.source {
            done()
            return
        }
        enum Step { case wait, begin, skip }
        let step: Step = self.state.withLock { state in
            if state.isFetching {
                guard state.waiting.count < Self.waitingMax else { return .skip }
                state.waiting.append(done)
                return .wait
            }
            if state.askedAt != 0 && now < state.askedAt &+ self.settings.keysAskedEvery { return .skip }
            state.isFetching = true
            state.askedAt = max(1, now)
            state.waiting.append(done)
            return .begin
        }
        switch step {
        case .wait: return
        case .skip: done()
        case .begin:
            self.dueAt.store(.max, ordering: .relaxed)
            Task.detached { await self.fetch() }
        }
    }

    /// Requests that wait for one fetch at most; further ones go on with the keys there are.
    private static let waitingMax: Int = 4096

    private func fetch() async {
        let text: [UInt8]? = await self.fetcher.fetch(self.source, issuer: self.issuer)
        let now: UInt64 = MonotonicClock.now()
        let keys: JWKSet? = text.flatMap { try? JWKSet(parsing: $0) }
        let waiting: [@Sendable () -> Void] = self.state.withLock { state in
            // An issuer that publishes no key at all has made a mistake, or is someone else: what was known stays.
            if let text, let keys, !keys.keys.isEmpty {
                state.fetchedAt = max(1, now)
                if state.text != text || state.keys == nil {
                    state.keys = keys
                    state.text = text
                    self.versionNumber.wrappingAdd(1, ordering: .releasing)
                }
            }
            state.isFetching = false
            let waiting: [@Sendable () -> Void] = state.waiting
            state.waiting = []
            return waiting
        }
        let isFresh: Bool = keys.map { !$0.keys.isEmpty } ?? false
        self.fetcher.counters.count(keysFetched: isFresh)
        let pause: UInt64 = isFresh ? self.settings.keysFreshFor : self.settings.keysAskedEvery
        self.dueAt.store(now &+ pause, ordering: .relaxed)
        for done in waiting { done() }
    }
}

/// The monotonic clock as event loops read it.
enum MonotonicClock {
    static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// Gets key sets from where they are.
final class KeyFetcher: Sendable {
    private let network: AuthenticationNetwork
    let counters: AuthenticationCounters

    init(network: AuthenticationNetwork, counters: AuthenticationCounters) {
        self.network = network
        self.counters = counters
    }

    /// The text of the set; nil when it cannot be had. Bounded in time and bytes.
    func fetch(_ source: KeySource, issuer: String) async -> [UInt8]? {
        switch source {
        case .inline(let text): return Array(text.utf8)
        case .file(let path): return await self.network.readFile(path, max: JWKSet.bytesMax)
        case .url(let url): return await self.network.get(url, max: JWKSet.bytesMax)
        case .discovery:
            guard let url: String = await self.keysURL(issuer) else { return nil }
            return await self.network.get(url, max: JWKSet.bytesMax)
        }
    }

    /// The `jwks_uri` of an issuer's metadata. The metadata must name the issuer it was asked of (OpenID Connect Discovery 1.0
    /// section 4.3): else one issuer could lend its keys to another.
    private func keysURL(_ issuer: String) async -> String? {
        let base: String = issuer.hasSuffix("/") ? String(issuer.dropLast()) : issuer
        guard
            let text: [UInt8] = await self.network.get(
                base + "/.well-known/openid-configuration", max: Self.metadataBytesMax),
            let metadata: JSONValue = try? JSONReader.parse(text),
            let named: String = metadata["issuer"]?.text, Array(named.utf8) == Array(issuer.utf8)
        else { return nil }
        return metadata["jwks_uri"]?.text
    }

    private static let metadataBytesMax: Int = 256 << 10
}
