import Documents
import GatewayConfiguration
import JSON

/// Reads entries as a gateway does.
enum GatewayReader {
    /// What a gateway finds wrong with an entry of `applications`.
    static func problems(application: JSONValue) -> [String] {
        var document: HashedDocument = HashedDocument()
        do throws(InvalidDocument) {
            try document.put(.application, json: application)
            return []
        } catch {
            return error.problems.map { "\($0.pointer): \($0.message)" }
        }
    }
}
