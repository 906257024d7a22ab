/// What takes part in every commit beside the closures: the event log, which numbers and writes its batches there.
package protocol CommitExtension: AnyObject, Sendable {
    /// Makes the state that lives on the writer's thread. Called once per open store.
    func makeAttachment() -> any CommitAttachment
}

/// An extension's state on the writer thread. All calls come from that thread.
///
/// Order within a group: for each closure `savepoint`, the closure, and `rollbackToSavepoint` if it failed; `followUps`, and the same
/// for each of them; then `prepareCommit`; then `committed` or `aborted`. After `aborted` the closures may run again.
package protocol CommitAttachment: AnyObject {
    /// A closure begins: remember what is staged.
    func savepoint()
    /// The closure failed: forget what it staged since `savepoint`.
    func rollbackToSavepoint()
    /// All closures of the group ran: what else is to run in the same transaction, each behind a savepoint of its own. One that
    /// throws undoes only itself. Not asked on PostgreSQL. Throwing here fails the group.
    func followUps(_ transaction: Transaction) throws -> [FollowUp]
    /// All closures of the group and what followed them ran: write what they staged. Throwing fails the group; it is then run closure by closure.
    func prepareCommit(_ transaction: Transaction) throws
    /// The group is durable.
    func committed()
    /// The whole group was rolled back.
    func aborted()
}

/// What an extension runs in a commit beside the callers' closures; by the same rules.
package typealias FollowUp = @Sendable (Transaction) throws -> Void

extension CommitAttachment {
    package func followUps(_ transaction: Transaction) throws -> [FollowUp] { [] }
}
