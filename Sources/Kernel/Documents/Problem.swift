/// One finding about a document: where it is and what was expected there.
package struct Problem: Error, Sendable, Equatable {
    /// JSON pointer (RFC 6901); "" is the whole document.
    package let pointer: String
    /// 1-based.
    package let line: Int
    /// 1-based, in characters.
    package let column: Int
    package let message: String

    package init(pointer: String, line: Int, column: Int, message: String) {
        self.pointer = pointer
        self.line = line
        self.column = column
        self.message = message
    }

    package init(pointer: String, at position: SourcePosition, _ message: String) {
        self.init(pointer: pointer, line: position.line, column: position.column, message: message)
    }

    /// "file:line:column: pointer: message"; without file or pointer these parts are left out.
    package func text(file: String? = nil) -> String {
        var text: String = file.map { "\($0):" } ?? ""
        text += "\(self.line):\(self.column): "
        if !self.pointer.isEmpty { text += "\(self.pointer): " }
        return text + self.message
    }
}

extension Problem: CustomStringConvertible {
    package var description: String { self.text() }
}

/// Everything that is wrong with a document, in the order it was found.
package struct InvalidDocument: Error, Sendable, Equatable {
    /// At most `ProblemList.max`.
    package let problems: [Problem]
    /// How many more there were.
    package let omitted: Int

    package init(problems: [Problem], omitted: Int = 0) {
        self.problems = problems
        self.omitted = omitted
    }

    /// One problem a line.
    package func text(file: String? = nil) -> String {
        var lines: [String] = self.problems.map { $0.text(file: file) }
        if self.omitted > 0 { lines.append("and \(self.omitted) more") }
        return lines.joined(separator: "\n")
    }
}

extension InvalidDocument: CustomStringConvertible {
    package var description: String { self.text() }
}

/// Collects problems while a document is read. One thread at a time, as long as that takes.
package final class ProblemList {
    /// More than anybody fixes in one go; the rest is counted.
    package static let max: Int = 100

    package private(set) var problems: [Problem] = []
    package private(set) var omitted: Int = 0

    package init() {}

    package var isEmpty: Bool { self.problems.isEmpty }

    /// Whether further problems are only counted, so that making their messages is wasted work.
    package var isFull: Bool { self.problems.count >= Self.max }

    /// Counts a problem that there is no room for.
    package func omit() { self.omitted += 1 }

    /// Adds one, unless the same stands there already (what an alias stands for is read more than once).
    package func add(_ problem: Problem) {
        if self.isFull {
            self.omit()
        } else if !self.problems.contains(problem) {
            self.problems.append(problem)
        }
    }

    /// Throws when there is any.
    package func check() throws(InvalidDocument) {
        if !self.isEmpty { throw InvalidDocument(problems: self.problems, omitted: self.omitted) }
    }
}
