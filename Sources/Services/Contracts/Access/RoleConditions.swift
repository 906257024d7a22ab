/// Where a custom role holds. What a request is about must be known and be among what is listed; an empty list limits nothing.
package struct RoleConditions: Sendable, Hashable {
    /// Environments; a request that is about none is not covered.
    package let environments: [String]
    /// Labels of the API, all of which it must have; a request that is about no API is not covered.
    package let labels: [LabelCondition]

    package init(environments: [String] = [], labels: [LabelCondition] = []) {
        self.environments = environments
        self.labels = labels
    }

    package var isEmpty: Bool { self.environments.isEmpty && self.labels.isEmpty }

    /// Why the role does not hold there, as the rest of a sentence; nil when it does.
    ///
    /// - Parameter labels: those of the API; nil where there is none, or it is not known.
    package func refusal(environment: String?, labels: APILabels?) -> String? {
        self.refusal(environment: environment) ?? self.refusal(labels: labels)
    }

    func refusal(environment: String?) -> String? {
        if self.environments.isEmpty { return nil }
        let list: String = self.environments.joined(separator: ", ")
        guard let environment: String else { return "only in the environments \(list), and the request names none" }
        return self.environments.contains(environment) ? nil : "only in the environments \(list)"
    }

    func refusal(labels: APILabels?) -> String? {
        if self.labels.isEmpty { return nil }
        guard let labels: APILabels else { return "only \(self.labelsText), and the request is about no one API" }
        guard let missed: LabelCondition = self.labels.first(where: { !$0.holds(for: labels) }) else { return nil }
        let found: String = labels[missed.key] == nil ? "no label '\(missed.key)'" : "another '\(missed.key)'"
        return "only \(self.labelsText), and this one has \(found)"
    }

    /// For which APIs, as a part of a sentence.
    var labelsText: String {
        "for APIs with \(self.labels.map(\.description).joined(separator: " and "))"
    }
}

/// A label that an API must have, with one of some values.
package struct LabelCondition: Sendable, Hashable, CustomStringConvertible {
    package let key: String
    package let values: [String]

    package init(key: String, values: [String]) {
        self.key = key
        self.values = values
    }

    package func holds(for labels: APILabels) -> Bool {
        guard let value: String = labels[self.key] else { return false }
        return self.values.contains(value)
    }

    package var description: String {
        self.values.count == 1
            ? "\(self.key)=\(self.values[0])" : "\(self.key) in (\(self.values.joined(separator: ", ")))"
    }
}
