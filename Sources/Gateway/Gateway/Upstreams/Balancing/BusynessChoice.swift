/// Choices by how busy targets are. `load` is asked for the requests on their way to a place.
enum BusynessChoice {
    /// The least busy one for its weight. Equals are taken in turn: `start` says where to begin. Costs a look at every target.
    static func least(_ candidates: borrowing Candidates, start: Int, load: (Int) -> Int) -> Int? {
        let count: Int = candidates.count
        var best: Int = -1
        var bestLoad: Int = 0
        var bestWeight: Int = 1
        var index: Int = count == 0 ? 0 : start % count
        for _ in 0..<count {
            let weight: Int = candidates.weight(index)
            if weight > 0 {
                let busy: Int = load(index)
                if best < 0 || self.isLess(busy, weight, than: bestLoad, bestWeight) {
                    best = index
                    bestLoad = busy
                    bestWeight = weight
                }
            }
            index += 1
            if index == count { index = 0 }
        }
        return best < 0 ? nil : best
    }

    /// The less busy one of two that are drawn by weight. Costs the draws, whatever the number of targets.
    static func ofTwo(
        _ candidates: borrowing Candidates, _ wheel: borrowing WeightWheel,
        using random: inout some RandomNumberGenerator,
        load: (Int) -> Int
    ) -> Int? {
        guard let first: Int = wheel.draw(candidates, using: &random) else { return nil }
        guard let second: Int = wheel.draw(candidates, using: &random, otherThan: first) else { return first }
        let isBetter: Bool = self.isLess(
            load(second), candidates.weight(second), than: load(first), candidates.weight(first))
        return isBetter ? second : first
    }

    /// Compares what each would have with one more, by weight. The products stay far below 2^63: loads are below 2^32, weights
    /// at most 100,000.
    @inline(__always)
    private static func isLess(_ load: Int, _ weight: Int, than otherLoad: Int, _ otherWeight: Int) -> Bool {
        (max(0, load) &+ 1) &* otherWeight < (max(0, otherLoad) &+ 1) &* weight
    }
}

/// Draws places in proportion to weights, by binary search over their sums.
struct WeightWheel {
    /// The sum of the weights up to and with each place.
    private let sums: [Int]

    /// Draws that may meet a place that cannot be chosen, before all are looked at.
    private static let drawsMax: Int = 8

    init(_ weights: [Int]) {
        var sums: [Int] = []
        sums.reserveCapacity(weights.count)
        var sum: Int = 0
        for weight in weights {
            sum += weight
            sums.append(sum)
        }
        self.sums = sums
    }

    /// A place that can be chosen, other than `other` where there is one; nil when there is none.
    func draw(
        _ candidates: borrowing Candidates, using random: inout some RandomNumberGenerator, otherThan other: Int = -1
    ) -> Int? {
        guard let total: Int = self.sums.last, total > 0 else { return nil }
        for _ in 0..<WeightWheel.drawsMax {
            let index: Int = self.place(of: Int.random(in: 0..<total, using: &random))
            if index != other, candidates.weight(index) > 0 { return index }
        }
        // Few can be chosen: draws them alone.
        var left: Int = 0
        for index in 0..<candidates.count where index != other { left += candidates.weight(index) }
        guard left > 0 else { return nil }
        var ticket: Int = Int.random(in: 0..<left, using: &random)
        for index in 0..<candidates.count where index != other {
            ticket -= candidates.weight(index)
            if ticket < 0 { return index }
        }
        return nil
    }

    /// The first place whose sum is above the ticket.
    private func place(of ticket: Int) -> Int {
        var low: Int = 0
        var high: Int = self.sums.count - 1
        while low < high {
            let middle: Int = (low + high) / 2
            if self.sums[middle] > ticket { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
