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
    private let time: SteadyTime
    private let upSince: Int64
    private var running: [String: Deployment] = [:]
    /// Since when each of them is waited for here, in `time`.
    private var since: [String: Int64] = [:]
    private let followers: Followers
    private let stages: DeploymentStages
    private var isJudging: Bool = false
    private var mustJudgeAgain: Bool = false
    /// Grows with every change of any deployment: followers wait on it.
    private(set) var changes: Int64 = 0

    init(services: ServiceEnvironment, directory: GatewayDirectory, time: SteadyTime) {
        self.services = services
        self.directory = directory
        self.time = time
        self.upSince = time.milliseconds
        self.followers = Followers(clock: services.clock)
        self.stages = DeploymentStages(services.metrics)
    }

    /// Looks for running deployments again: called after each publication and at start.
    func refresh() async throws {
        let rows: [Deployment] = try await self.services.store.read { try DeploymentTable.running(in: $0) }
        let now: Int64 = self.time.milliseconds
        for row in rows where self.running[row.id] == nil {
            self.running[row.id] = row
            self.since[row.id] = now
        }
        self.noteChange()
        await self.judge()
    }

    /// Whether deployments wait for the gateways of a group.
    func isWaiting(forGroup group: String) -> Bool {
        for deployment in self.running.values where deployment.gatewayGroup == group { return true }
        return false
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
            await self.judgeOnce()
        } while self.mustJudgeAgain
        self.isJudging = false
    }

    private struct Ending: Sendable {
        let deployment: Deployment
        let state: Deployment.State
        let response: CompletionRules.Response
        let detail: String?
    }

    /// All by the same knowledge of the gateways; what ends is written at once, so that one sync of the disk serves all.
    private func judgeOnce() async {
        var endings: [Ending] = []
        let gateways: [GatewayStatus] = self.directory.gateways()
        for deployment in self.running.values {
            let verdict: CompletionRules.Verdict = self.verdict(on: deployment, gateways: gateways)
            switch verdict {
            case .wait: break
            case .succeed(let response):
                endings.append(Ending(deployment: deployment, state: .success, response: response, detail: nil))
            case .fail(let response, let reason):
                endings.append(Ending(deployment: deployment, state: .failed, response: response, detail: reason))
            }
        }
        if endings.isEmpty { return }
        for id in await self.write(endings) {
            self.running[id] = nil
            self.since[id] = nil
        }
        self.noteChange()
    }

    private func verdict(on deployment: Deployment, gateways: [GatewayStatus]) -> CompletionRules.Verdict {
        let group: String = deployment.gatewayGroup
        let refusal: String? = self.directory.refusal(
            group: group, entry: deployment.entry, revision: deployment.revision)
        // What is taken away cannot be in anybody's way.
        let isUndeploy: Bool = deployment.action == .undeploy
        return CompletionRules.decide(
            version: deployment.gatewayVersion ?? 0, entry: isUndeploy ? nil : deployment.entry,
            refusal: isUndeploy ? nil : refusal, startedAt: self.since[deployment.id] ?? 0,
            gateways: gateways.filter { $0.group == group }, now: self.time.milliseconds,
            upSince: self.upSince)
    }

    /// - Returns: the deployments whose end is written. What could not be written is judged again at the next tick.
    private func write(_ endings: [Ending]) async -> [String] {
        let (services, stages): (ServiceEnvironment, DeploymentStages) = (self.services, self.stages)
        return await withTaskGroup(of: String?.self) { group in
            for ending in endings {
                group.addTask {
                    do {
                        let ended: Deployment? = try await services.store.write { transaction in
                            try DeploymentEnd.write(
                                ending.deployment, ending.state, ending.response, detail: ending.detail,
                                in: transaction)
                        }
                        if let ended: Deployment { stages.tell(ended) }
                        return ending.deployment.id
                    } catch {
                        services.logger.log(
                            .warning, "the end of a deployment could not be written",
                            ["deployment": .string(ending.deployment.id), "error": .string("\(error)")])
                        return nil
                    }
                }
            }
            var written: [String] = []
            for await id in group { if let id: String { written.append(id) } }
            return written
        }
    }

    // MARK: Followers

    private func noteChange() {
        self.changes += 1
        self.followers.wakeAll()
    }

    /// Returns when something changed after `seen`, or after `limit`; and with what is then the number of changes.
    func waitForChange(after seen: Int64, atMost limit: Duration) async -> Int64 {
        if self.changes <= seen { await self.followers.wait(atMost: limit) }
        return self.changes
    }
}
