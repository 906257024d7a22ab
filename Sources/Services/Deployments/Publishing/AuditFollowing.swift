import Contracts
import EventLog
import JSON
import REST
import Telemetry
import Time

extension ServiceEnvironment {
    /// Longest wait for a wake-up before looking anyway.
    private static let lookAtLeastEvery: Duration = .seconds(5)

    /// Looks at once, and again after each audit entry: nothing changes without one. Until cancelled.
    ///
    /// - Parameters:
    ///   - failure: what the log says when a look fails; the next comes a second later.
    ///   - look: takes in everything that is committed.
    func afterEachAuditEntry(failure: String, look: () async throws -> Void) async {
        var seen: Int64 = (try? self.log.offsets(topic: Topics.auditLog, partition: 0).upperBound) ?? 0
        while !Task.isCancelled {
            do {
                try await look()
                _ = try await self.log.waitForAppend(
                    topic: Topics.auditLog, partition: 0, beyond: seen, wait: Self.lookAtLeastEvery)
                seen = try self.log.offsets(topic: Topics.auditLog, partition: 0).upperBound
            } catch is CancellationError {
                return
            } catch {
                self.logger.log(.warning, failure, ["error": .string("\(error)")])
                try? await self.clock.sleep(for: .seconds(1))
            }
        }
    }
}
