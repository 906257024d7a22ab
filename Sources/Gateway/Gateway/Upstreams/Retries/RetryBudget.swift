/// Bounds the retries of an upstream: a share of its requests, and a few a second in any case. Pure: time is handed in.
///
/// Without it every failing server gets several times the requests it cannot bear. Looks at the last ten seconds, so what is
/// allowed in a quiet time may be used at once.
struct RetryBudget {
    private static let seconds: Int = 10
    private static let nanosecondsPerSecond: UInt64 = 1_000_000_000

    private struct Second {
        var number: UInt64 = .max
        /// All requests since the gateway began, when this second was first seen.
        var requestsBefore: UInt64 = 0
        var retries: Int = 0
    }

    private var ring: [Second] = []

    /// Remembers how many requests there were; told now and then, at least once a second while there are any.
    mutating func note(now: UInt64, requests: UInt64) { _ = self.place(now: now, requests: requests) }

    /// Takes a retry out of the budget; false when nothing is left. `requests` counts all requests since the gateway began.
    mutating func take(now: UInt64, requests: UInt64, share: Int, min: Int) -> Bool {
        let place: Int = self.place(now: now, requests: requests)
        let number: UInt64 = self.ring[place].number
        var retries: Int = 0
        var oldest: Second = self.ring[place]
        for second in self.ring where second.number != .max && second.number + UInt64(RetryBudget.seconds) > number {
            retries += second.retries
            if second.number < oldest.number { oldest = second }
        }
        // Of seconds that were not noted fewer requests are known than there were, never more.
        let known: UInt64 = requests &- oldest.requestsBefore
        let allowed: UInt64 = UInt64(min * RetryBudget.seconds) + known * UInt64(share) / 100
        guard UInt64(retries) < allowed else { return false }
        self.ring[place].retries += 1
        return true
    }

    private mutating func place(now: UInt64, requests: UInt64) -> Int {
        if self.ring.isEmpty { self.ring = [Second](repeating: Second(), count: RetryBudget.seconds) }
        let number: UInt64 = now / RetryBudget.nanosecondsPerSecond
        let place: Int = Int(number % UInt64(RetryBudget.seconds))
        if self.ring[place].number != number {
            self.ring[place] = Second(number: number, requestsBefore: requests, retries: 0)
        }
        return place
    }
}
