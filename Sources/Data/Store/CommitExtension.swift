/// What takes part in every commit beside the closures: the event log, which numbers and writes its batches there.
package protocol CommitExtension: AnyObject, Sendable {
    /// Makes the state that lives on the writer's thread. Called once per open store.
    func makeAttachment() -> any CommitAttachment
}

/// An extension's state on the writer thread. All calls come from that thread.
///
/// Order within a group: for each closure `savepoint`, the closure, and `rollbackToSavepoint` if it failed; then
/// `prepareCommit`; then `committed` or `aborted`. After `aborted` the closures may run again.
package protocol CommitAttachment: AnyObject {
    /// A closure begins: remember what is staged.
    func savepoint()
    /// The closure failed: forget what it staged since `savepoint`.
    func rollbackToSavepoint()
    /// All closures of the group ran: write what they staged. Throwing fails the group; it is then run closure by closure.
    func prepareCommit(_ transaction: Transaction) throws
    /// The group is durable.
    func committed()
    /// The whole group was rolled back.
    func aborted()
}
