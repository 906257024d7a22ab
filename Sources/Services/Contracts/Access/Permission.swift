/// What a caller may be allowed to do: `service:resource:action`, for example `catalog:api:write`.
///
/// Every route declares exactly one; roles hold patterns of them where `*` stands for any word.
package struct Permission: Sendable, Hashable, CustomStringConvertible {
    package let service: String
    package let resource: String
    package let action: String

    package init(_ service: String, _ resource: String, _ action: String) {
        self.service = service
        self.resource = resource
        self.action = action
    }

    /// Reads `service:resource:action`; nil when it does not have three non-empty words.
    package init?(parsing text: String) {
        let words: [Substring] = text.split(separator: ":", omittingEmptySubsequences: false)
        guard words.count == 3, !words.contains(where: { $0.isEmpty }) else { return nil }
        self.init(String(words[0]), String(words[1]), String(words[2]))
    }

    package var description: String { "\(self.service):\(self.resource):\(self.action)" }

    /// Whether this pattern covers `wanted`.
    package func covers(_ wanted: Permission) -> Bool {
        func word(_ pattern: String, _ value: String) -> Bool { pattern == "*" || pattern == value }
        return word(self.service, wanted.service) && word(self.resource, wanted.resource)
            && word(self.action, wanted.action)
    }
}
