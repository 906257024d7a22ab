/// What a target's own checks say about it: several alike in a row change its state. Pure.
struct CheckRecord: Equatable {
    private(set) var isUp: Bool = true
    /// Results in a row that speak against the present state.
    private var against: Int = 0
    /// The very first result counts at once: a target that is down at the start gets no requests in vain.
    private var isFirst: Bool = true

    /// Takes a result; true when the state changed with it.
    mutating func add(_ isGood: Bool, healthyAfter: Int, unhealthyAfter: Int) -> Bool {
        defer { self.isFirst = false }
        if isGood == self.isUp {
            self.against = 0
            return false
        }
        self.against += 1
        let needed: Int = self.isFirst ? 1 : self.isUp ? unhealthyAfter : healthyAfter
        if self.against < needed { return false }
        self.isUp = isGood
        self.against = 0
        return true
    }
}
