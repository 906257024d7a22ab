/// Why a text is not the pattern it should be: a sentence that says what was expected.
package struct PatternError: Error, Sendable, Equatable {
    package let message: String

    package init(_ message: String) {
        self.message = message
    }
}
