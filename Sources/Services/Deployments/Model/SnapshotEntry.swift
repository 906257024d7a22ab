import Contracts
import GatewayConfiguration
import JSON

/// What a live revision looks like in a snapshot.
enum SnapshotEntry {
    /// The entry's id: an API may be live in several environments of one gateway group.
    static func id(apiID: String, environment: String) -> String { "\(apiID).\(environment)" }

    /// What an entry is made from, but for the secrets it refers to: a revision never changes.
    struct Basis: Sendable, Equatable {
        let tenant: String
        let apiID: String
        let name: String
        let revision: Int64
        let environment: String
        let hosts: [String]

        init(_ api: APIRecord, revision: Int64, _ environment: EnvironmentRecord) {
            self.tenant = api.tenant
            self.apiID = api.id
            self.name = api.name
            self.revision = revision
            self.environment = environment.name
            self.hosts = environment.hosts
        }

        var key: EntryKey {
            EntryKey(tenant: self.tenant, id: SnapshotEntry.id(apiID: self.apiID, environment: self.environment))
        }

        /// An entry of the gateway document's `apis`. `product` is what subscriptions name: the API, wherever it runs.
        ///
        /// - Parameter gateway: what the revision says.
        func json(_ gateway: JSONValue) -> JSONValue {
            var entry: JSONObject = gateway.object ?? [:]
            entry["id"] = .string(self.key.id)
            entry["product"] = .string(self.apiID)
            entry["tenant"] = .string(self.tenant)
            entry["name"] = .string(self.name)
            entry["revision"] = .int(self.revision)
            if !self.hosts.isEmpty { entry["hosts"] = .array(self.hosts.map { JSONValue.string($0) }) }
            return .object(entry)
        }
    }
}
