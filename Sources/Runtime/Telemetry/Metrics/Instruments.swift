package import Synchronization

/// A number that only goes up. Adding is one relaxed atomic addition, from any thread.
package final class Counter: Sendable {
    @usableFromInline let count: Atomic<UInt64> = Atomic(0)

    @inlinable
    package func add(_ amount: UInt64 = 1) {
        self.count.wrappingAdd(amount, ordering: .relaxed)
    }

    @inlinable package var value: UInt64 { self.count.load(ordering: .relaxed) }
}

/// A number that goes up and down. From any thread.
package final class Gauge: Sendable {
    private let bits: Atomic<UInt64> = Atomic(0)

    package func set(_ value: Double) {
        self.bits.store(value.bitPattern, ordering: .relaxed)
    }

    package func add(_ amount: Double) {
        self.bits.addDouble(amount)
    }

    package var value: Double { Double(bitPattern: self.bits.load(ordering: .relaxed)) }
}

/// How often values fell into which range, with their sum. From any thread; an observation is a search over the bounds and
/// two atomic additions.
package final class Histogram: Sendable {
    /// Upper bounds in seconds, from half a millisecond to 16 seconds, each twice the one before.
    package static let secondsDefault: [Double] = (0...15).map { 0.0005 * Double(1 << $0) }

    /// Where so many microseconds fall among `secondsDefault`, 16 for +Inf; without looking at the bounds.
    @inlinable
    package static func bucketDefault(microseconds: UInt32) -> Int {
        // Doubling bounds: the bits of how often the first one is passed.
        let times: UInt32 = microseconds == 0 ? 0 : (microseconds &- 1) / 500
        return min(UInt32.bitWidth &- times.leadingZeroBitCount, 16)
    }

    /// Upper bounds, ascending, without the last one (+Inf).
    package let bounds: [Double]

    // One counter a bound and one for +Inf; not cumulative. Atomics do not move: allocated once, freed in deinit.
    private nonisolated(unsafe) let counts: UnsafeMutablePointer<Atomic<UInt64>>
    private let sumBits: Atomic<UInt64> = Atomic(0)
    /// One place a bucket; empty until the first exemplar comes.
    private let kept: Mutex<[MetricExemplar?]> = Mutex([])

    /// `bounds` must be finite, ascending and not empty.
    init(bounds: [Double]) {
        precondition(!bounds.isEmpty && bounds.allSatisfy(\.isFinite), "a histogram needs finite bounds")
        precondition(zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 }, "histogram bounds must ascend")
        self.bounds = bounds
        self.counts = .allocate(capacity: bounds.count + 1)
        for index in 0...bounds.count { (self.counts + index).initialize(to: Atomic(0)) }
    }

    deinit {
        self.counts.deinitialize(count: self.bounds.count + 1)
        self.counts.deallocate()
    }

    /// Counts one value. NaN is ignored: one would make the sum useless for ever.
    package func observe(_ value: Double) {
        guard !value.isNaN else { return }
        self.counts[self.bucket(of: value)].wrappingAdd(1, ordering: .relaxed)
        self.sumBits.addDouble(value)
    }

    /// Counts a value and keeps where it came from, instead of what the bucket kept before. Takes a lock: not for event loops.
    package func observe(_ value: Double, exemplar: MetricExemplar) {
        self.observe(value)
        self.keep(exemplar, of: value)
    }

    /// Keeps where a value came from that was counted otherwise. Takes a lock: not for event loops.
    package func keep(_ exemplar: MetricExemplar, of value: Double) {
        guard !value.isNaN else { return }
        let bucket: Int = self.bucket(of: value)
        self.kept.withLock { (kept: inout [MetricExemplar?]) in
            if kept.isEmpty { kept = [MetricExemplar?](repeating: nil, count: self.bounds.count + 1) }
            kept[bucket] = exemplar
        }
    }

    /// The latest exemplar of each bucket, the last for +Inf; empty when there never was one.
    package var exemplars: [MetricExemplar?] { self.kept.withLock { $0 } }

    /// Adds what was counted elsewhere with the same bounds: `counts` has one entry a bound and one for +Inf.
    package func merge(counts: [UInt64], sum: Double) {
        precondition(counts.count == self.bounds.count + 1, "merged histograms must have the same bounds")
        for index in counts.indices where counts[index] != 0 {
            self.counts[index].wrappingAdd(counts[index], ordering: .relaxed)
        }
        self.sumBits.addDouble(sum)
    }

    /// Counts per bucket, not cumulative, the last for +Inf.
    package var bucketCounts: [UInt64] {
        (0...self.bounds.count).map { self.counts[$0].load(ordering: .relaxed) }
    }

    package var sum: Double { Double(bitPattern: self.sumBits.load(ordering: .relaxed)) }

    private func bucket(of value: Double) -> Int {
        var low: Int = 0
        var high: Int = self.bounds.count
        while low < high {
            let middle: Int = (low + high) / 2
            if value <= self.bounds[middle] { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

/// The trace behind a value that was counted: from a histogram's bucket to a request that fell into it.
package struct MetricExemplar: Sendable, Equatable {
    /// The halves of the trace id.
    package var traceHigh: UInt64
    package var traceLow: UInt64
    package var value: Double
    /// Seconds since 1970, UTC.
    package var time: Double

    package init(traceHigh: UInt64, traceLow: UInt64, value: Double, time: Double) {
        self.traceHigh = traceHigh
        self.traceLow = traceLow
        self.value = value
        self.time = time
    }

    /// 32 lower-case hexadecimal digits.
    var traceID: String { MetricExemplar.hex(self.traceHigh) + MetricExemplar.hex(self.traceLow) }

    private static func hex(_ value: UInt64) -> String {
        let text: String = String(value, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }
}

extension Atomic where Value == UInt64 {
    /// Adds to a floating-point number kept as its bit pattern.
    fileprivate borrowing func addDouble(_ amount: Double) {
        var old: UInt64 = self.load(ordering: .relaxed)
        while true {
            let sum: UInt64 = (Double(bitPattern: old) + amount).bitPattern
            let result = self.weakCompareExchange(expected: old, desired: sum, ordering: .relaxed)
            if result.exchanged { return }
            old = result.original
        }
    }
}
