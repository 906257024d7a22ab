/// Users by place: a grid of 0.1° cells of which only the occupied ones exist.
///
/// A search looks at the cells its circle touches, or at all occupied ones where those are fewer. Not thread-safe: it lives in
/// a shard behind its lock.
package struct SpatialIndex: Sendable {
    /// Cells for one degree.
    private static let cellsPerDegree: Double = 10
    private static let columns: Int = 3_600
    private static let rows: Int = 1_800

    /// Somebody found, and how far away.
    package struct Neighbour: Sendable, Equatable {
        package let userID: String
        package let point: GeographicPoint
        package let distanceKilometres: Double

        /// Nearest first; among equals by id, so that an answer does not depend on the order of arrival.
        static func precedes(_ left: Neighbour, _ right: Neighbour) -> Bool {
            (left.distanceKilometres, left.userID) < (right.distanceKilometres, right.userID)
        }
    }

    private var points: [String: GeographicPoint] = [:]
    private var cells: [Int: Set<String>] = [:]

    package init() {}

    /// Users in the index.
    package var count: Int { self.points.count }

    /// Puts a user at a place, instead of where the user was.
    package mutating func place(_ userID: String, at point: GeographicPoint) {
        let cell: Int = Self.cell(of: point)
        if let old: GeographicPoint = self.points.updateValue(point, forKey: userID) {
            let oldCell: Int = Self.cell(of: old)
            if oldCell == cell { return }
            self.leave(oldCell, userID)
        }
        self.cells[cell, default: []].insert(userID)
    }

    package mutating func remove(_ userID: String) {
        guard let old: GeographicPoint = self.points.removeValue(forKey: userID) else { return }
        self.leave(Self.cell(of: old), userID)
    }

    /// The users within `radius` kilometres of `centre`, the rim included: the `limit` nearest, nearest first.
    package func neighbours(of centre: GeographicPoint, radius: Double, limit: Int) -> [Neighbour] {
        var nearest: NearestList = NearestList(limit: limit)
        let block: CellBlock = CellBlock(SearchArea(around: centre, radius: radius))
        if block.count > self.cells.count {
            for (cell, users) in self.cells where block.contains(cell) {
                self.consider(users, centre: centre, radius: radius, into: &nearest)
            }
        } else {
            block.forEach { (cell: Int) in
                guard let users: Set<String> = self.cells[cell] else { return }
                self.consider(users, centre: centre, radius: radius, into: &nearest)
            }
        }
        return nearest.items
    }

    private func consider(
        _ users: Set<String>, centre: GeographicPoint, radius: Double, into nearest: inout NearestList
    ) {
        for userID in users {
            guard let point: GeographicPoint = self.points[userID] else { continue }
            let distance: Double = centre.distance(to: point)
            if distance <= radius {
                nearest.insert(Neighbour(userID: userID, point: point, distanceKilometres: distance))
            }
        }
    }

    private mutating func leave(_ cell: Int, _ userID: String) {
        self.cells[cell]?.remove(userID)
        if self.cells[cell]?.isEmpty == true { self.cells[cell] = nil }
    }

    private static func cell(of point: GeographicPoint) -> Int {
        self.row(point.latitude) * self.columns + self.column(point.longitude) % self.columns
    }

    /// The north pole belongs to the last row.
    fileprivate static func row(_ latitude: Double) -> Int {
        min(Int(((latitude + 90) * self.cellsPerDegree).rounded(.down)), self.rows - 1)
    }

    /// Counted from 180° west; 180° east gives 3600, which is column 0 again.
    fileprivate static func column(_ longitude: Double) -> Int {
        Int(((longitude + 180) * self.cellsPerDegree).rounded(.down))
    }

    /// The cells an area touches: rows, and columns that may run across the 180th meridian.
    private struct CellBlock {
        let rows: ClosedRange<Int>
        let firstColumn: Int
        let columnCount: Int

        init(_ area: SearchArea) {
            self.rows = SpatialIndex.row(area.latitudes.lowerBound)...SpatialIndex.row(area.latitudes.upperBound)
            let first: Int = SpatialIndex.column(area.west)
            let last: Int = SpatialIndex.column(area.west + area.width)
            self.columnCount = min(last - first + 1, SpatialIndex.columns)
            self.firstColumn = (first % SpatialIndex.columns + SpatialIndex.columns) % SpatialIndex.columns
        }

        var count: Int { self.rows.count * self.columnCount }

        func contains(_ cell: Int) -> Bool {
            let offset: Int = cell % SpatialIndex.columns - self.firstColumn
            return self.rows.contains(cell / SpatialIndex.columns)
                && (offset + SpatialIndex.columns) % SpatialIndex.columns < self.columnCount
        }

        func forEach(_ body: (Int) -> Void) {
            for row in self.rows {
                for step in 0..<self.columnCount {
                    body(row * SpatialIndex.columns + (self.firstColumn + step) % SpatialIndex.columns)
                }
            }
        }
    }
}

/// The nearest so far, in order, never more than `limit`.
struct NearestList {
    private let limit: Int
    private(set) var items: [SpatialIndex.Neighbour] = []

    init(limit: Int) { self.limit = limit }

    mutating func insert(_ neighbour: SpatialIndex.Neighbour) {
        if self.items.count == self.limit {
            guard let last: SpatialIndex.Neighbour = self.items.last, SpatialIndex.Neighbour.precedes(neighbour, last)
            else {
                return
            }
            self.items.removeLast()
        }
        var low: Int = 0
        var high: Int = self.items.count
        while low < high {
            let middle: Int = (low + high) / 2
            if SpatialIndex.Neighbour.precedes(self.items[middle], neighbour) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        self.items.insert(neighbour, at: low)
    }
}
