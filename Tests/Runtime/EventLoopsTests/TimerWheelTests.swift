import Testing

@testable import EventLoops

/// A timer that writes down when it fired, by a time the test controls.
private final class Recorder: Timer {
    var firings: [UInt64] = []
    var clock: UInt64 = 0
    var onFired: (Recorder) -> Void = { _ in }

    override func fired() {
        self.firings.append(self.clock)
        self.onFired(self)
    }
}

extension TimerWheel {
    /// Fires what is due, as a loop does.
    fileprivate mutating func advance(to now: UInt64) {
        while let timer: Timer = self.nextDue(now: now) { timer.fired() }
    }
}

private let millisecond: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000

struct TimerWheelTests {
    /// Turns the wheel in steps and tells the timers what time it is.
    private func turn(_ wheel: inout TimerWheel, _ timers: [Recorder], from start: UInt64, to end: UInt64, step: UInt64)
    {
        var now: UInt64 = start
        while now < end {
            now += step
            for timer in timers { timer.clock = now }
            wheel.advance(to: now)
        }
    }

    @Test(arguments: [1 * millisecond, 10 * millisecond, 777 * millisecond, 5 * second, 40 * second, 200 * second])
    func firesOnceNeverEarlyAndAtMostASlotLate(delay: UInt64) {
        let start: UInt64 = 123_456_789_123
        var wheel: TimerWheel = TimerWheel(now: start)
        let timer: Recorder = Recorder()
        wheel.schedule(timer, at: start + delay)
        self.turn(&wheel, [timer], from: start, to: start + delay + second, step: millisecond)
        #expect(timer.firings.count == 1)
        #expect(timer.firings.first.map { $0 >= start + delay } == true)
        #expect(timer.firings.first.map { $0 <= start + delay + 10 * millisecond } == true)
        #expect(!timer.isArmed)
    }

    @Test func movingLaterTouchesNoListAndStillFiresOnTime() {
        var wheel: TimerWheel = TimerWheel(now: 0)
        let timer: Recorder = Recorder()
        wheel.schedule(timer, at: 20 * millisecond)
        let tick: UInt64 = timer.queuedTick
        wheel.schedule(timer, at: 500 * millisecond)
        #expect(timer.queuedTick == tick)
        self.turn(&wheel, [timer], from: 0, to: second, step: millisecond)
        #expect(timer.firings.count == 1)
        #expect(timer.firings[0] >= 500 * millisecond && timer.firings[0] <= 510 * millisecond)
    }

    @Test func movingEarlierFiresEarlier() {
        var wheel: TimerWheel = TimerWheel(now: 0)
        let timer: Recorder = Recorder()
        wheel.schedule(timer, at: 10 * second)
        wheel.schedule(timer, at: 30 * millisecond)
        self.turn(&wheel, [timer], from: 0, to: 11 * second, step: 10 * millisecond)
        #expect(timer.firings.count == 1)
        #expect(timer.firings[0] <= 50 * millisecond)
    }

    @Test func aCancelledTimerNeverFiresAndIsReleased() {
        var wheel: TimerWheel = TimerWheel(now: 0)
        weak var released: Recorder?
        do {
            let timer: Recorder = Recorder()
            released = timer
            wheel.schedule(timer, at: 30 * millisecond)
            wheel.cancel(timer)
            wheel.cancel(timer)
        }
        #expect(released == nil)
        #expect(wheel.timeoutMilliseconds(now: 0) == -1)
        wheel.advance(to: second)
    }

    @Test func aDisarmedTimerStaysQuietAndMayBeArmedAgain() {
        var wheel: TimerWheel = TimerWheel(now: 0)
        let timer: Recorder = Recorder()
        wheel.schedule(timer, at: 30 * millisecond)
        timer.deadline = Timer.never
        self.turn(&wheel, [timer], from: 0, to: 100 * millisecond, step: millisecond)
        #expect(timer.firings.isEmpty)
        wheel.schedule(timer, at: 200 * millisecond)
        self.turn(&wheel, [timer], from: 100 * millisecond, to: 300 * millisecond, step: millisecond)
        #expect(timer.firings.count == 1)
    }

    @Test func aTimerMayArmItselfAndCancelItsNeighbourWhileFiring() {
        var wheel: TimerWheel = TimerWheel(now: 0)
        let first: Recorder = Recorder()
        let second: Recorder = Recorder()
        wheel.schedule(first, at: 30 * millisecond)
        wheel.schedule(second, at: 30 * millisecond)
        // The list is taken newest first, so `second` runs and takes `first` away.
        withUnsafeMutablePointer(to: &wheel) { (pointer: UnsafeMutablePointer<TimerWheel>) in
            second.onFired = { (timer: Recorder) in
                pointer.pointee.cancel(first)
                if timer.firings.count < 3 { pointer.pointee.schedule(timer, at: timer.clock + 20 * millisecond) }
            }
            self.turn(&pointer.pointee, [first, second], from: 0, to: 500 * millisecond, step: millisecond)
        }
        #expect(first.firings.isEmpty)
        #expect(second.firings.count == 3)
    }

    @Test func catchesUpAfterALongPause() {
        var wheel: TimerWheel = TimerWheel(now: 0)
        var timers: [Recorder] = []
        for index in 0..<100 {
            let timer: Recorder = Recorder()
            wheel.schedule(timer, at: UInt64(index) * second + 1)
            timers.append(timer)
        }
        for timer in timers { timer.clock = 50 * second }
        // One jump further than the ring is long: far timers come round, are queued again, and wait.
        wheel.advance(to: 50 * second)
        #expect(timers.filter { !$0.firings.isEmpty }.count == 50)
        self.turn(&wheel, timers, from: 50 * second, to: 101 * second, step: 100 * millisecond)
        #expect(timers.allSatisfy { $0.firings.count == 1 })
    }

    @Test func saysHowLongToSleep() {
        var wheel: TimerWheel = TimerWheel(now: 0)
        #expect(wheel.timeoutMilliseconds(now: 0) == -1)
        let timer: Recorder = Recorder()
        wheel.schedule(timer, at: 100 * millisecond)
        let timeout: Int32 = wheel.timeoutMilliseconds(now: 0)
        #expect(timeout >= 100 && timeout <= 110)
        #expect(wheel.timeoutMilliseconds(now: 5 * second) == 0)
    }

    /// Random arming, moving and cancelling against a plain list of deadlines.
    @Test(arguments: 1...20) func agreesWithAPlainList(seed: UInt64) {
        var state: UInt64 = seed &* 0x9E37_79B9_7F4A_7C15
        func random(_ bound: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % bound
        }
        var now: UInt64 = random(1 << 40)
        var wheel: TimerWheel = TimerWheel(now: now)
        let timers: [Recorder] = (0..<40).map { _ in Recorder() }
        var expected: [UInt64?] = [UInt64?](repeating: nil, count: timers.count)
        for _ in 0..<3000 {
            let index: Int = Int(random(UInt64(timers.count)))
            switch random(4) {
            case 0:
                wheel.cancel(timers[index])
                expected[index] = nil
            case 1, 2:
                let deadline: UInt64 = now + random(random(8) == 0 ? 100 * second : 300 * millisecond)
                wheel.schedule(timers[index], at: deadline)
                expected[index] = deadline
            default:
                now += random(40 * millisecond)
                for timer in timers { timer.clock = now }
                wheel.advance(to: now)
                for index in timers.indices {
                    let fired: Bool = !timers[index].firings.isEmpty
                    timers[index].firings = []
                    if let deadline: UInt64 = expected[index] {
                        if fired { #expect(deadline <= now, "seed \(seed): fired early") }
                        if !fired { #expect(deadline + 17 * millisecond > now, "seed \(seed): not fired") }
                        if fired { expected[index] = nil }
                    } else {
                        #expect(!fired, "seed \(seed): fired though not armed")
                    }
                }
            }
        }
    }
}
