import JSON
import Processes
import Synchronization
import Telemetry
import TestKit
import Testing

@Suite struct ServiceGroupTests {
    private struct Broken: Error {}

    /// What happened, in order.
    private final class Diary: Sendable {
        private let entries: Mutex<[String]> = Mutex([])
        func write(_ entry: String) { self.entries.withLock { $0.append(entry) } }
        var all: [String] { self.entries.withLock { $0 } }
    }

    private func member(_ name: String, _ diary: Diary) -> ServiceGroup.Member {
        ServiceGroup.Member(name) {
            diary.write("+" + name)
        } stop: { (limit: Duration) in
            diary.write("-\(name) \(limit)")
        }
    }

    @Test func startsInOrderAndStopsInReverse() async throws {
        let diary = Diary()
        let group = ServiceGroup(["store", "log", "http"].map { self.member($0, diary) }, logger: .silent)
        try await group.start()
        #expect(await group.stop().isEmpty)
        #expect(
            diary.all == ["+store", "+log", "+http", "-http 10.0 seconds", "-log 10.0 seconds", "-store 10.0 seconds"])
        // Nothing is stopped twice.
        #expect(await group.stop().isEmpty)
        #expect(diary.all.count == 6)
    }

    @Test func aFailedStartStopsWhatRan() async {
        let diary = Diary()
        let broken = ServiceGroup.Member("log") {
            throw Broken()
        } stop: { _ in
            diary.write("-log")
        }
        let group = ServiceGroup([self.member("store", diary), broken, self.member("http", diary)], logger: .silent)
        await #expect {
            try await group.start()
        } throws: { (error: any Error) -> Bool in
            guard let failure = error as? ServiceGroup.StartFailure else { return false }
            return failure.member == "log" && failure.cause is Broken && "\(failure)".hasPrefix("log did not start: ")
        }
        #expect(diary.all == ["+store", "-store 10.0 seconds"])
    }

    @Test func oneThatDoesNotStopIsLeftBehindAndNamed() async throws {
        let diary = Diary()
        let clock = ManualClock()
        let log = CapturedLog()
        let stuck = ServiceGroup.Member("log", stopDeadline: .seconds(3)) {
        } stop: { _ in
            // Ends only when it is cancelled, which happens after it was given up.
            while !Task.isCancelled { try? await Task.sleep(for: .milliseconds(1)) }
            diary.write("-log")
        }
        let group = ServiceGroup([self.member("store", diary), stuck], logger: log.logger(), clock: clock)
        try await group.start()
        let stopping = Task { await group.stop() }
        try await eventually("a deadline runs") { clock.sleeperCount == 1 }
        clock.advance(by: .seconds(3))
        #expect(await stopping.value == ["log"])
        #expect(log.entries("a part did not stop in time").first?["part"]?.text == "log")
        #expect(diary.all.contains("-store 10.0 seconds"))
        try await eventually("the one left behind sees its cancellation") { diary.all.contains("-log") }
    }
}
