import Synchronization

/// Tells tasks that run until something has happened.
final class Done: Sendable {
    private let flag: Atomic<Bool> = Atomic(false)

    var isSet: Bool { self.flag.load(ordering: .acquiring) }

    func set() { self.flag.store(true, ordering: .releasing) }
}
