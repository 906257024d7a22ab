import Documents
import GatewayConfiguration
import JSON

/// Reads entries as a gateway does.
enum GatewayReader {
    /// What a gateway finds wrong with an entry of `plans`.
    static func problems(plan: JSONValue) -> [String] {
        var document: HashedDocument = HashedDocument()
        do throws(InvalidDocument) {
            try document.put(.plan, json: plan)
            return []
        } catch {
            return error.problems.map { "\($0.pointer): \($0.message)" }
        }
    }

    /// What a gateway finds wrong with a revision's configuration.
    static func problems(gateway: JSONValue?) -> [String] {
        var entry: JSONObject = gateway?.object ?? [:]
        entry["id"] = "api_1.dev"
        entry["tenant"] = "acme"
        return APIDefinition.problems(json: .object(entry)).map { "\($0.pointer): \($0.message)" }
    }
}
