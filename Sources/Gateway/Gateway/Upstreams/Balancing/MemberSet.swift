/// A set of an upstream's targets by their places: 256 bits, without allocation.
struct MemberSet: Equatable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    private(set) var count: Int = 0

    var isEmpty: Bool { self.count == 0 }

    @inline(__always)
    func contains(_ index: Int) -> Bool {
        let bit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: index & 63)
        switch index >> 6 {
        case 0: return self.words.0 & bit != 0
        case 1: return self.words.1 & bit != 0
        case 2: return self.words.2 & bit != 0
        case 3: return self.words.3 & bit != 0
        default: return false
        }
    }

    /// Places beyond the 256th are not kept: no upstream has that many.
    mutating func insert(_ index: Int) {
        if self.contains(index) { return }
        let bit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: index & 63)
        switch index >> 6 {
        case 0: self.words.0 |= bit
        case 1: self.words.1 |= bit
        case 2: self.words.2 |= bit
        case 3: self.words.3 |= bit
        default: return
        }
        self.count += 1
    }

    static func == (left: MemberSet, right: MemberSet) -> Bool { left.words == right.words }
}
