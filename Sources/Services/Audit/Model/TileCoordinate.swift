/// Which tile of the tree: C2SP tlog-tiles, a run of up to 256 consecutive hashes of every eighth level.
///
/// Level 0 holds leaf hashes; a hash of level L is the root over a full tile of level L - 1, so over 256^L leaves.
package struct TileCoordinate: Sendable, Hashable {
    /// Hashes of a full tile.
    package static let widthMax: Int = 256
    /// Levels of the tree between two levels of tiles.
    static let height: Int = 8
    /// 256^7 leaves fit 63 bits: no tree has tiles above.
    package static let levelMax: Int = 7

    package let level: Int
    package let index: Int64

    /// - Precondition: neither is negative.
    package init(level: Int, index: Int64) {
        precondition(level >= 0 && index >= 0, "a tile's level and index are not negative")
        self.level = level
        self.index = index
    }

    /// How many hashes the tile has in a tree of `size` leaves: 0 where it does not exist, 256 when full.
    package func width(size: Int64) -> Int {
        guard self.level <= Self.levelMax else { return 0 }
        let hashes: Int64 = size >> Int64(Self.height * self.level)
        let before: (partialValue: Int64, overflow: Bool) = self.index.multipliedReportingOverflow(
            by: Int64(Self.widthMax))
        guard !before.overflow, hashes > before.partialValue else { return 0 }
        return Int(min(hashes - before.partialValue, Int64(Self.widthMax)))
    }

    /// Where the hash of a complete subtree comes from: a tile, and `count` hashes from `offset` to be joined.
    static func locate(level: Int, index: Int64) -> (tile: TileCoordinate, offset: Int, count: Int) {
        let inside: Int = level % Self.height
        let first: Int64 = index << Int64(inside)
        let tile: TileCoordinate = TileCoordinate(level: level / Self.height, index: first / Int64(Self.widthMax))
        return (tile, Int(first % Int64(Self.widthMax)), 1 << inside)
    }
}

/// A tile as it is asked for: `<L>/<N>[.p/<W>]`, where N is written in groups of three digits, all but the last after an `x`.
package struct TilePath: Sendable, Hashable {
    package let tile: TileCoordinate
    /// 1 to 255 for a partial tile, 256 for a full one.
    package let width: Int

    package init(tile: TileCoordinate, width: Int) {
        self.tile = tile
        self.width = width
    }

    /// Reads the form the specification allows and no other (no leading zeroes, no missing groups).
    package init?(parsing text: String) {
        var segments: [Substring] = text.split(separator: "/", omittingEmptySubsequences: false)
        guard segments.count >= 2, let level: Int64 = Self.decimal(segments.removeFirst()), level <= 63 else {
            return nil
        }
        var width: Int = TileCoordinate.widthMax
        if segments.count >= 2, segments[segments.count - 2].hasSuffix(".p") {
            guard let partial: Int64 = Self.decimal(segments.removeLast()), (1...255).contains(partial) else {
                return nil
            }
            width = Int(partial)
            segments[segments.count - 1] = segments[segments.count - 1].dropLast(2)
        }
        guard let index: Int64 = Self.index(segments) else { return nil }
        self.init(tile: TileCoordinate(level: Int(level), index: index), width: width)
    }

    package var text: String {
        var groups: [String] = []
        var rest: Int64 = self.tile.index
        repeat {
            let digits: String = String(rest % 1_000)
            let group: String = String(repeating: "0", count: 3 - digits.utf8.count) + digits
            groups.append(groups.isEmpty ? group : "x" + group)
            rest /= 1_000
        } while rest > 0
        let suffix: String = self.width < TileCoordinate.widthMax ? ".p/\(self.width)" : ""
        return "\(self.tile.level)/\(groups.reversed().joined(separator: "/"))\(suffix)"
    }

    /// At most five groups: 10^15 tiles are more than any tree has.
    private static func index(_ groups: [Substring]) -> Int64? {
        guard !groups.isEmpty, groups.count <= 5 else { return nil }
        var value: Int64 = 0
        for (position, group) in groups.enumerated() {
            var digits: Substring = group
            if position < groups.count - 1 {
                guard digits.popFirst() == "x" else { return nil }
            }
            guard digits.utf8.count == 3, digits.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
            guard let number: Int64 = Int64(digits) else { return nil }
            if position == 0, groups.count > 1, number == 0 { return nil }
            value = value * 1_000 + number
        }
        return value
    }

    private static func decimal(_ text: Substring) -> Int64? {
        guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        guard text.utf8.count == 1 || text.utf8.first != 48 else { return nil }
        return Int64(text)
    }
}
