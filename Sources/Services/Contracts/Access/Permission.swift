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

    /// Reads a pattern: three words of lower-case letters and hyphens, or `*` in place of one. Nil for anything else.
    package init?(pattern text: String) {
        guard let permission: Permission = Permission(parsing: text) else { return nil }
        for word in [permission.service, permission.resource, permission.action] where word != "*" {
            let isWord: Bool = word.utf8.allSatisfy { ($0 >= 97 && $0 <= 122) || $0 == UInt8(ascii: "-") }
            guard isWord else { return nil }
        }
        self = permission
    }

    /// What a pattern looks like, for messages.
    package static let patternExpected: String =
        "expected service:resource:action of lower-case words, each of which may be *, for example catalog:api:read"

    package var description: String { "\(self.service):\(self.resource):\(self.action)" }

    /// What permissions are for that are always about one API: conditions by its labels are for these alone. A route that needs one of
    /// them says what it does about labels (`Route.Labels`).
    private static let ofAPIs: [(service: String, resource: String)] = [
        ("catalog", "api"), ("deployments", "deployment"), ("portal", "subscription"), ("observability", "traffic"),
    ]

    /// What a pattern looks like that may have conditions by label, for messages.
    package static let ofAPIsExpected: String =
        "expected \(ofAPIs.map { "\($0.service):\($0.resource):…" }.joined(separator: ", ")): only these can have conditions by label"

    /// Whether everything that this pattern covers is about an API.
    package var isOfAPIs: Bool {
        Self.ofAPIs.contains { $0.service == self.service && $0.resource == self.resource }
    }

    /// Whether this pattern covers something that is about an API.
    var concernsAPIs: Bool {
        Self.ofAPIs.contains {
            (self.service == "*" || $0.service == self.service)
                && (self.resource == "*" || $0.resource == self.resource)
        }
    }

    /// Whether this pattern covers `wanted`.
    package func covers(_ wanted: Permission) -> Bool {
        func word(_ pattern: String, _ value: String) -> Bool { pattern == "*" || pattern == value }
        return word(self.service, wanted.service) && word(self.resource, wanted.resource)
            && word(self.action, wanted.action)
    }
}
