import CLinux
import Glibc
import JSON

/// Where a command prints: results to standard output, progress and errors to standard error.
struct Console: Sendable {
    enum Format: String, Sendable {
        case table
        case json
    }

    let format: Format
    /// Whether standard error is a terminal: only then colours and moving progress.
    let isTerminal: Bool

    init(format: Format) {
        self.format = format
        self.isTerminal = isatty(2) == 1 && getenv("NO_COLOR") == nil
    }

    /// Text of others without what a terminal obeys: control characters, but for line feeds, are shown as `\\u{…}`.
    static func visible(_ text: String, lineFeeds: Bool = false) -> String {
        func isObeyed(_ scalar: Unicode.Scalar) -> Bool {
            let isBidirectional: Bool =
                (0x202A...0x202E).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
            return isBidirectional || (scalar.properties.generalCategory == .control && !(lineFeeds && scalar == "\n"))
        }
        guard text.unicodeScalars.contains(where: isObeyed) else { return text }
        var shown: String = ""
        for scalar in text.unicodeScalars {
            if isObeyed(scalar) {
                shown += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                shown.unicodeScalars.append(scalar)
            }
        }
        return shown
    }

    func print(_ text: String) { Self.write(text + "\n", to: 1) }

    func error(_ text: String) {
        let text: String = Self.visible(text, lineFeeds: true)
        Self.write((self.isTerminal ? "\u{1B}[31m\(text)\u{1B}[0m" : text) + "\n", to: 2)
    }

    /// Says how long work goes on: one line that is rewritten on a terminal, nothing elsewhere unless it is final.
    func progress(_ text: String, isFinal: Bool = false) {
        let text: String = Self.visible(text, lineFeeds: true)
        if self.isTerminal {
            Self.write("\r\u{1B}[2K\(text)\(isFinal ? "\n" : "")", to: 2)
        } else if isFinal {
            Self.write(text + "\n", to: 2)
        }
    }

    /// Prints one object: its members as lines, or as JSON.
    func show(_ value: JSONValue, members: [String]) {
        switch self.format {
        case .json: self.printJSON(value)
        case .table:
            var rows: [[String]] = []
            for name in members where value[name] != nil { rows.append([name, Self.text(value[name])]) }
            self.print(Table.render(header: nil, rows: rows))
        }
    }

    /// Prints a list: a table of these members, or JSON.
    func list(_ items: [JSONValue], columns: [String]) {
        switch self.format {
        case .json: self.printJSON(.array(items))
        case .table:
            var rows: [[String]] = []
            for item in items { rows.append(columns.map { Self.text(item[$0]) }) }
            self.print(Table.render(header: columns.map { $0.uppercased() }, rows: rows))
        }
    }

    func printJSON(_ value: JSONValue) { self.print(String(decoding: value.pretty(), as: UTF8.self)) }

    /// A cell: `a, b` for a list, `name=value name=value` for an object.
    private static func text(_ value: JSONValue?) -> String {
        switch value {
        case nil, .null: "-"
        case .string(let text): self.visible(text)
        case .bool(let flag): flag ? "yes" : "no"
        case .array(let elements):
            elements.isEmpty ? "-" : elements.map { self.text($0) }.joined(separator: ", ")
        case .object(let object):
            object.isEmpty
                ? "-"
                : object.members.map { "\(self.visible($0.key))=\(self.text($0.value))" }.joined(separator: " ")
        case .some(let other): other.jsonText
        }
    }

    private static func write(_ text: String, to descriptor: Int32) { Self.write(Array(text.utf8), to: descriptor) }

    static func write(_ bytes: [UInt8], to descriptor: Int32) {
        bytes.withUnsafeBytes { buffer in
            var at: Int = 0
            while at < buffer.count {
                let written: Int = Glibc.write(descriptor, buffer.baseAddress! + at, buffer.count - at)
                if written < 0 && errno == EINTR { continue }
                if written <= 0 { return }
                at += written
            }
        }
    }
}

/// Columns of text for people.
enum Table {
    static func padded(_ text: String, to width: Int) -> String {
        text.count >= width ? text : text + String(repeating: " ", count: width - text.count)
    }

    static func render(header: [String]?, rows: [[String]]) -> String {
        let all: [[String]] = (header.map { [$0] } ?? []) + rows
        var widths: [Int] = []
        for row in all {
            for (column, cell) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.count)
            }
        }
        var lines: [String] = []
        for row in all {
            var line: String = ""
            for (column, cell) in row.enumerated() {
                line += column == row.count - 1 ? cell : Self.padded(cell, to: widths[column]) + "  "
            }
            lines.append(line)
        }
        return lines.joined(separator: "\n")
    }
}
