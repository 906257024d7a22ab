import Synchronization

/// A try of a request at a target that was followed by another one. What came of the last try, the request's own record says.
struct AttemptRecord: BitwiseCopyable, Sendable {
    /// The span of the request.
    var span: UInt64 = 0
    /// Nanoseconds since 1970, UTC.
    var started: Int64 = 0
    var durationMicroseconds: UInt32 = 0
    var target: IdentityNumber = .none
    /// What the target answered; 0: nothing.
    var status: UInt16 = 0
    /// Why there was no answer.
    var reason: RequestReason = .none
    /// 1 is the first.
    var number: UInt8 = 0

    /// The span of a try: known from the request's, so that it need not be kept anywhere.
    static func span(_ number: UInt8, of request: UInt64) -> UInt64 {
        let id: UInt64 = request &+ UInt64(number) &* 0x9E37_79B9_7F4A_7C15
        return id == 0 ? 1 : id
    }
}

/// Carries tries from one loop to the collector, as `RecordRing` does with records: one writer, one reader, no locks, full is
/// dropped. Tries are rare, so it is small.
///
/// A try is written before the record of its request: whoever has read the record finds all of its tries here.
final class AttemptRing: @unchecked Sendable {
    // Safe to share by the same rule as `RecordRing`.

    static let capacity: Int = 1024

    private let records: UnsafeMutablePointer<AttemptRecord>
    private let written: Atomic<UInt64> = Atomic(0)
    private let read: Atomic<UInt64> = Atomic(0)
    private let droppedCount: Atomic<UInt64> = Atomic(0)

    init() {
        self.records = .allocate(capacity: Self.capacity)
        self.records.initialize(repeating: AttemptRecord(), count: Self.capacity)
    }

    deinit { self.records.deallocate() }

    /// On the writer's thread.
    func add(_ record: AttemptRecord) {
        let position: UInt64 = self.written.load(ordering: .relaxed)
        guard position &- self.read.load(ordering: .acquiring) < UInt64(Self.capacity) else {
            self.droppedCount.wrappingAdd(1, ordering: .relaxed)
            return
        }
        self.records[Int(truncatingIfNeeded: position) & (Self.capacity - 1)] = record
        self.written.store(position &+ 1, ordering: .releasing)
    }

    /// On the reader's thread.
    func drain(into list: inout [AttemptRecord]) {
        var position: UInt64 = self.read.load(ordering: .relaxed)
        let end: UInt64 = self.written.load(ordering: .acquiring)
        while position != end {
            list.append(self.records[Int(truncatingIfNeeded: position) & (Self.capacity - 1)])
            position &+= 1
        }
        self.read.store(position, ordering: .releasing)
    }

    var dropped: UInt64 { self.droppedCount.load(ordering: .relaxed) }
}
