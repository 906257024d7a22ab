import Documents
import JSON

/// Statuses of responses, written one by one or as classes: `[200, 204, 5xx]`.
package struct StatusSet: Sendable, Equatable {
    /// As written, each from 100 to 599.
    package let ranges: [ClosedRange<Int>]

    package init(_ ranges: [ClosedRange<Int>]) {
        self.ranges = ranges
    }

    package static let countMax: Int = 32

    package var isEmpty: Bool { self.ranges.isEmpty }

    package func contains(_ status: Int) -> Bool {
        for range in self.ranges where range.contains(status) { return true }
        return false
    }

    static func read(_ decoder: NodeDecoder) -> StatusSet? {
        decoder.list(count: 0...self.countMax) { self.element($0) }.map { StatusSet($0) }
    }

    private static func element(_ decoder: NodeDecoder) -> ClosedRange<Int>? {
        if case .int(let status) = decoder.node.kind, (100...599).contains(status) {
            return Int(status)...Int(status)
        }
        if let range: ClosedRange<Int> = self.range(decoder.node.text ?? "") { return range }
        decoder.problem("expected a status from 100 to 599, or a class such as 5xx")
        return nil
    }

    /// A class, 1xx to 5xx.
    static func range(_ text: String) -> ClosedRange<Int>? {
        let bytes: [UInt8] = Array(text.utf8)
        guard bytes.count == 3, bytes[1] == UInt8(ascii: "x"), bytes[2] == UInt8(ascii: "x"),
            (UInt8(ascii: "1")...UInt8(ascii: "5")).contains(bytes[0])
        else { return nil }
        let first: Int = Int(bytes[0] - UInt8(ascii: "0")) * 100
        return first...(first + 99)
    }

    var elements: [JSONValue] {
        self.ranges.map { (range: ClosedRange<Int>) -> JSONValue in
            range.count == 1 ? .int(Int64(range.lowerBound)) : .string("\(range.lowerBound / 100)xx")
        }
    }
}
