/// The time of day as it was when this was made, moved on by the monotonic clock: it never jumps when the machine's clock is set.
///
/// For comparing moments within one process. What other processes or people read comes from `WallClock.now()`.
package struct SteadyTime: Sendable {
    private let clock: any WallClock
    private let start: Timestamp
    private let startMonotonic: UInt64

    package init(_ clock: any WallClock) {
        self.clock = clock
        self.start = clock.now()
        self.startMonotonic = clock.monotonic()
    }

    /// Milliseconds since 1970, as far as the clock was right at the start.
    package var milliseconds: Int64 {
        self.start.milliseconds + Int64(clamping: (self.clock.monotonic() &- self.startMonotonic) / 1_000_000)
    }
}
