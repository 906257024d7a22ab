/// Which numbers a client has given to streams (RFC 9113, 5.1.1): they only grow, and one that was passed over is never used.
///
/// The library takes a header block on such a number for a late one of a stream that it has forgotten, and ignores it. Numbers
/// passed over are kept as ranges, so many at most: a client that leaves out more of them is believed about the oldest.
struct HTTP2StreamNumbers {
    static let rangesMax: Int = 32

    private var highest: Int32 = -1
    private var skipped: [ClosedRange<Int32>] = []

    /// Notes the number of a header block; false when it may not be used.
    mutating func admits(_ number: Int32) -> Bool {
        // Even ones, and 0, the library refuses by itself.
        guard number & 1 == 1 else { return true }
        if number > self.highest {
            if number > self.highest &+ 2 {
                if self.skipped.count == Self.rangesMax { self.skipped.removeFirst() }
                self.skipped.append((self.highest + 2)...(number - 2))
            }
            self.highest = number
            return true
        }
        for range in self.skipped where range.contains(number) { return false }
        return true
    }
}
