/// Smooth weighted round robin: each pick adds its weight to every candidate, takes the one with the most credit, and takes the
/// sum of the weights from it; so heavy targets are spread and not sent bursts. Costs a look at every target.
struct SmoothRoundRobin {
    private var credits: [Int]

    init(count: Int) {
        self.credits = [Int](repeating: 0, count: count)
    }

    /// The place whose turn it is; nil when nobody can be chosen.
    mutating func next(_ candidates: borrowing Candidates) -> Int? {
        var best: Int = -1
        var total: Int = 0
        for index in self.credits.indices {
            let weight: Int = candidates.weight(index)
            if weight == 0 { continue }
            self.credits[index] += weight
            total += weight
            if best < 0 || self.credits[index] > self.credits[best] { best = index }
        }
        guard best >= 0 else { return nil }
        self.credits[best] -= total
        return best
    }

    /// Forgets who is owed what: after weights changed, old credits would be paid out in bursts.
    mutating func reset() {
        for index in self.credits.indices { self.credits[index] = 0 }
    }
}
