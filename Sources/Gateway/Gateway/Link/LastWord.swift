/// What is left to tell when a task that tells things has been cancelled.
enum LastWord {
    /// How long it may take: a control plane that is away must not hold the end of the process.
    static let limit: Duration = .seconds(5)

    /// Does the work as if the task it is called from were not cancelled: calls of a cancelled task end before they begin.
    static func say(_ work: @escaping @Sendable () async -> Void) async {
        let saying: Task<Void, Never> = Task { await work() }
        let limiting: Task<Void, Never> = Task {
            if (try? await Task.sleep(for: Self.limit)) != nil { saying.cancel() }
        }
        await saying.value
        limiting.cancel()
    }
}
