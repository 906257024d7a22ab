import CLinux

/// What `eventually` throws when the condition did not come true in time.
package struct NeverHappened: Error, CustomStringConvertible {
    package let description: String
}

/// Waits until `condition` is true, looking every two milliseconds; throws `NeverHappened` after `limit`.
///
/// The limit is a safety net for a broken build, not part of what is tested: leave it generous.
package func eventually(
    within limit: Duration = .seconds(120), _ what: String = "the condition", _ condition: () async throws -> Bool
) async throws {
    let start: ContinuousClock.Instant = ContinuousClock.now
    while try await !condition() {
        if ContinuousClock.now - start > limit {
            throw NeverHappened(description: "\(what) did not come true within \(limit)")
        }
        try await Task.sleep(for: .milliseconds(2))
    }
}

/// `eventually` for tests without `async`: blocks the calling thread.
package func eventuallyBlocking(
    within limit: Duration = .seconds(120), _ what: String = "the condition", _ condition: () throws -> Bool
) throws {
    let start: ContinuousClock.Instant = ContinuousClock.now
    while try !condition() {
        if ContinuousClock.now - start > limit {
            throw NeverHappened(description: "\(what) did not come true within \(limit)")
        }
        clinux_sleep_nanoseconds(2_000_000)
    }
}
