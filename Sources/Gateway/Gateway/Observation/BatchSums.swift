/// What the records of one batch add up to by number: plain values, found by one look into a list. Used by one thread.
///
/// Names, series and dictionaries are asked once for a batch and number, not once for a record.
final class BatchSums<Sums: BitwiseCopyable> {
    private let none: Sums
    /// Where the sums of each number stand, plus one; 0: it did not occur in this batch.
    private var places: [UInt32] = []
    private var numbers: [UInt32] = []
    private var sums: UnsafeMutablePointer<Sums>
    private var capacity: Int = 16

    init(none: Sums) {
        self.none = none
        self.sums = .allocate(capacity: self.capacity)
    }

    deinit { self.sums.deallocate() }

    /// Numbers that occurred.
    var count: Int { self.numbers.count }

    /// The sums of a number; good until the next call.
    @inline(__always)
    func of(_ number: UInt32) -> UnsafeMutablePointer<Sums> {
        let place: UInt32 = Int(number) < self.places.count ? self.places[Int(number)] : 0
        // Adding may move the memory: the place first, then the memory.
        let index: Int = place == 0 ? self.add(number) : Int(place) &- 1
        return self.sums + index
    }

    private func add(_ number: UInt32) -> Int {
        if self.numbers.count == self.capacity {
            let larger: UnsafeMutablePointer<Sums> = .allocate(capacity: self.capacity * 2)
            larger.moveInitialize(from: self.sums, count: self.capacity)
            self.sums.deallocate()
            self.sums = larger
            self.capacity *= 2
        }
        while self.places.count <= Int(number) { self.places.append(0) }
        (self.sums + self.numbers.count).initialize(to: self.none)
        self.numbers.append(number)
        self.places[Int(number)] = UInt32(self.numbers.count)
        return self.numbers.count - 1
    }

    /// Calls with each number that occurred and its sums, and forgets them.
    func takeEach(_ body: (UInt32, UnsafePointer<Sums>) -> Void) {
        for (place, number) in self.numbers.enumerated() {
            self.places[Int(number)] = 0
            body(number, UnsafePointer(self.sums + place))
        }
        self.numbers.removeAll(keepingCapacity: true)
    }
}
