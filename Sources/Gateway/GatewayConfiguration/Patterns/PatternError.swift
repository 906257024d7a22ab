/// Why a text is not the pattern it should be: a sentence that says what was expected.
package struct PatternError: Error, Sendable, Equatable {
    package let message: String

    package init(_ message: String) {
        self.message = message
    }

    /// For forms the documentation has and this version has not.
    package static func notSupportedYet(_ what: String) -> PatternError {
        PatternError("\(what) is not supported yet in this version")
    }
}
