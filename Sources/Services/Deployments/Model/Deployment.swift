import JSON
import Store
import Time

/// A revision being put on an environment's target, or taken off it.
struct Deployment: Sendable {
    enum Action: String, Sendable {
        case deploy
        case undeploy
        case rollback
    }

    /// pending → running → success | failed, or pending → failed when the API is gone. Nothing else.
    enum State: String, Sendable {
        /// Recorded; the deployer has not taken it up.
        case pending
        /// In a snapshot; gateways have not all confirmed it.
        case running
        case success
        /// Not confirmed, refused by a gateway, or a later deployment took its place before.
        case failed

        var isFinal: Bool { self == .success || self == .failed }
    }

    let tenant: String
    let id: String
    let apiID: String
    let apiName: String
    let revision: Int64
    let environment: String
    let action: Action
    var state: State
    let requestedBy: String
    let triggeredBy: String
    let traceparent: String
    let gatewayGroup: String
    /// Version of the first snapshot that contains it.
    var gatewayVersion: Int64?
    /// What ran before; nil when nothing did.
    var previousRevision: Int64?
    /// The deployment that had put it there.
    var previousDeployment: String?
    let createdAt: Timestamp
    var startedAt: Timestamp?
    var finishedAt: Timestamp?
    /// `detail` and `gateway_response` of a finished deployment.
    var result: JSONObject?

    /// Its snapshot entry, as gateways name it.
    var entry: String {
        "\(self.tenant)/\(SnapshotEntry.id(apiID: self.apiID, environment: self.environment))"
    }

    var json: JSONValue {
        var object: JSONObject = [
            "id": .string(self.id), "tenant": .string(self.tenant), "api": .string(self.apiName),
            "api_id": .string(self.apiID), "environment": .string(self.environment), "revision": .int(self.revision),
            "action": .string(self.action.rawValue), "state": .string(self.state.rawValue),
            "requested_by": .string(self.requestedBy), "triggered_by": .string(self.triggeredBy),
            "created_at": .string(self.createdAt.rfc3339),
        ]
        if let previous: Int64 = self.previousRevision { object["previous_revision"] = .int(previous) }
        if let time: Timestamp = self.startedAt { object["started_at"] = .string(time.rfc3339) }
        if let time: Timestamp = self.finishedAt {
            object["finished_at"] = .string(time.rfc3339)
            object["duration_ms"] = .int(time.milliseconds - self.createdAt.milliseconds)
        }
        for member in (self.result ?? [:]).members { object[member.key] = member.value }
        return .object(object)
    }

    static let columns: String =
        """
        tenant, deployment_id, api_id, api_name, revision, environment, action, state, requested_by, triggered_by,
        traceparent, gateway_group, gateway_version, previous_revision, previous_deployment, created_at, started_at,
        finished_at, result
        """
}

extension Deployment {
    init(_ row: Row) throws(StoreError) {
        self.init(
            tenant: try row.text(0), id: try row.text(1), apiID: try row.text(2), apiName: try row.text(3),
            revision: try row.int(4), environment: try row.text(5),
            action: Action(rawValue: try row.text(6)) ?? .deploy,
            state: State(rawValue: try row.text(7)) ?? .failed, requestedBy: try row.text(8),
            triggeredBy: try row.text(9), traceparent: try row.text(10), gatewayGroup: try row.text(11),
            gatewayVersion: try row.optionalInt(12), previousRevision: try row.optionalInt(13),
            previousDeployment: try row.optionalText(14), createdAt: Timestamp(milliseconds: try row.int(15)),
            startedAt: try row.optionalInt(16).map { Timestamp(milliseconds: $0) },
            finishedAt: try row.optionalInt(17).map { Timestamp(milliseconds: $0) },
            result: try row.optionalText(18).flatMap { (try? JSONReader.parse($0))?.object })
    }
}
