import Synchronization

/// Tells that something has ended. Any thread.
final class EndFlag: Sendable {
    private let raised: Mutex<Bool> = Mutex(false)

    var isRaised: Bool { self.raised.withLock { $0 } }

    func raise() { self.raised.withLock { $0 = true } }
}
