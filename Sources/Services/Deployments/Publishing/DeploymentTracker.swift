import Contracts
import EventLog
import Identifiers
import JSON
import REST
import Store
import Telemetry
import Time

/// Follows running deployments until the gateways have confirmed or refused them, and writes the end.
///
/// State is in memory and rebuilt from the `running` rows at start: a crash costs nothing but time.
actor DeploymentTracker {
    /// How often running deployments are judged when nothing is heard: time-outs and gateways that go away.
    static let tick: Duration = .milliseconds(500)

    private let services: ServiceEnvironment
    private let directory: GatewayDirectory
    private let upSince: Int64
    private var running: [String: Deployment] = [:]
    private var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    private var waiterCount: UInt64 = 0
    private var isJudging: Bool = false
    private var mustJudgeAgain: Bool = false
    /// Grows with every change of any deployment: followers wait on it.
    private(set) var changes: Int64 = 0

    init(services: ServiceEnvironment, directory: GatewayDirectory) {
        self.services = services
        self.directory = directory
        self.upSince = services.clock.now().milliseconds
    }

    /// Looks for running deployments again: called after each publication and at start.
    func refresh() async throws {
        let rows: [Deployment] = try await self.services.store.read { try DeploymentTable.running(in: $0) }
        for row in rows where self.running[row.id] == nil { self.running[row.id] = row }
        self.noteChange()
        await self.judge()
    }

    /// Judges every running deployment by what is known of the gateways now.
    func judge() async {
        if self.isJudging {
            self.mustJudgeAgain = true
            return
        }
        self.isJudging = true
        repeat {
            self.mustJudgeAgain = false
            for deployment in Array(self.running.values) { await self.judge(deployment) }
        } while self.mustJudgeAgain
        self.isJudging = false
    }

    private func judge(_ deployment: Deployment) async {
        let gateways: [GatewayStatus] = self.directory.gateways(inGroup: deployment.gatewayGroup)
        let entry: String =
            "\(deployment.tenant)/\(SnapshotEntry.id(apiID: deployment.apiID, environment: deployment.environment))"
        let verdict: CompletionRules.Verdict = CompletionRules.decide(
            version: deployment.gatewayVersion ?? 0, entry: entry,
            refusal: self.directory.refusal(group: deployment.gatewayGroup, entry: entry),
            startedAt: deployment.startedAt?.milliseconds ?? 0, gateways: gateways,
            now: self.services.clock.now().milliseconds, upSince: self.upSince)
        do {
            switch verdict {
            case .wait: return
            case .succeed(let response): try await self.finish(deployment, .success, response, detail: nil)
            case .fail(let response, let reason): try await self.finish(deployment, .failed, response, detail: reason)
            }
            self.running[deployment.id] = nil
            self.noteChange()
        } catch {
            // It stays in `running` and is judged again at the next tick: a store that cannot write loses nothing.
            self.services.logger.log(
                .warning, "the end of a deployment could not be written",
                ["deployment": .string(deployment.id), "error": .string("\(error)")])
        }
    }

    private func finish(
        _ deployment: Deployment, _ state: Deployment.State, _ response: CompletionRules.Response, detail: String?
    ) async throws {
        try await self.services.store.write { transaction in
            guard
                var row: Deployment = try DeploymentTable.find(
                    deployment.id, tenant: deployment.tenant, in: transaction),
                row.state == .running
            else { return }
            row.state = state
            row.finishedAt = transaction.now
            var result: JSONObject = ["gateway_response": response.json]
            if let detail: String { result["detail"] = .string(detail) }
            row.result = result
            if state == .failed { try Self.restore(row, in: transaction) }
            try DeploymentTable.update(row, in: transaction)
            let trace: TraceContext = TraceContext(traceparent: row.traceparent) ?? TraceContext.make()
            let author: Author = Author(caller: .platform("deployments"), trace: trace)
            try author.publish(
                Topics.deployResults, key: row.apiID, tenant: row.tenant, Self.event(row, response, trace: trace),
                in: transaction)
            try DeploymentsService.audit("deployment.\(state.rawValue)", row, author, in: transaction)
        }
    }

    /// What ran before a failed deployment is live again, unless a later deployment has taken the place meanwhile.
    private static func restore(_ deployment: Deployment, in transaction: Transaction) throws {
        let live: LiveTable.Place? = try LiveTable.find(
            apiID: deployment.apiID, tenant: deployment.tenant, environment: deployment.environment, in: transaction)
        guard deployment.action != .undeploy, let live: LiveTable.Place, live.deploymentID == deployment.id else {
            return
        }
        if let previous: Int64 = deployment.previousRevision {
            try LiveTable.put(
                LiveTable.Place(
                    tenant: live.tenant, apiID: live.apiID, environment: live.environment,
                    gatewayGroup: live.gatewayGroup, revision: previous, deploymentID: deployment.id), in: transaction)
        } else {
            try LiveTable.delete(
                apiID: live.apiID, tenant: live.tenant, environment: live.environment, in: transaction)
        }
        try GatewayChanges.touch(.api, tenant: live.tenant, id: live.apiID, in: transaction)
    }

    /// The payload of `deploy-results`.
    private static func event(
        _ deployment: Deployment, _ response: CompletionRules.Response, trace: TraceContext
    ) -> JSONObject {
        let isRollback: Bool = deployment.action == .rollback && deployment.state == .success
        let end: Int64 = deployment.finishedAt?.milliseconds ?? 0
        return [
            "trace_id": .string(trace.traceID), "deployment_id": .string(deployment.id),
            "api_id": .string(deployment.apiID), "tenant": .string(deployment.tenant),
            "environment": .string(deployment.environment),
            "status": .string(isRollback ? "rolled_back" : deployment.state.rawValue),
            "duration_ms": .int(end - deployment.createdAt.milliseconds), "gateway_response": response.json,
        ]
    }

    // MARK: Followers

    private func noteChange() {
        self.changes += 1
        let waiters: [CheckedContinuation<Void, Never>] = Array(self.waiters.values)
        self.waiters.removeAll()
        for waiter in waiters { waiter.resume() }
    }

    /// Returns when something changed after `seen`, or after `limit`; and with what is then the number of changes.
    func waitForChange(after seen: Int64, atMost limit: Duration) async -> Int64 {
        if self.changes > seen { return self.changes }
        self.waiterCount += 1
        let id: UInt64 = self.waiterCount
        let clock: any WallClock = self.services.clock
        let timer: Task<Void, Never> = Task {
            try? await clock.sleep(for: limit)
            self.release(id)
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { self.waiters[id] = $0 }
        } onCancel: {
            Task { await self.release(id) }
        }
        timer.cancel()
        return self.changes
    }

    private func release(_ id: UInt64) { self.waiters.removeValue(forKey: id)?.resume() }
}
