import Contracts
import EventLog
import Identifiers
import JSON
import REST
import Store
import Telemetry

/// Erasures that a restored backup has undone.
extension AuditService {
    /// Repeats erasures before anybody is served: of lines as `personal-data.erased` entries are exported.
    ///
    /// What was erased when the backup was made is left as it is, and without another entry.
    ///
    /// - Returns: how many had to be repeated, and the lines that could not be, to be tried again.
    package func repeatErasures(_ lines: [[UInt8]]) async -> (count: Int, left: [[UInt8]]) {
        var count: Int = 0
        var left: [[UInt8]] = []
        for line in lines where !line.isEmpty {
            guard let erasure: Erasure = (try? JSONReader.parse(line)).flatMap({ Erasure($0) }) else {
                self.services.logger.log(.error, "a line of the erasures to repeat is none", [:])
                left.append(line)
                continue
            }
            do {
                if try await self.repeating(erasure) { count += 1 }
            } catch {
                self.services.logger.log(
                    .error, "an erasure could not be repeated",
                    ["person": .string(erasure.person), "error": .string("\(error)")])
                left.append(line)
            }
        }
        return (count, left)
    }

    /// - Returns: whether there was anything to erase.
    private func repeating(_ erasure: Erasure) async throws -> Bool {
        let author: Author = Author(caller: .platform(Self.name), trace: TraceContext.make())
        let people: [any PersonalData] = self.people
        let isDone: Bool = try await self.services.store.write { transaction in
            var isDone: Bool = false
            for service in people where try service.erase(erasure.person, author: author, in: transaction) {
                isDone = true
            }
            let keys: [String] = try SubjectKeyTable.destroy(
                keys: erasure.keys, of: erasure.person, in: transaction)
            guard isDone || !keys.isEmpty else { return false }
            try author.audit(
                SubjectKeys.erasedEvent, tenant: "",
                resource: AuditEntry.Resource(type: "person", id: erasure.person),
                changes: [
                    "keys": .array(keys.map { .string($0) }), "reason": "repeated after a restore",
                    "repeats": .string(erasure.id),
                ], in: transaction)
            return true
        }
        if isDone { for service in people { await service.forget(erasure.person) } }
        return isDone
    }
}
