import Bytes
import Contracts
import EventLog
import JSON
import REST
import Store
import Synchronization
import Telemetry
import Time

/// Sees to it that every erasure is kept where the backups are, however late these can be reached.
final class ErasureKeeper: Sendable {
    /// How often is looked for erasures that are not kept yet.
    static let every: Duration = .seconds(5)
    private static let pageMax: Int = 100

    private struct State {
        /// Erasures of entries before this one are kept.
        var keptUpTo: Int64 = 0
        var failure: String?
    }

    private let ledger: any ErasureLedger
    private let services: ServiceEnvironment
    private let state: Mutex<State> = Mutex(State())
    private let failures: Counter

    init(_ ledger: any ErasureLedger, services: ServiceEnvironment) {
        self.ledger = ledger
        self.services = services
        self.failures = services.metrics.counter(
            "passerelle_erasures_unkept_total",
            help: "Tries to keep erasures of people beside the backups that came to nothing.")
    }

    /// Until cancelled.
    func run() async {
        repeat {
            do {
                while try await self.keepNext() {}
                self.note(nil)
            } catch {
                if Task.isCancelled { return }
                self.failures.add()
                self.note("\(error)")
            }
        } while (try? await self.services.clock.sleep(for: Self.every)) != nil
    }

    /// Keeps the next ones. - Returns: whether there may be more.
    func keepNext() async throws -> Bool {
        var filter: EntryFilter = EntryFilter(tenant: nil, leaves: self.state.withLock { $0.keptUpTo }..<Int64.max)
        filter.eventType = SubjectKeys.erasedEvent
        filter.isAscending = true
        let asked: EntryFilter = filter
        let leaves: [Int64] = try await self.services.store.read {
            try EntryIndex.leaves(asked, limit: Self.pageMax, in: $0)
        }
        guard let last: Int64 = leaves.last else { return false }
        var found: [KeptErasure] = []
        for leaf in leaves {
            do {
                let entry: [UInt8]? = try await self.services.log.fetch(
                    topic: Topics.auditLog, partition: 0, from: leaf, maxBytes: 1, maxRecords: 1
                ).records.first?.value
                if let erasure: Erasure = entry.flatMap({ try? JSONReader.parse($0) }).flatMap({ Erasure($0) }) {
                    found.append(KeptErasure(id: erasure.id, line: erasure.json.serialized()))
                }
            } catch LogError.offsetOutOfRange {
                continue
            }
        }
        guard try await self.ledger.keep(found) else { return false }
        self.state.withLock { $0.keptUpTo = last + 1 }
        return leaves.count == Self.pageMax
    }

    private func note(_ failure: String?) {
        let before: String? = self.state.withLock { state in
            defer { state.failure = failure }
            return state.failure
        }
        guard let failure: String, failure != before else { return }
        self.services.logger.log(
            .warning, "erasures could not be kept beside the backups", ["error": .string(failure)])
    }
}

/// An erasure as it is repeated: of an audit entry `personal-data.erased`, in its form.
struct Erasure: Sendable, Equatable {
    let id: String
    /// The subject; of an address the id of a key.
    let person: String
    let keys: [String]
    let time: String

    /// - Returns: nil where it is no such entry.
    init?(_ entry: JSONValue) {
        guard entry["event_type"]?.text == SubjectKeys.erasedEvent, let id: String = entry["id"]?.text,
            let person: String = entry["resource"]?["id"]?.text, let time: String = entry["time"]?.text
        else { return nil }
        self.id = id
        self.person = person
        self.time = time
        self.keys = (entry["changes"]?["keys"]?.elements ?? []).compactMap(\.text)
    }

    var json: JSONValue {
        .object([
            "event_type": .string(SubjectKeys.erasedEvent), "id": .string(self.id), "time": .string(self.time),
            "resource": .object(["type": "person", "id": .string(self.person)]),
            "changes": .object(["keys": .array(self.keys.map { .string($0) })]),
        ])
    }
}
