/// A header field or query parameter that decides whether a request takes a route.
package struct RouteCondition: Sendable, Hashable {
    /// What is asked of the value; of several values of one name, one has to meet it.
    package enum Test: Sendable, Hashable {
        /// Any value (`"*"` in a document).
        case present
        /// No value at all.
        case absent
        /// This value.
        case exact(String)
        /// A value that begins so.
        case prefix(String)
        /// A value that the expression matches as a whole.
        case regex(TextExpression)
    }

    /// Header names are lower case; query names are compared byte by byte as sent.
    package var name: String
    package var test: Test

    package init(name: String, test: Test) {
        self.name = name
        self.test = test
    }

    /// An exact value, or any for nil.
    package init(name: String, value: String?) {
        self.init(name: name, test: value.map { .exact($0) } ?? .present)
    }

    /// How ids and explanations write the test: `2`, `*`, `pre*`, `~ex.+`, `!`.
    package var testText: String {
        switch self.test {
        case .present: return "*"
        case .absent: return "!"
        case .exact(let value): return value
        case .prefix(let value): return value + "*"
        case .regex(let expression): return "~" + expression.source
        }
    }
}
