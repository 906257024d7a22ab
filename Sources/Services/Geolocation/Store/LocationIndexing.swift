import REST
import Store
import Synchronization

/// Fills the spatial index from the store: begun at start, awaited by the first search, tried again when it failed.
///
/// So a million stored locations do not hold up the start.
final class LocationIndexing: Sendable {
    private let services: ServiceEnvironment
    private let shards: LocationShards
    private let running: Mutex<Task<Void, any Error>?> = Mutex(nil)

    init(services: ServiceEnvironment, shards: LocationShards) {
        self.services = services
        self.shards = shards
    }

    /// Begins, unless it has begun.
    func begin() { _ = self.task() }

    /// Returns when every stored location is in the index. What comes meanwhile enters it by itself.
    func finished() async throws {
        let task: Task<Void, any Error> = self.task()
        do {
            try await task.value
        } catch {
            self.running.withLock { running in if running == task { running = nil } }
            throw error
        }
    }

    /// Ends it; returns when nothing of it runs any more.
    func stop() async {
        let task: Task<Void, any Error>? = self.running.withLock { $0 }
        task?.cancel()
        _ = await task?.result
    }

    private func task() -> Task<Void, any Error> {
        self.running.withLock { running in
            if let running: Task<Void, any Error> { return running }
            let task: Task<Void, any Error> = Task { try await self.fill() }
            running = task
            return task
        }
    }

    private func fill() async throws {
        var after: String = ""
        while true {
            try Task.checkCancellation()
            let from: String = after
            let page: [UserLocation] = try await self.services.store.read {
                try LocationTable.all(after: from, limit: LocationTable.pageRows, in: $0)
            }
            for location in page { self.shards.index(location) }
            guard page.count == LocationTable.pageRows, let last: UserLocation = page.last else { return }
            after = last.userID
        }
    }
}
