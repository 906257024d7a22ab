/// A moment on the UTC time line, in nanoseconds since 1970-01-01T00:00:00Z.
///
/// Range: 1677-09-21 to 2262-04-11 (what 64 bits of nanoseconds hold); arithmetic stops at these ends instead of trapping,
/// so that no input can bring the process down. Leap seconds do not exist here, as in POSIX.
package struct Timestamp: Sendable, Hashable, Comparable {
    /// Nanoseconds since 1970 UTC; negative before.
    package var nanoseconds: Int64

    @inlinable
    package init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    /// From milliseconds since 1970 UTC; beyond the range the nearest end is taken.
    @inlinable
    package init(milliseconds: Int64) {
        let product = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        self.nanoseconds = product.overflow ? (milliseconds < 0 ? Int64.min : Int64.max) : product.partialValue
    }

    /// From whole seconds since 1970 UTC (`exp` and `iat` of tokens); beyond the range the nearest end is taken.
    @inlinable
    package init(seconds: Int64) {
        let product = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        self.nanoseconds = product.overflow ? (seconds < 0 ? Int64.min : Int64.max) : product.partialValue
    }

    /// Whole milliseconds since 1970 UTC, rounded towards the past.
    @inlinable package var milliseconds: Int64 {
        self.nanoseconds.floorDivided(by: 1_000_000)
    }

    /// Whole seconds since 1970 UTC, rounded towards the past.
    @inlinable package var seconds: Int64 {
        self.nanoseconds.floorDivided(by: 1_000_000_000)
    }

    /// The moment `duration` later (or earlier when it is negative).
    @inlinable
    package func adding(_ duration: Duration) -> Timestamp {
        let sum = self.nanoseconds.addingReportingOverflow(duration.nanosecondsClamped)
        let end: Int64 = self.nanoseconds < 0 ? Int64.min : Int64.max
        return Timestamp(nanoseconds: sum.overflow ? end : sum.partialValue)
    }

    /// How long after `earlier` this moment is; negative when it is before.
    @inlinable
    package static func - (later: Timestamp, earlier: Timestamp) -> Duration {
        let difference = later.nanoseconds.subtractingReportingOverflow(earlier.nanoseconds)
        let end: Int64 = later.nanoseconds < 0 ? Int64.min : Int64.max
        return .nanoseconds(difference.overflow ? end : difference.partialValue)
    }

    @inlinable
    package static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.nanoseconds < right.nanoseconds
    }
}

extension Timestamp: CustomStringConvertible {
    package var description: String { self.rfc3339 }
}

extension Int64 {
    /// The quotient rounded towards negative infinity; `divisor` is positive.
    @inlinable
    package func floorDivided(by divisor: Int64) -> Int64 {
        let quotient: Int64 = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}

extension Duration {
    /// The length in nanoseconds, at the ends of the range when it does not fit (about 292 years).
    @inlinable package var nanosecondsClamped: Int64 {
        let (seconds, attoseconds) = self.components
        let whole = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let sum = whole.partialValue.addingReportingOverflow(attoseconds / 1_000_000_000)
        if whole.overflow || sum.overflow { return seconds < 0 ? Int64.min : Int64.max }
        return sum.partialValue
    }

    /// The length in whole milliseconds, towards zero.
    @inlinable package var millisecondsClamped: Int64 { self.nanosecondsClamped / 1_000_000 }

    /// The length in seconds as a floating-point number, for metrics and messages.
    @inlinable package var secondsAsDouble: Double { Double(self.nanosecondsClamped) / 1_000_000_000 }
}
