package import JSON
package import Store
import Synchronization

/// Seals in audit entries what identifies a person, each person's values under a key of their own: whoever destroys the key erases
/// them, and the leaf with its hash and its proofs stays.
///
/// Given to the log by `EventLog.sealAudit(with:)`. Without one the log writes such values as they are.
package protocol AuditSealing: AnyObject, Sendable {
    /// What works for one thread that writes.
    func makeSealer() -> any AuditSealer
}

/// One writer thread's way to the keys of people. All calls come on that thread; the first two inside of its open transaction.
package protocol AuditSealer: AnyObject {
    /// What stands in the leaf in place of `value`: `{"$key": …, "$sealed": …}`, which opens in the leaf with this id only.
    func seal(_ value: JSONValue, of subject: String, leaf: String, in transaction: Transaction) throws -> JSONObject
    /// A text that stands for the subject and tells nothing of it once its key is gone: the id of the key.
    func standIn(for subject: String, in transaction: Transaction) throws -> String

    /// What the running closure did is undone.
    func rolledBack()
    /// What was done since the last commit is durable.
    func committed()
    /// Everything since the last commit is undone.
    func aborted()
}

/// Where the log's writers find the sealing, which is there later than they are.
final class SealingPlace: Sendable {
    private let sealing: Mutex<(any AuditSealing)?> = Mutex(nil)

    func set(_ sealing: any AuditSealing) { self.sealing.withLock { $0 = sealing } }

    func makeSealer() -> (any AuditSealer)? { self.sealing.withLock { $0 }?.makeSealer() }
}
