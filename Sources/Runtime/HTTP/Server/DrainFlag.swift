import Synchronization

/// Says that a request's task should be cancelled as soon as the server drains. Raised by the handler on any thread, read on
/// the loop; if the server drains already, raising it cancels at once.
final class DrainFlag: Sendable {
    private let isRaised: Atomic<Bool> = Atomic(false)
    private let whenRaised: @Sendable () -> Void

    init(whenRaised: @escaping @Sendable () -> Void) {
        self.whenRaised = whenRaised
    }

    var isSet: Bool { self.isRaised.load(ordering: .acquiring) }

    func raise() {
        if self.isRaised.exchange(true, ordering: .acquiringAndReleasing) { return }
        self.whenRaised()
    }
}
