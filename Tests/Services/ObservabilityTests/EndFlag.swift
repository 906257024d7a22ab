import Synchronization

/// Says across tasks that something is over.
final class EndFlag: Sendable {
    private let flag: Atomic<Bool> = Atomic(false)

    var isSet: Bool { self.flag.load(ordering: .acquiring) }

    func set() { self.flag.store(true, ordering: .releasing) }
}
