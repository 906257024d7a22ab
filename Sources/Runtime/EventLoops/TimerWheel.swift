/// The timers of one loop: a ring of slots, each a doubly linked list of timers, with a bitmap of the slots in use.
///
/// A slot is 2^23 ns (8.4 ms), so a timer fires at most that late and never early. The ring covers 34 s; a later deadline
/// waits in the last slot and is queued again from there. Arm, move, cancel: O(1), no allocation. The wheel holds one
/// reference to each queued timer.
struct TimerWheel: ~Copyable {
    static let slotShift: UInt64 = 23
    static let slotCount: Int = 4096
    private static let slotMask: UInt64 = UInt64(slotCount - 1)
    private static let wordCount: Int = slotCount / 64

    private let slots: UnsafeMutablePointer<Unmanaged<Timer>?>
    /// Bit s of word w: slot 64 w + s holds a timer. `summary` has a bit per word that is not zero.
    private let occupied: UnsafeMutablePointer<UInt64>
    private var summary: UInt64 = 0
    /// Every slot up to this tick has been looked at.
    private var currentTick: UInt64

    init(now: UInt64) {
        self.slots = .allocate(capacity: TimerWheel.slotCount)
        self.slots.initialize(repeating: nil, count: TimerWheel.slotCount)
        self.occupied = .allocate(capacity: TimerWheel.wordCount)
        self.occupied.initialize(repeating: 0, count: TimerWheel.wordCount)
        self.currentTick = now >> TimerWheel.slotShift
    }

    deinit {
        for slot in 0..<TimerWheel.slotCount {
            while let node: Unmanaged<Timer> = self.slots[slot] {
                let timer: Timer = node.takeRetainedValue()
                self.slots[slot] = timer.next
                timer.isQueued = false
                timer.previous = nil
                timer.next = nil
            }
        }
        self.slots.deallocate()
        self.occupied.deallocate()
    }

    /// Sets the deadline. Only an earlier one than the node already waits for touches the lists.
    mutating func schedule(_ timer: Timer, at deadline: UInt64) {
        timer.deadline = deadline
        let tick: UInt64 = self.slotTick(for: deadline)
        if timer.isQueued {
            if timer.queuedTick <= tick { return }
            self.unlink(timer)
        } else {
            _ = Unmanaged.passRetained(timer)
        }
        self.link(timer, tick: tick)
    }

    /// Forgets the deadline and the node.
    mutating func cancel(_ timer: Timer) {
        timer.deadline = Timer.never
        guard timer.isQueued else { return }
        self.unlink(timer)
        Unmanaged.passUnretained(timer).release()
    }

    /// Takes out the next timer whose deadline has passed; nil when no more has. The caller fires it: `fired()` may arm and
    /// cancel any timer, and so must not run while this wheel is being changed.
    mutating func nextDue(now: UInt64) -> Timer? {
        let target: UInt64 = now >> TimerWheel.slotShift
        while true {
            if let timer: Timer = self.takeDueFromSlot(now: now) { return timer }
            guard self.currentTick < target else { return nil }
            guard let ahead: UInt64 = self.distanceToOccupied(), self.currentTick &+ ahead <= target else {
                self.currentTick = target
                return nil
            }
            self.currentTick &+= ahead
        }
    }

    /// Milliseconds until the next slot in use has passed; -1 when none is.
    func timeoutMilliseconds(now: UInt64) -> Int32 {
        guard let ahead: UInt64 = self.distanceToOccupied() else { return -1 }
        let due: UInt64 = (self.currentTick &+ ahead) << TimerWheel.slotShift
        guard due > now else { return 0 }
        return Int32(truncatingIfNeeded: (due &- now &+ 999_999) / 1_000_000)
    }

    /// The first tick at which the deadline has certainly passed, kept inside the ring and after the current one.
    private func slotTick(for deadline: UInt64) -> UInt64 {
        let mask: UInt64 = (1 << TimerWheel.slotShift) - 1
        let tick: UInt64 = (deadline >> TimerWheel.slotShift) + (deadline & mask == 0 ? 0 : 1)
        return min(max(tick, self.currentTick + 1), self.currentTick + TimerWheel.slotMask)
    }

    /// Empties the current slot up to the first timer that is due. Nothing is ever queued into the current slot, so what is
    /// left there stays until the next call.
    private mutating func takeDueFromSlot(now: UInt64) -> Timer? {
        let slot: Int = Int(self.currentTick & TimerWheel.slotMask)
        while let node: Unmanaged<Timer> = self.slots[slot] {
            let timer: Timer = node.takeUnretainedValue()
            self.unlink(timer)
            if timer.deadline <= now {
                timer.deadline = Timer.never
                node.release()
                return timer
            } else if timer.deadline == Timer.never {
                node.release()
            } else {
                self.link(timer, tick: self.slotTick(for: timer.deadline))
            }
        }
        return nil
    }

    private mutating func link(_ timer: Timer, tick: UInt64) {
        let slot: Int = Int(tick & TimerWheel.slotMask)
        let node: Unmanaged<Timer> = .passUnretained(timer)
        timer.queuedTick = tick
        timer.isQueued = true
        timer.previous = nil
        timer.next = self.slots[slot]
        timer.next?.takeUnretainedValue().previous = node
        self.slots[slot] = node
        self.occupied[slot >> 6] |= 1 << UInt64(slot & 63)
        self.summary |= 1 << UInt64(slot >> 6)
    }

    private mutating func unlink(_ timer: Timer) {
        let slot: Int = Int(timer.queuedTick & TimerWheel.slotMask)
        timer.next?.takeUnretainedValue().previous = timer.previous
        if let previous: Unmanaged<Timer> = timer.previous {
            previous.takeUnretainedValue().next = timer.next
        } else {
            self.slots[slot] = timer.next
        }
        timer.previous = nil
        timer.next = nil
        timer.isQueued = false
        guard self.slots[slot] == nil else { return }
        self.occupied[slot >> 6] &= ~(1 << UInt64(slot & 63))
        if self.occupied[slot >> 6] == 0 { self.summary &= ~(1 << UInt64(slot >> 6)) }
    }

    /// Slots from the current one (exclusive) to the next in use, going round the ring once; nil when the wheel is empty.
    private func distanceToOccupied() -> UInt64? {
        if self.summary == 0 { return nil }
        let start: Int = Int((self.currentTick &+ 1) & TimerWheel.slotMask)
        let first: Int = start >> 6
        let head: UInt64 = self.occupied[first] & (UInt64.max << UInt64(start & 63))
        if head != 0 { return UInt64(head.trailingZeroBitCount - (start & 63)) + 1 }
        // Words after the first one, then those before it, then the first again for the bits below the start.
        let above: UInt64 = first == 63 ? 0 : self.summary & (UInt64.max << UInt64(first + 1))
        let word: Int = above != 0 ? above.trailingZeroBitCount : self.summary.trailingZeroBitCount
        let slot: Int = word * 64 + self.occupied[word].trailingZeroBitCount
        return UInt64((slot - start + TimerWheel.slotCount) & (TimerWheel.slotCount - 1)) + 1
    }
}
