import Synchronization
import Testing

@testable import Gateway

struct RecordRingTests {
    private static func record(_ number: UInt64) -> RequestRecord {
        var record: RequestRecord = RequestRecord()
        record.bytesIn = number
        return record
    }

    private static func drained(_ ring: RecordRing) -> [UInt64] {
        var batch: RecordBatch = RecordBatch()
        ring.drain(into: &batch)
        return batch.records.map(\.bytesIn)
    }

    @Test func givesWhatWasAddedInOrder() {
        let ring: RecordRing = RecordRing(capacity: 8)
        #expect(Self.drained(ring).isEmpty)
        for turn in 0..<10 as Range<UInt64> {
            for number in 0..<5 as Range<UInt64> { #expect(ring.add(Self.record(turn * 10 + number))) }
            #expect(Self.drained(ring) == (0..<5).map { turn * 10 + $0 })
        }
        #expect(ring.dropped == 0)
    }

    @Test func dropsAndCountsWhenFull() {
        let ring: RecordRing = RecordRing(capacity: 4)
        for number in 0..<10 as Range<UInt64> { #expect(ring.add(Self.record(number)) == (number < 4)) }
        #expect(ring.dropped == 6)
        #expect(Self.drained(ring) == [0, 1, 2, 3])
        #expect(ring.add(Self.record(11)))
        #expect(Self.drained(ring) == [11])
    }

    @Test func keepsTheBeginningOfPaths() {
        let ring: RecordRing = RecordRing(capacity: 4, pathBytes: 6)
        for path in ["/a", "", "/longer/than/that"] {
            Array(path.utf8).withUnsafeBytes { _ = ring.add(Self.record(1), path: $0) }
        }
        _ = ring.add(Self.record(1))
        var batch: RecordBatch = RecordBatch()
        ring.drain(into: &batch)
        let paths: [String?] = (0..<5).map { batch.path(at: $0).map { String(decoding: $0, as: UTF8.self) } }
        #expect(paths == ["/a", "", "/longe", "", nil])
    }

    private final class Shared: Sendable {
        let ring: RecordRing = RecordRing(capacity: 64)
        let isDone: Atomic<Bool> = Atomic(false)
    }

    @Test func aReaderBesideTheWriterSeesEachRecordOnceAndInOrder() {
        let shared: Shared = Shared()
        let count: UInt64 = 200_000
        let mistakes: Int = Threads.count(2) { thread in
            if thread == 0 {
                var added: UInt64 = 0
                while added < count { if shared.ring.add(Self.record(added)) { added += 1 } }
                shared.isDone.store(true, ordering: .releasing)
                return 0
            }
            var expected: UInt64 = 0
            var mistakes: Int = 0
            while expected < count {
                let isLast: Bool = shared.isDone.load(ordering: .acquiring)
                var batch: RecordBatch = RecordBatch()
                shared.ring.drain(into: &batch)
                for record in batch.records {
                    if record.bytesIn != expected { mistakes += 1 }
                    expected += 1
                }
                if isLast && batch.isEmpty { break }
            }
            return expected == count ? mistakes : mistakes + 1
        }
        #expect(mistakes == 0)
    }
}
