import Contracts
import JSON

/// What a live revision looks like in a snapshot.
enum SnapshotEntry {
    /// The entry's id: an API may be live in several environments of one gateway group.
    static func id(apiID: String, environment: String) -> String { "\(apiID).\(environment)" }

    /// An entry of the gateway document's `apis`. `product` is what subscriptions name: the API, wherever it runs.
    static func json(
        api: APIRecord, revision: RevisionRecord, environment: EnvironmentRecord
    ) -> JSONValue {
        var entry: JSONObject = revision.gateway.object ?? [:]
        entry["id"] = .string(Self.id(apiID: api.id, environment: environment.name))
        entry["product"] = .string(api.id)
        entry["tenant"] = .string(api.tenant)
        entry["name"] = .string(api.name)
        entry["revision"] = .int(revision.revision)
        if !environment.hosts.isEmpty { entry["hosts"] = .array(environment.hosts.map { JSONValue.string($0) }) }
        return .object(entry)
    }
}
