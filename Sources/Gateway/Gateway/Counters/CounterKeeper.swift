package import GatewayConfiguration
import JSON
import Synchronization
package import Telemetry
package import Time

/// Exchanges counts with the other gateways: tells what was counted here, and takes over what was counted elsewhere.
///
/// Off the request's path. Between two exchanges gateways do not know of each other's requests: together they may admit, beyond a
/// limit, what arrives at them in that time. A crash forgets what was counted since the last exchange.
package actor CounterKeeper {
    /// Pause between two exchanges.
    package static let quotaEvery: Duration = .seconds(1)
    package static let limitEvery: Duration = .milliseconds(100)
    /// How often the file with what answers are sealed with is looked at.
    private static let secretsEvery: Duration = .seconds(1)
    /// How often a quota is asked for that nobody uses here, and one that was used lately.
    private static let askEvery: Duration = .seconds(15)
    private static let askUsedEvery: Duration = .seconds(3)

    private let live: LiveState
    private let quotas: (any CounterStore)?
    private let limits: (any CounterStore)?
    private let readSecrets: (@Sendable () throws -> [[UInt8]])?
    private let away: CounterSettings.Away
    private let clock: any WallClock
    private let logger: Logger
    private let failures: Counter
    private var isAway: [CounterSharing: Bool] = [:]

    /// - Parameters:
    ///   - quotas: where quotas are kept; nil: nowhere, each starts at zero with the process.
    ///   - shared: the counters of rate limits, without which such limits are divided, and where idempotency keys and nonces are
    ///     kept for all gateways, without which each knows its own.
    package init(
        live: LiveState, quotas: (any CounterStore)?, shared: SharedStores,
        away: CounterSettings.Away = .divided,
        clock: any WallClock, logger: Logger, metrics: MetricRegistry
    ) {
        self.live = live
        self.quotas = quotas
        self.limits = shared.limits
        self.readSecrets = shared.readSecrets
        self.away = away
        self.clock = clock
        self.logger = logger
        self.failures = metrics.counter(
            "passerelle_gateway_counter_exchange_failures_total",
            help: "Exchanges of shared counts that failed: meanwhile limits are kept by what is known here.")
        // Until an exchange fails.
        if shared.limits != nil { live.sharedLimitsDivisor = 1 }
        if let claims: any ClaimStore = shared.claims {
            live.claims.attach(claims, secrets: shared.secrets, away: away, metrics: metrics)
        }
    }

    /// Exchanges until cancelled, and once more then.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            if let store: any CounterStore = self.quotas {
                group.addTask { await self.follow(.quota, store, every: Self.quotaEvery) }
            }
            if let store: any CounterStore = self.limits {
                group.addTask { await self.follow(.limit, store, every: Self.limitEvery) }
            }
            if self.live.claims.isShared {
                let (claims, clock): (SharedClaims, any WallClock) = (self.live.claims, self.clock)
                group.addTask { await claims.keepLeases(clock) }
                if let read: @Sendable () throws -> [[UInt8]] = self.readSecrets {
                    group.addTask { await self.followSecrets(read) }
                }
            }
            await group.waitForAll()
        }
    }

    /// Takes what answers are sealed with as it changes, until cancelled. What cannot be read changes nothing.
    private func followSecrets(_ read: @Sendable () throws -> [[UInt8]]) async {
        var isFailing: Bool = false
        while (try? await self.clock.sleep(for: Self.secretsEvery)) != nil {
            do {
                let isChanged: Bool = self.live.claims.use(secrets: try read())
                if isChanged { self.logger.info("stored answers are sealed with another key") }
                isFailing = false
            } catch {
                if !isFailing {
                    self.logger.error(
                        "the key of stored answers cannot be read, the one before stays", ["error": .string("\(error)")]
                    )
                }
                isFailing = true
            }
        }
    }

    /// Exchanges everything once.
    func exchange() async {
        if let store: any CounterStore = self.quotas { await self.exchange(.quota, store) }
        if let store: any CounterStore = self.limits { await self.exchange(.limit, store) }
    }

    private func follow(_ sharing: CounterSharing, _ store: any CounterStore, every pause: Duration) async {
        repeat {
            await self.exchange(sharing, store)
        } while (try? await self.clock.sleep(for: pause)) != nil
        await LastWord.say { await self.exchange(sharing, store) }
    }

    /// One exchange of all counts of a kind that changed or have not been asked for lately.
    private func exchange(_ sharing: CounterSharing, _ store: any CounterStore) async {
        let now: Timestamp = self.clock.now()
        var pending: [(box: LimitBox, counter: SharedCounter, change: CounterChange)] = []
        for box in self.live.counters {
            guard let counter: SharedCounter = box.counter, counter.sharing == sharing else { continue }
            if let change: CounterChange = self.collect(box, counter, now) { pending.append((box, counter, change)) }
            if pending.count == CounterChange.countMax {
                guard await self.send(pending, sharing, store, now) else { return }
                pending = []
            }
        }
        if !pending.isEmpty { _ = await self.send(pending, sharing, store, now) }
    }

    /// Takes what was counted since the last exchange; nil: nothing to tell and nothing to ask.
    private func collect(_ box: LimitBox, _ counter: SharedCounter, _ now: Timestamp) -> CounterChange? {
        let wall: UInt64 = UInt64(clamping: now.nanoseconds)
        let window: UInt64 = counter.rule.aligned.number(at: wall)
        let amount: Int64 = counter.rule.drain((box.word + 1).pointee, now: wall)
        if amount == 0 {
            let known: SharedCounter.Known? = counter.known.withLock { $0 }
            switch counter.sharing {
            case .quota:
                // In a new window, and after a start, it is asked for before anybody uses it.
                if let known, known.window == window {
                    let isUsed: Bool = now < known.used.adding(Self.askEvery)
                    if now < known.asked.adding(isUsed ? Self.askUsedEvery : Self.askEvery) { return nil }
                }
            case .limit:
                // As long as it is used here, what others use of it matters.
                if !counter.rule.isUsed(box.word.pointee.load(ordering: .relaxed), now: wall) { return nil }
            }
        }
        return CounterChange(
            key: counter.key, window: window, ends: Timestamp(nanoseconds: Int64(counter.rule.aligned.end(at: wall))),
            amount: amount)
    }

    /// False when the store did not take them: they are counted as not told again.
    private func send(
        _ pending: [(box: LimitBox, counter: SharedCounter, change: CounterChange)], _ sharing: CounterSharing,
        _ store: any CounterStore, _ now: Timestamp
    ) async -> Bool {
        let wall: UInt64 = UInt64(clamping: now.nanoseconds)
        do {
            let totals: [Int64] = try await store.add(pending.map { $0.change })
            guard totals.count == pending.count else { throw CounterError.answer(totals.count, of: pending.count) }
            for (entry, total) in zip(pending, totals) { self.take(total, entry.box, entry.counter, entry.change, now) }
            self.noteAway(sharing, nil)
            return true
        } catch {
            for entry in pending where entry.change.amount != 0 {
                entry.counter.rule.adjust((entry.box.word + 1).pointee, by: entry.change.amount, now: wall)
            }
            self.noteAway(sharing, error)
            return false
        }
    }

    private func take(
        _ total: Int64, _ box: LimitBox, _ counter: SharedCounter, _ change: CounterChange, _ now: Timestamp
    ) {
        let known: SharedCounter.Known? = counter.known.withLock { $0 }
        let before: Int64 = known?.window == change.window ? known?.total ?? 0 : 0
        let others: Int64 = total - before - change.amount
        let wall: UInt64 = UInt64(clamping: self.clock.now().nanoseconds)
        if others != 0, counter.rule.aligned.number(at: wall) == change.window {
            counter.rule.adjust(box.word.pointee, by: others, now: wall)
        }
        let used: Timestamp = change.amount != 0 ? now : known?.used ?? Timestamp(milliseconds: 0)
        counter.known.withLock {
            $0 = SharedCounter.Known(window: change.window, total: total, asked: now, used: used)
        }
    }

    private func noteAway(_ sharing: CounterSharing, _ failure: (any Error)?) {
        let wasAway: Bool = self.isAway[sharing] ?? false
        self.isAway[sharing] = failure != nil
        if failure != nil { self.failures.add() }
        if sharing == .limit { self.live.sharedLimitsDivisor = failure == nil ? 1 : self.divisorWhenAway }
        if let failure: any Error, !wasAway {
            self.logger.log(
                .warning, "counts are not exchanged; limits are kept by what is known here",
                ["of": .string("\(sharing)"), "error": .string("\(failure)")])
        } else if failure == nil, wasAway {
            self.logger.log(.info, "counts are exchanged again", ["of": .string("\(sharing)")])
        }
    }

    private var divisorWhenAway: Int? {
        switch self.away {
        case .divided: return nil
        case .open: return 1
        case .closed: return 0
        }
    }
}

enum CounterError: Error, CustomStringConvertible {
    case answer(Int, of: Int)
    case file(String)

    var description: String {
        switch self {
        case .answer(let found, let expected): "expected \(expected) totals and found \(found)"
        case .file(let message): message
        }
    }
}
