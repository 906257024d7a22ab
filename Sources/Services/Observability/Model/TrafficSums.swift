/// What is known of some requests together: how many, how long, how much.
package struct TrafficSums: Sendable, Equatable {
    /// Largest value of one line, and of what is kept of a minute: half a million of such rows still fit 64 bits, in which the store
    /// sums them.
    static let valueMax: Int64 = 1 << 44

    package var requests: Int64
    package var durationMicroseconds: Int64
    package var durationMicrosecondsMax: Int64
    package var bytesIn: Int64
    package var bytesOut: Int64

    package init(
        requests: Int64 = 0, durationMicroseconds: Int64 = 0, durationMicrosecondsMax: Int64 = 0, bytesIn: Int64 = 0,
        bytesOut: Int64 = 0
    ) {
        self.requests = requests
        self.durationMicroseconds = durationMicroseconds
        self.durationMicrosecondsMax = durationMicrosecondsMax
        self.bytesIn = bytesIn
        self.bytesOut = bytesOut
    }

    /// As it is kept: no more than a line may say, however many lines said it.
    var kept: TrafficSums {
        TrafficSums(
            requests: min(self.requests, Self.valueMax),
            durationMicroseconds: min(self.durationMicroseconds, Self.valueMax),
            durationMicrosecondsMax: min(self.durationMicrosecondsMax, Self.valueMax),
            bytesIn: min(self.bytesIn, Self.valueMax), bytesOut: min(self.bytesOut, Self.valueMax))
    }

    /// Adds others; sums stop at the largest number instead of overflowing.
    package mutating func add(_ other: TrafficSums) {
        self.requests = Self.sum(self.requests, other.requests)
        self.durationMicroseconds = Self.sum(self.durationMicroseconds, other.durationMicroseconds)
        self.durationMicrosecondsMax = max(self.durationMicrosecondsMax, other.durationMicrosecondsMax)
        self.bytesIn = Self.sum(self.bytesIn, other.bytesIn)
        self.bytesOut = Self.sum(self.bytesOut, other.bytesOut)
    }

    private static func sum(_ left: Int64, _ right: Int64) -> Int64 {
        let (value, isOverflowing): (Int64, Bool) = left.addingReportingOverflow(right)
        return isOverflowing ? Int64.max : value
    }

    /// Whether a report can say this: nothing negative, and no maximum above the sum.
    var isPlausible: Bool {
        self.requests > 0 && self.durationMicroseconds >= 0 && self.durationMicrosecondsMax >= 0 && self.bytesIn >= 0
            && self.bytesOut >= 0 && self.durationMicrosecondsMax <= self.durationMicroseconds
            && self.requests <= Self.valueMax
            && self.durationMicroseconds <= Self.valueMax && self.bytesIn <= Self.valueMax
            && self.bytesOut <= Self.valueMax
    }
}
