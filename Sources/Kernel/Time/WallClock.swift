import CLinux

/// Where time comes from. Everything that looks at a clock takes one as a dependency, so that tests move it by hand.
///
/// (Not named `Clock`: the standard library has a protocol of that name.)
package protocol WallClock: Sendable {
    /// The time of day. It may jump when the machine's clock is set.
    func now() -> Timestamp

    /// Nanoseconds of a clock that never goes back; its zero means nothing. For measuring and for time-outs.
    func monotonic() -> UInt64

    /// Returns after `duration` of monotonic time, or throws `CancellationError` as soon as the task is cancelled.
    func sleep(for duration: Duration) async throws
}

/// The machine's clocks. Stateless; each call is one read of the vDSO (about 25 ns).
package struct SystemClock: WallClock {
    package init() {}

    package func now() -> Timestamp {
        Timestamp(nanoseconds: clinux_realtime_nanoseconds())
    }

    package func monotonic() -> UInt64 {
        clinux_monotonic_nanoseconds()
    }

    package func sleep(for duration: Duration) async throws {
        try await Task.sleep(for: duration)
    }
}
