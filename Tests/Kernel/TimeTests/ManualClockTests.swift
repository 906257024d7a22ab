import Synchronization
import TestKit
import Testing
import Time

@Suite struct ManualClockTests {
    @Test func sleepersWakeWhenTheClockPassesThem() async throws {
        let clock = ManualClock()
        let first = Task { try await clock.sleep(for: .seconds(5)) }
        let second = Task { try await clock.sleep(for: .seconds(10)) }
        try await eventually { clock.sleeperCount == 2 }
        clock.advance(by: .seconds(5))
        try await first.value
        #expect(clock.sleeperCount == 1)
        clock.advance(by: .seconds(5))
        try await second.value
        #expect(clock.now() - ManualClock().now() == .seconds(10))
        #expect(clock.monotonic() == 11_000_000_000)
    }

    @Test func aCancelledSleeperThrows() async throws {
        let clock = ManualClock()
        let sleeper = Task { try await clock.sleep(for: .seconds(5)) }
        try await eventually { clock.sleeperCount == 1 }
        sleeper.cancel()
        await #expect(throws: CancellationError.self) { try await sleeper.value }
        #expect(clock.sleeperCount == 0)
    }

    @Test func aTaskCancelledBeforeItSleepsThrows() async throws {
        let clock = ManualClock()
        let sleeper = Task {
            try? await Task.sleep(for: .seconds(60))
            try await clock.sleep(for: .seconds(5))
        }
        sleeper.cancel()
        await #expect(throws: CancellationError.self) { try await sleeper.value }
    }

    @Test func theTimeOfDayCanBeSetBack() {
        let clock = ManualClock()
        let before: UInt64 = clock.monotonic()
        clock.set(Timestamp(milliseconds: 5))
        #expect(clock.now().milliseconds == 5)
        #expect(clock.monotonic() == before)
    }

    @Test func eventuallyGivesUp() async {
        await #expect(throws: NeverHappened.self) { try await eventually(within: .milliseconds(1)) { false } }
    }
}
