import Glibc
import Synchronization

/// Carries records from one loop to the collector: a ring of fixed memory with one writer and one reader, without locks.
///
/// A full ring drops the record and counts it: requests never wait for observation. Adding costs a copy of a hundred bytes and
/// one atomic store; reading the reader's position only when the ring looks full. With `pathBytes` each record keeps the
/// beginning of its path, for the access log.
package final class RecordRing: @unchecked Sendable {
    // Safe to share by this rule: `add` is called on one thread, `drain` on one thread at a time; what passes between them is
    // published by `written` and given back by `read`, with release and acquire.

    /// Records a ring holds unless told otherwise: at 50,000 requests a second a tenth of a second is 5,000.
    package static let capacityDefault: Int = 8192
    /// Bytes of a path kept for the access log.
    package static let pathBytesDefault: Int = 192

    private let records: UnsafeMutablePointer<RequestRecord>
    private let paths: UnsafeMutableRawPointer?
    private let pathBytes: Int
    private let mask: UInt64
    private let wakeAt: UInt64
    private let bell: CollectorBell?
    /// Where tries go that were not the last; nil: nobody asks for them.
    let attempts: AttemptRing?

    // The writer's own.
    private var next: UInt64 = 0
    private var readSeen: UInt64 = 0

    private let written: Atomic<UInt64> = Atomic(0)
    private let droppedCount: Atomic<UInt64> = Atomic(0)
    /// Keeps the reader's position off the writer's cache line.
    private let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0)
    private let read: Atomic<UInt64> = Atomic(0)

    /// `capacity` is a power of two. `bell` is rung when the ring is half full.
    init(
        capacity: Int = RecordRing.capacityDefault, pathBytes: Int = 0, bell: CollectorBell? = nil,
        keepsAttempts: Bool = false
    ) {
        precondition(capacity >= 2 && capacity & (capacity - 1) == 0 && pathBytes >= 0 && pathBytes <= Int(UInt16.max))
        self.records = .allocate(capacity: capacity)
        self.records.initialize(repeating: RequestRecord(), count: capacity)
        self.pathBytes = pathBytes
        self.paths = pathBytes > 0 ? .allocate(byteCount: capacity * pathBytes, alignment: 16) : nil
        self.mask = UInt64(capacity - 1)
        self.wakeAt = UInt64(capacity / 2)
        self.bell = bell
        self.attempts = keepsAttempts ? AttemptRing() : nil
    }

    deinit {
        self.records.deallocate()
        self.paths?.deallocate()
    }

    /// Whether paths are kept; else there is no use in having one ready.
    package var keepsPaths: Bool { self.pathBytes > 0 }

    /// Adds a record; false when the ring is full and it was dropped. On the writer's thread.
    @discardableResult
    package func add(_ record: RequestRecord, path: UnsafeRawBufferPointer? = nil) -> Bool {
        let position: UInt64 = self.next
        if position &- self.readSeen > self.mask {
            self.readSeen = self.read.load(ordering: .acquiring)
            if position &- self.readSeen > self.mask {
                self.droppedCount.wrappingAdd(1, ordering: .relaxed)
                return false
            }
        }
        let slot: Int = Int(truncatingIfNeeded: position & self.mask)
        self.records[slot] = record
        if let paths: UnsafeMutableRawPointer = self.paths {
            let length: Int = min(path?.count ?? 0, self.pathBytes)
            self.records[slot].pathLength = UInt16(truncatingIfNeeded: length)
            if length > 0, let path: UnsafeRawPointer = path?.baseAddress {
                memcpy(paths + slot * self.pathBytes, path, length)
            }
        } else {
            self.records[slot].pathLength = 0
        }
        self.next = position &+ 1
        self.written.store(position &+ 1, ordering: .releasing)
        // Rung once while the reader sleeps: the position passes the middle once a turn.
        if position &- self.readSeen == self.wakeAt { self.ringBell() }
        return true
    }

    /// The reader may have come by since `readSeen`; only then is the ring not half full.
    private func ringBell() {
        self.readSeen = self.read.load(ordering: .acquiring)
        if self.next &- self.readSeen >= self.wakeAt { self.bell?.ring() }
    }

    /// Moves what is there to the end of `batch`. On the reader's thread.
    func drain(into batch: inout RecordBatch) {
        var position: UInt64 = self.read.load(ordering: .relaxed)
        let end: UInt64 = self.written.load(ordering: .acquiring)
        while position != end {
            let slot: Int = Int(truncatingIfNeeded: position & self.mask)
            // Up to the end of the memory, and what is left from its beginning.
            let count: Int = min(
                Int(truncatingIfNeeded: end &- position), Int(truncatingIfNeeded: self.mask) + 1 - slot)
            let records: UnsafeBufferPointer<RequestRecord> = UnsafeBufferPointer(
                start: self.records + slot, count: count)
            batch.records.append(contentsOf: records)
            if let paths: UnsafeMutableRawPointer = self.paths {
                for (index, record) in records.enumerated() {
                    batch.append(
                        path: UnsafeRawBufferPointer(
                            start: paths + (slot + index) * self.pathBytes, count: Int(record.pathLength)))
                }
            }
            position &+= UInt64(count)
        }
        self.read.store(position, ordering: .releasing)
        // Behind the records: all tries of those just read are there.
        self.attempts?.drain(into: &batch.attempts)
    }

    /// Records dropped because the ring was full.
    package var dropped: UInt64 { self.droppedCount.load(ordering: .relaxed) }
}
