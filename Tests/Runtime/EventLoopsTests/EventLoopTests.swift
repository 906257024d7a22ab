import Glibc
import Synchronization
import Testing

@testable import EventLoops

/// Waits until the loop has run everything given to it so far, and returns what the closure saw there.
func onLoop<Value: Sendable>(_ loop: EventLoop, _ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { (continuation: CheckedContinuation<Value, Never>) in
        loop.execute { continuation.resume(returning: body()) }
    }
}

/// Polls a condition on the loop, with a deadline; the wait is a timer of the loop.
func eventually(_ loop: EventLoop, _ condition: @escaping @Sendable () -> Bool) async -> Bool {
    for _ in 0..<20_000 {
        if await onLoop(loop, condition) { return true }
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            loop.execute { loop.schedule(ActionTimer { continuation.resume() }, after: .milliseconds(5)) }
        }
    }
    return false
}

/// What handlers and timers of a test saw, in order. Written on one loop, read through `onLoop`.
final class Journal: Sendable {
    private let entries: Mutex<[String]> = Mutex([])

    func add(_ entry: String) { self.entries.withLock { $0.append(entry) } }
    var all: [String] { self.entries.withLock { $0 } }
}

private final class Probe: ReadinessHandler {
    private let action: (Probe, Readiness) -> Void
    private let farewell: () -> Void

    init(farewell: @escaping () -> Void = {}, _ action: @escaping (Probe, Readiness) -> Void) {
        self.action = action
        self.farewell = farewell
    }

    deinit { self.farewell() }

    override func ready(_ events: Readiness) { self.action(self, events) }
}

private func socketPair() -> (Int32, Int32) {
    var pair: [Int32] = [-1, -1]
    let type: Int32 = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    #expect(socketpair(AF_UNIX, type, 0, &pair) == 0)
    return (pair[0], pair[1])
}

struct EventLoopTests {
    @Test func runsJobsOfOneThreadInOrder() async {
        let loop: EventLoop = .start(name: "jobs")
        let journal: Journal = Journal()
        for index in 0..<500 { loop.execute { journal.add("\(index)") } }
        let seen: [String] = await onLoop(loop) { journal.all }
        #expect(seen == (0..<500).map { "\($0)" })
        loop.stop()
        loop.join()
    }

    @Test func runsJobsGivenFromTheLoopItself() async {
        let loop: EventLoop = .start(name: "inner")
        let answer: Bool = await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
            loop.execute {
                loop.execute { loop.execute { continuation.resume(returning: loop.isCurrent) } }
            }
        }
        #expect(answer)
        #expect(!loop.isCurrent)
        loop.stop()
        loop.join()
    }

    @Test func losesNoJobUnderManyThreads() async {
        let loop: EventLoop = .start(name: "crowd")
        let journal: Journal = Journal()
        await withTaskGroup(of: Void.self) { (group: inout TaskGroup<Void>) in
            for worker in 0..<8 {
                group.addTask { for index in 0..<500 { loop.execute { journal.add("\(worker).\(index)") } } }
            }
        }
        let seen: [String] = await onLoop(loop) { journal.all }
        #expect(seen.count == 4000)
        for worker in 0..<8 {
            #expect(seen.filter { $0.hasPrefix("\(worker).") } == (0..<500).map { "\(worker).\($0)" })
        }
        loop.stop()
        loop.join()
    }

    @Test func runsWhatWasGivenBeforeStopAndDropsTheRest() async {
        let loop: EventLoop = .start(name: "stop")
        let journal: Journal = Journal()
        #expect(loop.execute { journal.add("before") })
        loop.stop()
        #expect(!loop.execute { journal.add("after") })
        loop.join()
        loop.join()
        #expect(journal.all == ["before"])
    }

    @Test func tellsReadinessAndEndOfStream() async throws {
        let loop: EventLoop = .start(name: "ready")
        let (near, far): (Int32, Int32) = socketPair()
        let journal: Journal = Journal()
        try await onLoop(loop) { () -> Result<Void, SystemError> in
            let handler: Probe = Probe { (_: Probe, events: Readiness) in
                var byte: UInt8 = 0
                while true {
                    let got: Int = Socket.receive(near, &byte, 1)
                    if got == 1 { journal.add(String(UnicodeScalar(byte))) }
                    if got == 0 { journal.add("end peerFinished=\(events.peerFinished)") }
                    if got <= 0 { return }
                }
            }
            return Result { () throws(SystemError) in
                try loop.register(handler, fd: near, interest: [.read, .edgeTriggered])
            }
        }.get()
        #expect(Socket.send(far, "ab", 2) == 2)
        #expect(await eventually(loop) { journal.all == ["a", "b"] })
        Socket.finishWriting(far)
        #expect(await eventually(loop) { journal.all.last == "end peerFinished=true" })
        await onLoop(loop) {
            loop.deregister(fd: near)
            loop.deregister(fd: near)
        }
        #expect(await onLoop(loop) { loop.registeredCount } == 0)
        Socket.close(near)
        Socket.close(far)
        loop.stop()
        loop.join()
    }

    @Test func dropsEventsOfARegistrationThatEndedInTheSameTurn() async {
        let loop: EventLoop = .start(name: "stale")
        let (first, firstFar): (Int32, Int32) = socketPair()
        let (second, secondFar): (Int32, Int32) = socketPair()
        let journal: Journal = Journal()
        // Both become ready in one turn; whichever runs first ends the other and takes its number again for a quiet handler.
        let failures: Int = await onLoop(loop) { () -> Int in
            var failures: Int = 0
            func probe(_ own: Int32, _ other: Int32) -> Probe {
                Probe { (_: Probe, _: Readiness) in
                    journal.add("ran")
                    loop.deregister(fd: other)
                    loop.deregister(fd: own)
                    let quiet: Probe = Probe { (_: Probe, _: Readiness) in journal.add("stale event") }
                    if (try? loop.register(quiet, fd: other, interest: [])) == nil { journal.add("not registered") }
                }
            }
            if (try? loop.register(probe(first, second), fd: first, interest: .read)) == nil { failures += 1 }
            if (try? loop.register(probe(second, first), fd: second, interest: .read)) == nil { failures += 1 }
            _ = Socket.send(firstFar, "x", 1)
            _ = Socket.send(secondFar, "x", 1)
            return failures
        }
        #expect(failures == 0)
        #expect(await eventually(loop) { !journal.all.isEmpty })
        #expect(await onLoop(loop) { journal.all } == ["ran"])
        loop.stop()
        loop.join()
        for fd in [first, firstFar, second, secondFar] { Socket.close(fd) }
    }

    @Test func keepsAHandlerAliveUntilTheTurnEnds() async {
        let loop: EventLoop = .start(name: "alive")
        let (near, far): (Int32, Int32) = socketPair()
        let journal: Journal = Journal()
        await onLoop(loop) {
            let handler: Probe = Probe(farewell: { journal.add("released") }) { (_: Probe, _: Readiness) in
                loop.deregister(fd: near)
                journal.add("still here")
            }
            #expect((try? loop.register(handler, fd: near, interest: .read)) != nil)
            _ = Socket.send(far, "x", 1)
        }
        #expect(await eventually(loop) { journal.all == ["still here", "released"] })
        loop.stop()
        loop.join()
        Socket.close(near)
        Socket.close(far)
    }

    @Test func reportsAWriteThatBecamePossible() async throws {
        let loop: EventLoop = .start(name: "write")
        let (near, far): (Int32, Int32) = socketPair()
        let journal: Journal = Journal()
        let block: [UInt8] = [UInt8](repeating: 7, count: 65_536)
        while Socket.send(near, block, block.count) > 0 {}
        try await onLoop(loop) { () -> Result<Void, SystemError> in
            let handler: Probe = Probe { (_: Probe, events: Readiness) in
                if events.isWritable { journal.add("writable") }
            }
            return Result { () throws(SystemError) in
                try loop.register(handler, fd: near, interest: [.write, .edgeTriggered])
            }
        }.get()
        #expect(await onLoop(loop) { journal.all }.isEmpty)
        var drained: [UInt8] = [UInt8](repeating: 0, count: 65_536)
        while Socket.receive(far, &drained, drained.count) > 0 {}
        #expect(await eventually(loop) { journal.all.contains("writable") })
        loop.stop()
        loop.join()
        Socket.close(near)
        Socket.close(far)
    }

    @Test func aTimerMayArmAndCancelTimersWhenItFires() async {
        final class Repeater: Timer {
            let loop: EventLoop
            let other: Timer = Timer()
            let journal: Journal

            init(_ loop: EventLoop, _ journal: Journal) {
                self.loop = loop
                self.journal = journal
            }

            override func fired() {
                self.journal.add("fired")
                self.loop.cancel(self.other)
                self.loop.schedule(self.other, after: .seconds(60))
                if self.journal.all.count < 3 { self.loop.schedule(self, after: .milliseconds(1)) }
            }
        }
        let loop: EventLoop = .start(name: "timers")
        let journal: Journal = Journal()
        loop.execute { loop.schedule(Repeater(loop, journal), after: .milliseconds(1)) }
        #expect(await eventually(loop) { journal.all.count == 3 })
        loop.stop()
        loop.join()
    }

    @Test func sharesWorkInTurn() {
        let group: EventLoopGroup = EventLoopGroup(count: 3)
        let names: [String] = (0..<6).map { _ in group.next().name }
        #expect(names == ["loop-0", "loop-1", "loop-2", "loop-0", "loop-1", "loop-2"])
        group.shutdown()
    }

    @Test func formatsTheDateOnce() async {
        let loop: EventLoop = .start(name: "date")
        let text: String = await onLoop(loop) { String(decoding: loop.httpDate(), as: UTF8.self) }
        #expect(text.count == 29)
        #expect(text.hasSuffix(" GMT"))
        loop.stop()
        loop.join()
    }

    @Test(
        arguments: [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"), (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        ] as [(Int64, String)])
    func writesTheDate(seconds: Int64, text: String) {
        var bytes: [UInt8] = [UInt8](repeating: 0, count: HTTPDate.length)
        bytes.withUnsafeMutableBufferPointer {
            HTTPDate.write(secondsSince1970: seconds, into: $0.baseAddress.unsafelyUnwrapped)
        }
        #expect(String(decoding: bytes, as: UTF8.self) == text)
    }
}
