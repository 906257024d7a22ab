/// Finds the name that somebody probably meant.
package enum NearestName {
    /// Longer names are not compared: the cost grows with the product of the lengths.
    private static let bytesMax: Int = 64

    /// The nearest of `names` to `text` when it is near enough (a third of its letters differ at most), ignoring case.
    package static func suggestion(for text: String, among names: some Sequence<String>) -> String? {
        let wanted: [UInt8] = Array(text.lowercased().utf8)
        guard !wanted.isEmpty, wanted.count <= self.bytesMax else { return nil }
        var best: (name: String, distance: Int)? = nil
        for name: String in names {
            let candidate: [UInt8] = Array(name.lowercased().utf8)
            guard candidate.count <= self.bytesMax else { continue }
            let distance: Int = self.distance(wanted, candidate)
            let allowed: Int = max(1, min(wanted.count, candidate.count) / 3)
            if distance <= allowed, distance < best?.distance ?? Int.max { best = (name, distance) }
        }
        return best?.name
    }

    /// Insertions, deletions, replacements and swaps of neighbours that turn one into the other.
    static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last: [Int] = Array(0...right.count)
        for row: Int in 0..<left.count {
            var current: [Int] = [row + 1]
            for column: Int in 0..<right.count {
                let replaced: Int = last[column] + (left[row] == right[column] ? 0 : 1)
                var cost: Int = min(replaced, last[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    cost = min(cost, beforeLast[column - 1] + 1)
                }
                current.append(cost)
            }
            beforeLast = last
            last = current
        }
        return last[right.count]
    }
}
