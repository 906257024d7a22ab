import Synchronization
import Telemetry
import TestKit
import Testing
import Time

@testable import Gateway

/// Answers every call with the same failure, and the last one with the end of the task.
private final class RefusingLink: RevocationLink {
    private let failure: LinkError
    private let callsLeft: Mutex<Int>

    init(_ status: Int, calls: Int) {
        self.failure = .refused(status: status, detail: "")
        self.callsLeft = Mutex(calls)
    }

    func revocations(after number: Int64, wait: Duration) async throws -> LinkRevocations {
        let left: Int = self.callsLeft.withLock {
            $0 -= 1
            return $0
        }
        if left < 0 { throw CancellationError() }
        throw self.failure
    }
}

/// Notes how long it was asked to sleep, and does not.
private final class SleeplessClock: WallClock {
    let slept: Mutex<[Duration]> = Mutex([])

    func now() -> Timestamp { Timestamp(milliseconds: 0) }
    func monotonic() -> UInt64 { 0 }
    func sleep(for duration: Duration) async throws { self.slept.withLock { $0.append(duration) } }
}

struct LinkPauseTests {
    private static let away: [Int] = [100, 200, 400, 800, 1600, 2000, 2000, 2000]
    private static let unknown: [Int] = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]

    @Test(arguments: [(503, away), (401, away), (404, unknown), (405, unknown), (501, unknown)])
    func asksAnOlderControlPlaneLessAndLess(_ status: Int, milliseconds: [Int]) async throws {
        let clock: SleeplessClock = SleeplessClock()
        let follower: RevocationFollower = RevocationFollower(
            link: RefusingLink(status, calls: milliseconds.count), folder: "/nonexistent", live: LiveState(),
            clock: clock, logger: .silent)
        await follower.run()
        #expect(clock.slept.withLock { $0 } == milliseconds.map { .milliseconds($0) })
    }

    @Test func beginsAnewAfterASuccessAndHurriesWhereTheCallIsKnown() {
        var pause: LinkPause = LinkPause()
        for _ in 0..<20 { _ = pause.take(after: LinkError.refused(status: 404, detail: "")) }
        #expect(pause.take(after: LinkError.refused(status: 503, detail: "")) == GatewayAgent.pauseMax)
        pause.reset()
        #expect(pause.take(after: LinkError.refused(status: 404, detail: "")) == GatewayAgent.pauseMin)
    }
}
