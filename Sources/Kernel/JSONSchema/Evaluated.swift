/// Which members and elements of one value some keyword has looked at, as `unevaluatedProperties` and `unevaluatedItems` ask.
struct Evaluated {
    /// Whether anybody will ask; otherwise nothing is noted.
    let isTracked: Bool
    private var hasAllMembers: Bool = false
    private var members: PositionSet = PositionSet()
    private var hasAllItems: Bool = false
    /// Elements before this one.
    private var itemsBefore: Int = 0
    private var items: PositionSet = PositionSet()

    init(isTracked: Bool) { self.isTracked = isTracked }

    mutating func noteMember(_ position: Int) { if self.isTracked { self.members.insert(position) } }

    mutating func noteAllMembers() { self.hasAllMembers = true }

    mutating func noteItem(_ position: Int) { if self.isTracked { self.items.insert(position) } }

    mutating func noteItems(before position: Int) { self.itemsBefore = max(self.itemsBefore, position) }

    mutating func noteAllItems() { self.hasAllItems = true }

    func hasMember(_ position: Int) -> Bool { self.hasAllMembers || self.members.contains(position) }

    func hasItem(_ position: Int) -> Bool {
        self.hasAllItems || position < self.itemsBefore || self.items.contains(position)
    }

    mutating func formUnion(_ other: Evaluated) {
        guard self.isTracked else { return }
        self.hasAllMembers = self.hasAllMembers || other.hasAllMembers
        self.members.formUnion(other.members)
        self.hasAllItems = self.hasAllItems || other.hasAllItems
        self.itemsBefore = max(self.itemsBefore, other.itemsBefore)
        self.items.formUnion(other.items)
    }
}

/// A set of small numbers; no memory of its own below 64.
private struct PositionSet {
    private var low: UInt64 = 0
    private var more: [UInt64] = []

    mutating func insert(_ position: Int) {
        if position < 64 {
            self.low |= 1 << UInt64(position)
            return
        }
        let word: Int = position / 64 - 1
        while self.more.count <= word { self.more.append(0) }
        self.more[word] |= 1 << UInt64(position % 64)
    }

    func contains(_ position: Int) -> Bool {
        if position < 64 { return self.low & 1 << UInt64(position) != 0 }
        let word: Int = position / 64 - 1
        return word < self.more.count && self.more[word] & 1 << UInt64(position % 64) != 0
    }

    mutating func formUnion(_ other: PositionSet) {
        self.low |= other.low
        while self.more.count < other.more.count { self.more.append(0) }
        for (index, word) in other.more.enumerated() { self.more[index] |= word }
    }
}
