import Contracts
import JSON
import REST

/// Labels as bodies and queries name them.
enum LabelsField {
    /// All labels of an API that is made.
    static let schema: JSONValue = schema(of: ["string"])
    /// Labels that are set; those that are null are taken away, and what is not named stays.
    static let changeSchema: JSONValue = schema(of: ["string", "null"])

    private static func schema(of types: JSONValue) -> JSONValue {
        .object([
            "type": "object",
            "additionalProperties": .object(["type": types, "maxLength": .int(Int64(APILabels.lengthMax))]),
            // Beyond what an API has: some may go with the same change.
            "maxProperties": .int(Int64(2 * APILabels.countMax)),
        ])
    }

    static let selector: QueryParameter = QueryParameter(
        "labels", .text(lengthMax: LabelSelector.bytesMax),
        "Only those with all of these labels: KEY=VALUE, parted by commas.")

    /// The labels that follow from `old` by what a body says.
    static func labels(_ value: JSONValue?, changing old: APILabels = APILabels()) throws(APIProblem) -> APILabels {
        var changes: [String: String?] = [:]
        var errors: [InvalidField] = []
        for member in value?.object?.members ?? [] {
            let place: String = JSONPointer(tokens: ["labels", member.key]).text
            if let problem: String = APILabels.problem(key: member.key) {
                errors.append(InvalidField(place, problem))
            } else if let problem: String = APILabels.problem(value: member.value.text ?? "") {
                errors.append(InvalidField(place, problem))
            }
            changes.updateValue(member.value.text, forKey: member.key)
        }
        guard errors.isEmpty else { throw APIProblem(.invalidRequest, "The labels are not valid.", errors: errors) }
        let labels: APILabels = old.merging(changes)
        guard labels.count <= APILabels.countMax else {
            throw APIProblem.invalid("/labels", "expected at most \(APILabels.countMax) labels of an API")
        }
        return labels
    }

    /// What a list is limited to; nil: nothing.
    static func selector(_ context: RequestContext) throws(APIProblem) -> LabelSelector? {
        guard let text: String = context.query["labels"] else { return nil }
        guard let selector: LabelSelector = LabelSelector(text) else {
            throw APIProblem.invalid("query:labels", LabelSelector.expected)
        }
        return selector
    }
}
