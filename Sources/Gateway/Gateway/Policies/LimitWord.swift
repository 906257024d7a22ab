import GatewayConfiguration
import Synchronization

/// One count of one limit, as one atomic word: all loops of a process share it, and no lock is needed for it to be exact.
typealias LimitWord = Atomic<UInt64>

/// The arithmetic of a limit on one word. Plain values; the word is passed in.
///
/// Layouts by algorithm; 0 is "never used" in all:
/// - `window`: bits 63…28 the millisecond in which the window began (36 bits of the monotonic clock: wraps after two years),
///   bits 27…0 requests counted in it. A window begins with the first request after the last one ended, so that exactly `limit`
///   requests pass in any burst shorter than the window.
/// - `tokenBucket`: the "theoretical arrival time" of the generic cell rate algorithm (ITU-T I.371) in nanoseconds of the
///   monotonic clock: a request moves it on by `interval`, and passes while it stays within `limit × interval` of now.
/// - `sliding`: bits 63…48 the number of the present window (16 bits: a subject that comes back exactly 65,536 windows later may
///   meet its old counts), bits 47…24 requests of the window before, bits 23…0 of this one.
/// - `aligned`: bit 63 set, bits 62…40 the number of the window on the wall clock, bits 39…0 requests in it.
/// - `concurrent`: requests under way.
///
/// `now` is nanoseconds: of the wall clock for `aligned`, else of the monotonic one.
struct LimitRule: BitwiseCopyable, Sendable, Equatable {
    enum Algorithm: UInt8, BitwiseCopyable, Sendable {
        case window, tokenBucket, sliding, aligned, concurrent
    }

    /// Requests a window as this gateway admits them: the configured limit divided by the live gateways, at least 1.
    var limit: UInt64
    var algorithm: Algorithm
    /// Whether each of several gateways admits only its part.
    var isDivided: Bool
    var windowMilliseconds: UInt64
    /// Nanoseconds between two tokens, rounded up: never faster than configured.
    var interval: UInt64
    /// For `aligned`.
    var aligned: AlignedWindow

    static let countBits: UInt64 = 28
    static let countMask: UInt64 = (1 << 28) - 1
    static let startMask: UInt64 = (1 << 36) - 1
    static let slideBits: UInt64 = 24
    static let slideMask: UInt64 = (1 << 24) - 1
    static let alignedBits: UInt64 = 40
    static let alignedMask: UInt64 = (1 << 40) - 1
    static let numberMask: UInt64 = (1 << 23) - 1

    private init(limit: UInt64, algorithm: Algorithm, milliseconds: UInt64, isDivided: Bool) {
        self.limit = limit
        self.algorithm = algorithm
        self.isDivided = isDivided
        self.windowMilliseconds = milliseconds
        self.interval = (milliseconds * 1_000_000 + limit - 1) / limit
        self.aligned = AlignedWindow(milliseconds: max(1, milliseconds))
    }

    /// A rate limit. What is shared counts in aligned windows.
    init(limit: Int64, window: Duration, algorithm: RateLimitPolicy.Algorithm, scope: LimitScope = .divided) {
        let kind: Algorithm =
            switch algorithm {
            case .window: scope == .shared ? .aligned : .window
            case .tokenBucket: .tokenBucket
            case .slidingWindow: .sliding
            }
        self.init(
            limit: UInt64(limit), algorithm: kind, milliseconds: UInt64(DefinitionText.milliseconds(window)),
            isDivided: scope == .divided)
    }

    /// A quota.
    init(limit: Int64, window: CalendarUnit) {
        self.init(limit: UInt64(limit), algorithm: .aligned, milliseconds: 1, isDivided: false)
        self.aligned = AlignedWindow(window)
        self.windowMilliseconds = self.aligned.nominalSeconds * 1000
    }

    /// Requests at once.
    init(concurrent limit: Int64, scope: LimitScope) {
        self.init(limit: UInt64(limit), algorithm: .concurrent, milliseconds: 0, isDivided: scope == .divided)
    }

    /// Requests evenly spread, `burst` of them at once.
    init(spike limit: Int64, window: Duration, burst: Int64) {
        self.init(
            limit: UInt64(limit), algorithm: .tokenBucket, milliseconds: UInt64(DefinitionText.milliseconds(window)),
            isDivided: true)
        self.limit = UInt64(burst)
    }

    /// The share of one of `divisor` gateways. Rounded down but at least 1, so together they may admit up to
    /// `divisor - 1` more than the limit when it is smaller than their number, and never more otherwise.
    @inline(__always)
    func shared(by divisor: UInt64) -> LimitRule {
        if divisor == 1 || !self.isDivided { return self }
        var share: LimitRule = self
        share.limit = max(1, self.limit / divisor)
        share.interval = self.interval * divisor
        return share
    }

    /// What a request takes that says so much: at most the limit, so that one that costs more passes when nothing else is counted.
    @inline(__always)
    func cost(_ stated: UInt32) -> UInt64 { stated <= 1 ? 1 : min(UInt64(stated), max(1, self.limit)) }

    /// What may be counted at most, not reaching it, for a request of this cost to pass.
    @inline(__always)
    private func bound(_ cost: UInt64) -> UInt64 { self.limit &+ 1 &- cost }

    /// Whether a request would be admitted now, without counting it.
    @inline(__always)
    func wouldAdmit(_ word: UInt64, now: UInt64, cost: UInt64 = 1) -> Bool {
        switch self.algorithm {
        case .window: return !self.isOpen(word, now: now) || word & Self.countMask < self.bound(cost)
        case .tokenBucket:
            let start: UInt64 = max(word, now)
            return start - now + cost * self.interval <= self.limit * self.interval
        case .sliding: return self.slide(word, now: now).used < self.bound(cost)
        case .aligned: return self.alignedCount(word, now: now) < self.bound(cost)
        case .concurrent: return word < self.limit
        }
    }

    /// The word after counting a request; only where `wouldAdmit`.
    @inline(__always)
    func counted(_ word: UInt64, now: UInt64, cost: UInt64 = 1) -> UInt64 {
        switch self.algorithm {
        case .window:
            if self.isOpen(word, now: now) { return word + cost }
            return Self.milliseconds(now) << Self.countBits | cost
        case .tokenBucket: return max(word, now) + cost * self.interval
        case .sliding: return self.slide(word, now: now).word + cost
        case .aligned: return self.alignedWord(now: now, count: self.alignedCount(word, now: now) + cost)
        case .concurrent: return word + 1
        }
    }

    /// The word after giving back one request that was counted in it, or the same word when nothing is left to give back to.
    @inline(__always)
    func returned(_ word: UInt64, now: UInt64, cost: UInt64 = 1) -> UInt64 {
        switch self.algorithm {
        case .window: return self.isOpen(word, now: now) ? word - min(cost, word & Self.countMask) : word
        case .tokenBucket: return word >= cost * self.interval ? word - cost * self.interval : word
        case .sliding:
            let moved: UInt64 = self.slide(word, now: now).word
            let count: UInt64 = moved & Self.slideMask
            return count > 0 ? moved - min(cost, count) : word
        case .aligned: return word - min(cost, self.alignedCount(word, now: now))
        case .concurrent: return word > 0 ? word - 1 : word
        }
    }

    /// Counts a request if it is admitted. Exact whoever else counts at the same time.
    @inline(__always)
    func take(_ word: borrowing LimitWord, now: UInt64, cost: UInt64 = 1) -> Bool {
        var current: UInt64 = word.load(ordering: .relaxed)
        while self.wouldAdmit(current, now: now, cost: cost) {
            let (done, seen): (Bool, UInt64) = word.weakCompareExchange(
                expected: current, desired: self.counted(current, now: now, cost: cost), ordering: .relaxed)
            if done { return true }
            current = seen
        }
        return false
    }

    /// Gives back what `take` counted, because another limit refused the request or, of `concurrent`, because it ended.
    func giveBack(_ word: borrowing LimitWord, now: UInt64, cost: UInt64 = 1) {
        var current: UInt64 = word.load(ordering: .relaxed)
        while true {
            let desired: UInt64 = self.returned(current, now: now, cost: cost)
            if desired == current { return }
            let (done, seen): (Bool, UInt64) = word.weakCompareExchange(
                expected: current, desired: desired, ordering: .relaxed)
            if done { return }
            current = seen
        }
    }

    /// A request counted as under way ended.
    static func end(_ word: borrowing LimitWord) { word.wrappingSubtract(1, ordering: .relaxed) }

    /// Adds to what an `aligned` word counts in the window of `now`, whatever the limit: what others have counted, or less.
    func adjust(_ word: borrowing LimitWord, by amount: Int64, now: UInt64) {
        var current: UInt64 = word.load(ordering: .relaxed)
        while true {
            let count: Int64 = max(0, Int64(self.alignedCount(current, now: now)) + amount)
            let desired: UInt64 = self.alignedWord(now: now, count: min(UInt64(count), Self.alignedMask))
            let (done, seen): (Bool, UInt64) = word.weakCompareExchange(
                expected: current, desired: desired, ordering: .relaxed)
            if done { return }
            current = seen
        }
    }

    /// Whether an `aligned` word counts anything in the window of `now`.
    func isUsed(_ word: UInt64, now: UInt64) -> Bool { self.alignedCount(word, now: now) > 0 }

    /// Empties an `aligned` word and returns what it had counted in the window of `now`.
    func drain(_ word: borrowing LimitWord, now: UInt64) -> Int64 {
        if word.load(ordering: .relaxed) == 0 { return 0 }
        return Int64(self.alignedCount(word.exchange(0, ordering: .relaxed), now: now))
    }

    /// What a caller may be told about a word.
    func standing(_ word: UInt64, now: UInt64, cost: UInt64 = 1) -> LimitStanding {
        switch self.algorithm {
        case .window: return self.windowStanding(word, now: now, cost)
        case .tokenBucket:
            let ahead: UInt64 = max(word, now) - now
            let capacity: UInt64 = self.limit * self.interval
            let remaining: UInt64 = ahead >= capacity ? 0 : (capacity - ahead) / self.interval
            let needed: UInt64 = ahead + cost * self.interval
            let wait: UInt64 = needed > capacity ? needed - capacity : 0
            return LimitStanding(remaining: remaining, resetNanoseconds: ahead, retryNanoseconds: wait)
        case .sliding: return self.slidingStanding(word, now: now, cost)
        case .aligned:
            let count: UInt64 = self.alignedCount(word, now: now)
            let left: UInt64 = self.aligned.end(at: now) - now
            return LimitStanding(
                remaining: count >= self.limit ? 0 : self.limit - count, resetNanoseconds: count > 0 ? left : 0,
                retryNanoseconds: count >= self.bound(cost) ? left : 0)
        case .concurrent:
            // Nobody knows when the others end.
            let isFull: Bool = word >= self.limit
            return LimitStanding(
                remaining: isFull ? 0 : self.limit - word, resetNanoseconds: 0,
                retryNanoseconds: isFull ? 1_000_000_000 : 0)
        }
    }

    private func windowStanding(_ word: UInt64, now: UInt64, _ cost: UInt64) -> LimitStanding {
        guard self.isOpen(word, now: now) else {
            return LimitStanding(remaining: self.limit, resetNanoseconds: 0, retryNanoseconds: 0)
        }
        let count: UInt64 = word & Self.countMask
        let elapsed: UInt64 = (Self.milliseconds(now) &- (word >> Self.countBits)) & Self.startMask
        // A reading that is a little older than the window's start is its first millisecond.
        let left: UInt64 = (self.windowMilliseconds - (elapsed < self.windowMilliseconds ? elapsed : 0)) * 1_000_000
        return LimitStanding(
            remaining: count >= self.limit ? 0 : self.limit - count, resetNanoseconds: left,
            retryNanoseconds: count >= self.bound(cost) ? left : 0)
    }

    private func slidingStanding(_ word: UInt64, now: UInt64, _ cost: UInt64) -> LimitStanding {
        let length: UInt64 = self.windowMilliseconds * 1_000_000
        let (moved, used): (UInt64, UInt64) = self.slide(word, now: now)
        let current: UInt64 = moved & Self.slideMask
        let previous: UInt64 = moved >> Self.slideBits & Self.slideMask
        let left: UInt64 = length - now % length
        var wait: UInt64 = 0
        if used >= self.bound(cost) {
            // Until enough of the earlier window has gone out of sight: in this window, or of this one in the next.
            if current < self.bound(cost) {
                let inSight: UInt64 = Self.scaled(length, by: self.bound(cost) - current, over: max(1, previous))
                wait = left > inSight ? left - inSight : 0
            } else {
                let inSight: UInt64 = Self.scaled(length, by: self.bound(cost), over: current)
                wait = left + (length > inSight ? length - inSight : 0)
            }
            wait = max(1, wait)
        }
        let reset: UInt64 = current > 0 ? left + length : previous > 0 ? left : 0
        return LimitStanding(
            remaining: used >= self.limit ? 0 : self.limit - used, resetNanoseconds: reset, retryNanoseconds: wait)
    }

    /// When the word will be as good as unused, in nanoseconds of the monotonic clock.
    @inline(__always)
    func expiry(now: UInt64) -> UInt64 {
        now + self.windowMilliseconds * (self.algorithm == .sliding ? 2_000_000 : 1_000_000)
    }

    // MARK: Aligned windows

    @inline(__always)
    private func alignedCount(_ word: UInt64, now: UInt64) -> UInt64 {
        word >> Self.alignedBits == self.alignedNumber(now) ? word & Self.alignedMask : 0
    }

    @inline(__always)
    private func alignedWord(now: UInt64, count: UInt64) -> UInt64 {
        self.alignedNumber(now) << Self.alignedBits | count
    }

    /// Never 0, so that a word in use never looks unused.
    @inline(__always)
    private func alignedNumber(_ now: UInt64) -> UInt64 {
        self.aligned.number(at: now) & Self.numberMask | (1 << 23)
    }

    // MARK: Sliding windows

    /// The word as it stands in the window of `now`, and how much of the limit is used.
    @inline(__always)
    private func slide(_ word: UInt64, now: UInt64) -> (word: UInt64, used: UInt64) {
        let length: UInt64 = self.windowMilliseconds * 1_000_000
        let number: UInt64 = now / length & 0xffff
        let behind: UInt64 = (number &- (word >> 48)) & 0xffff
        var previous: UInt64 = 0
        var current: UInt64 = 0
        // A reading that is a little older than the word's window belongs to that window.
        let isEarlier: Bool = behind == 0xffff && word != 0
        if behind == 0 || isEarlier {
            previous = word >> Self.slideBits & Self.slideMask
            current = word & Self.slideMask
        } else if behind == 1 {
            previous = word & Self.slideMask
        }
        let kept: UInt64 = isEarlier ? word >> 48 : number
        let elapsed: UInt64 = isEarlier ? 0 : now % length
        return (
            kept << 48 | previous << Self.slideBits | current,
            current + Self.scaled(previous, by: length - elapsed, over: length)
        )
    }

    /// `value × factor / divisor` without overflow, rounded down.
    @inline(__always)
    private static func scaled(_ value: UInt64, by factor: UInt64, over divisor: UInt64) -> UInt64 {
        if value == 0 || factor == 0 { return 0 }
        let product: (high: UInt64, low: UInt64) = value.multipliedFullWidth(by: factor)
        if product.high >= divisor { return .max }
        return divisor.dividingFullWidth((product.high, product.low)).quotient
    }

    // MARK: Windows from the first request

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
