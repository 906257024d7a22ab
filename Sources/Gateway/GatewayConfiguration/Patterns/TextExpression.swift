package import Patterns

/// A regular expression of a document, compiled when it is read; it has to match the whole of a text.
///
/// PCRE2's language. Two are equal when they are written the same.
package struct TextExpression: Sendable, Hashable {
    package let expression: RegularExpression

    /// Characters of an expression at most.
    package static let lengthMax: Int = 1024

    /// Reads an expression; the error says what was expected.
    package init(parsing text: String, scope: PatternScope = .whole) throws(PatternError) {
        guard !text.isEmpty, text.utf8.count <= Self.lengthMax else {
            throw PatternError("expected a regular expression of 1 to \(Self.lengthMax) bytes")
        }
        do throws(PatternSyntaxError) {
            self.expression = try RegularExpression(text, scope: scope)
        } catch {
            throw PatternError("expected a regular expression: \(error)")
        }
    }

    package var source: String { self.expression.source }

    package static func == (left: TextExpression, right: TextExpression) -> Bool { left.source == right.source }

    package func hash(into hasher: inout Hasher) { self.source.hash(into: &hasher) }
}
