import GatewayConfiguration
import Synchronization

/// One count of one limit, as one atomic word: all loops of a process share it, and no lock is needed for it to be exact.
typealias LimitWord = Atomic<UInt64>

/// The arithmetic of a limit on one word. Plain values; the word is passed in.
///
/// Two layouts, by algorithm; 0 is "never used" in both:
/// - `window`: bits 63…28 the millisecond in which the window began (36 bits of the monotonic clock: wraps after two years),
///   bits 27…0 requests counted in it. A window begins with the first request after the last one ended, so that exactly `limit`
///   requests pass in any burst shorter than the window.
/// - `token_bucket`: the "theoretical arrival time" of the generic cell rate algorithm (ITU-T I.371) in nanoseconds of the
///   monotonic clock: a request moves it on by `interval`, and passes while it stays within `limit × interval` of now.
struct LimitRule: BitwiseCopyable, Sendable {
    /// Requests a window as this gateway admits them: the configured limit divided by the live gateways, at least 1.
    var limit: UInt64
    var isTokenBucket: Bool
    var windowMilliseconds: UInt64
    /// Nanoseconds between two tokens, rounded up: never faster than configured.
    var interval: UInt64

    static let countBits: UInt64 = 28
    static let countMask: UInt64 = (1 << 28) - 1
    static let startMask: UInt64 = (1 << 36) - 1

    init(limit: Int64, window: Duration, algorithm: RateLimitPolicy.Algorithm) {
        let milliseconds: UInt64 = UInt64(DefinitionText.milliseconds(window))
        self.limit = UInt64(limit)
        self.isTokenBucket = algorithm == .tokenBucket
        self.windowMilliseconds = milliseconds
        self.interval = (milliseconds * 1_000_000 + self.limit - 1) / self.limit
    }

    /// The share of one of `divisor` gateways. Rounded down but at least 1, so together they may admit up to
    /// `divisor - 1` more than the limit when it is smaller than their number, and never more otherwise.
    func shared(by divisor: UInt64) -> LimitRule {
        if divisor <= 1 { return self }
        var share: LimitRule = self
        share.limit = max(1, self.limit / divisor)
        share.interval = self.interval * self.limit / share.limit
        return share
    }

    /// Whether a request would be admitted now, without counting it.
    @inline(__always)
    func wouldAdmit(_ word: UInt64, now: UInt64) -> Bool {
        if self.isTokenBucket {
            let start: UInt64 = max(word, now)
            return start - now + self.interval <= self.limit * self.interval
        }
        return !self.isOpen(word, now: now) || word & Self.countMask < self.limit
    }

    /// The word after counting a request; only where `wouldAdmit`.
    @inline(__always)
    func counted(_ word: UInt64, now: UInt64) -> UInt64 {
        if self.isTokenBucket { return max(word, now) + self.interval }
        if self.isOpen(word, now: now) { return word + 1 }
        return Self.milliseconds(now) << Self.countBits | 1
    }

    /// The word after giving back one request that was counted in it, or the same word when nothing is left to give back to.
    @inline(__always)
    func returned(_ word: UInt64, now: UInt64) -> UInt64 {
        if self.isTokenBucket { return word >= self.interval ? word - self.interval : word }
        return self.isOpen(word, now: now) && word & Self.countMask > 0 ? word - 1 : word
    }

    /// Counts a request if it is admitted. Exact whoever else counts at the same time.
    @inline(__always)
    func take(_ word: borrowing LimitWord, now: UInt64) -> Bool {
        var current: UInt64 = word.load(ordering: .relaxed)
        while self.wouldAdmit(current, now: now) {
            let (done, seen): (Bool, UInt64) = word.weakCompareExchange(
                expected: current, desired: self.counted(current, now: now), ordering: .relaxed)
            if done { return true }
            current = seen
        }
        return false
    }

    /// Gives back what `take` counted, because another limit refused the request.
    func giveBack(_ word: borrowing LimitWord, now: UInt64) {
        var current: UInt64 = word.load(ordering: .relaxed)
        while true {
            let desired: UInt64 = self.returned(current, now: now)
            if desired == current { return }
            let (done, seen): (Bool, UInt64) = word.weakCompareExchange(
                expected: current, desired: desired, ordering: .relaxed)
            if done { return }
            current = seen
        }
    }

    /// What a caller may be told about a word.
    func standing(_ word: UInt64, now: UInt64) -> LimitStanding {
        if self.isTokenBucket {
            let ahead: UInt64 = max(word, now) - now
            let capacity: UInt64 = self.limit * self.interval
            let remaining: UInt64 = ahead >= capacity ? 0 : (capacity - ahead) / self.interval
            let wait: UInt64 = ahead + self.interval > capacity ? ahead + self.interval - capacity : 0
            return LimitStanding(remaining: remaining, resetNanoseconds: ahead, retryNanoseconds: wait)
        }
        guard self.isOpen(word, now: now) else {
            return LimitStanding(remaining: self.limit, resetNanoseconds: 0, retryNanoseconds: 0)
        }
        let count: UInt64 = word & Self.countMask
        let elapsed: UInt64 = (Self.milliseconds(now) &- (word >> Self.countBits)) & Self.startMask
        // A reading that is a little older than the window's start is its first millisecond.
        let left: UInt64 = (self.windowMilliseconds - (elapsed < self.windowMilliseconds ? elapsed : 0)) * 1_000_000
        return LimitStanding(
            remaining: count >= self.limit ? 0 : self.limit - count, resetNanoseconds: left,
            retryNanoseconds: count >= self.limit ? left : 0)
    }

    /// When the word will be as good as unused, in nanoseconds of the monotonic clock.
    @inline(__always)
    func expiry(now: UInt64) -> UInt64 { now + self.windowMilliseconds * 1_000_000 }

    /// Whether the window a word describes has not ended. The modulus makes clock readings of other loops that are a little
    /// older than the window's start look like very old windows, so they are taken as its first millisecond.
    @inline(__always)
    private func isOpen(_ word: UInt64, now: UInt64) -> Bool {
        guard word & Self.countMask > 0 else { return false }
        let elapsed: UInt64 = (Self.milliseconds(now) &- (word >> Self.countBits)) & Self.startMask
        return elapsed < self.windowMilliseconds || elapsed > Self.startMask - Self.skewMilliseconds
    }

    /// How far loops' readings of the clock may lie apart: each reads it once a tick.
    private static let skewMilliseconds: UInt64 = 60_000

    @inline(__always)
    private static func milliseconds(_ nanoseconds: UInt64) -> UInt64 { nanoseconds / 1_000_000 & Self.startMask }
}

/// Where a subject stands with a limit.
struct LimitStanding: Equatable {
    /// Requests that would pass now.
    var remaining: UInt64
    /// Until the limit is whole again.
    var resetNanoseconds: UInt64
    /// Until the next request passes; 0: now.
    var retryNanoseconds: UInt64
}
