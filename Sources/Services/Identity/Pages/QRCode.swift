/// A text as a QR code (ISO/IEC 18004): bytes, error correction level M, versions 1 to 20, which hold 1 to 666 bytes.
///
/// Made anew for each picture: about a millisecond.
struct QRCode: Sendable {
    /// Modules of one side.
    let side: Int
    /// Row by row; true is dark.
    private var modules: [Bool]
    /// Modules that no data go into.
    private var isTaken: [Bool]

    /// The mask that was chosen, 0 to 7.
    private(set) var mask: Int = 0

    /// - Returns: nil when the text is too long.
    init?(_ text: String) {
        let bytes: [UInt8] = Array(text.utf8)
        guard let version: QRVersion = QRVersion.smallest(for: bytes.count) else { return nil }
        self.side = version.side
        self.modules = [Bool](repeating: false, count: version.side * version.side)
        self.isTaken = self.modules
        self.drawPatterns(version)
        self.draw(version.codewords(of: bytes))
        self.applyBestMask(version)
    }

    subscript(row: Int, column: Int) -> Bool { self.modules[row * self.side + column] }

    /// The picture, with the quiet zone of four modules that readers need. Black on white whatever the page looks like.
    func svg(label: String) -> String {
        let size: Int = self.side + 8
        var path: String = ""
        for row in 0..<self.side {
            var column: Int = 0
            while column < self.side {
                guard self[row, column] else {
                    column += 1
                    continue
                }
                let start: Int = column
                while column < self.side, self[row, column] { column += 1 }
                path += "M\(start + 4) \(row + 4)h\(column - start)v1h-\(column - start)z"
            }
        }
        return """
            <svg class="qr" role="img" aria-label="\(HTMLPage.escape(label))" xmlns="http://www.w3.org/2000/svg" \
            viewBox="0 0 \(size) \(size)" width="220" height="220" shape-rendering="crispEdges">\
            <path fill="#fff" d="M0 0h\(size)v\(size)h-\(size)z"/><path fill="#000" d="\(path)"/></svg>
            """
    }

    // MARK: Patterns

    private mutating func set(_ row: Int, _ column: Int, _ isDark: Bool) {
        self.modules[row * self.side + column] = isDark
        self.isTaken[row * self.side + column] = true
    }

    private mutating func drawPatterns(_ version: QRVersion) {
        for index in 0..<self.side {
            self.set(6, index, index % 2 == 0)
            self.set(index, 6, index % 2 == 0)
        }
        for (row, column) in [(3, 3), (3, self.side - 4), (self.side - 4, 3)] { self.drawFinder(row, column) }
        let centres: [Int] = version.alignmentCentres
        for row in centres {
            for column in centres where !self.isCorner(row, column, last: centres.last ?? 0) {
                self.drawAlignment(row, column)
            }
        }
        self.drawFormat(mask: 0)
        self.drawVersion(version)
    }

    private func isCorner(_ row: Int, _ column: Int, last: Int) -> Bool {
        (row == 6 && column == 6) || (row == 6 && column == last) || (row == last && column == 6)
    }

    private mutating func drawFinder(_ row: Int, _ column: Int) {
        for down in -4...4 {
            for right in -4...4 {
                let (y, x): (Int, Int) = (row + down, column + right)
                guard y >= 0, y < self.side, x >= 0, x < self.side else { continue }
                let distance: Int = max(abs(down), abs(right))
                self.set(y, x, distance != 2 && distance != 4)
            }
        }
    }

    private mutating func drawAlignment(_ row: Int, _ column: Int) {
        for down in -2...2 {
            for right in -2...2 { self.set(row + down, column + right, max(abs(down), abs(right)) != 1) }
        }
    }

    /// The mask and the level, twice (section 7.9).
    private mutating func drawFormat(mask: Int) {
        // Level M is 00.
        let bits: Int = (mask << 10 | Self.remainder(mask, 10, 0x537)) ^ 0x5412
        func bit(_ index: Int) -> Bool { bits >> index & 1 == 1 }
        for index in 0..<6 { self.set(index, 8, bit(index)) }
        self.set(7, 8, bit(6))
        self.set(8, 8, bit(7))
        self.set(8, 7, bit(8))
        for index in 9..<15 { self.set(8, 14 - index, bit(index)) }
        for index in 0..<8 { self.set(8, self.side - 1 - index, bit(index)) }
        for index in 8..<15 { self.set(self.side - 15 + index, 8, bit(index)) }
        self.set(self.side - 8, 8, true)
    }

    /// From version 7 on, its number, twice (section 7.10).
    private mutating func drawVersion(_ version: QRVersion) {
        guard version.number >= 7 else { return }
        let bits: Int = version.number << 12 | Self.remainder(version.number, 12, 0x1F25)
        for index in 0..<18 {
            let isDark: Bool = bits >> index & 1 == 1
            self.set(self.side - 11 + index % 3, index / 3, isDark)
            self.set(index / 3, self.side - 11 + index % 3, isDark)
        }
    }

    /// What is left of `value`, moved up by `degree`, after division by a polynomial of that degree over two elements.
    private static func remainder(_ value: Int, _ degree: Int, _ polynomial: Int) -> Int {
        var rest: Int = value
        for _ in 0..<degree { rest = rest << 1 ^ (rest >> (degree - 1) & 1) * polynomial }
        return rest
    }

    // MARK: Data

    /// In pairs of columns from the right, up and down in turn, around the column of the timing pattern (section 7.7.3).
    private mutating func draw(_ codewords: [UInt8]) {
        var index: Int = 0
        var right: Int = self.side - 1
        while right > 0 {
            if right == 6 { right = 5 }
            let goesUp: Bool = (right + 1) & 2 == 0
            for step in 0..<self.side {
                let row: Int = goesUp ? self.side - 1 - step : step
                for column in [right, right - 1] where !self.isTaken[row * self.side + column] {
                    guard index < codewords.count * 8 else { continue }
                    self.modules[row * self.side + column] = codewords[index / 8] >> UInt8(7 - index % 8) & 1 == 1
                    index += 1
                }
            }
            right -= 2
        }
    }

    // MARK: Masks

    private mutating func applyBestMask(_ version: QRVersion) {
        var best: (mask: Int, penalty: Int) = (0, .max)
        for mask in 0..<8 {
            var candidate: QRCode = self
            candidate.apply(mask)
            let penalty: Int = candidate.penalty
            if penalty < best.penalty { best = (mask, penalty) }
        }
        self.apply(best.mask)
    }

    private mutating func apply(_ mask: Int) {
        self.mask = mask
        for row in 0..<self.side {
            for column in 0..<self.side where !self.isTaken[row * self.side + column] {
                if Self.isInverted(mask, row, column) { self.modules[row * self.side + column].toggle() }
            }
        }
        self.drawFormat(mask: mask)
    }

    private static func isInverted(_ mask: Int, _ row: Int, _ column: Int) -> Bool {
        switch mask {
        case 0: (row + column) % 2 == 0
        case 1: row % 2 == 0
        case 2: column % 3 == 0
        case 3: (row + column) % 3 == 0
        case 4: (row / 2 + column / 3) % 2 == 0
        case 5: row * column % 2 + row * column % 3 == 0
        case 6: (row * column % 2 + row * column % 3) % 2 == 0
        default: ((row + column) % 2 + row * column % 3) % 2 == 0
        }
    }

    /// How badly readers would like it (section 7.8.3).
    private var penalty: Int {
        var penalty: Int = 0
        for index in 0..<self.side {
            penalty += Self.penalty(of: (0..<self.side).map { self[index, $0] })
            penalty += Self.penalty(of: (0..<self.side).map { self[$0, index] })
        }
        for row in 0..<self.side - 1 {
            for column in 0..<self.side - 1 {
                let first: Bool = self[row, column]
                if self[row, column + 1] == first, self[row + 1, column] == first, self[row + 1, column + 1] == first {
                    penalty += 3
                }
            }
        }
        let dark: Int = self.modules.count { $0 }
        return penalty + abs(dark * 20 - self.modules.count * 10) / self.modules.count * 10
    }

    /// Of one line: long runs, and what looks like a corner.
    private static func penalty(of line: [Bool]) -> Int {
        var penalty: Int = 0
        var run: Int = 1
        for index in 1...line.count {
            if index < line.count, line[index] == line[index - 1] {
                run += 1
                continue
            }
            if run >= 5 { penalty += run - 2 }
            run = 1
        }
        let corner: [Bool] = [true, false, true, true, true, false, true]
        let light: [Bool] = [false, false, false, false]
        for start in 0..<max(0, line.count - 10) {
            let part: [Bool] = Array(line[start..<start + 11])
            if part == corner + light || part == light + corner { penalty += 40 }
        }
        return penalty
    }
}
