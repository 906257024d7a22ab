import EventLoops

/// A connection whose deadline a `ConnectionTimer` watches.
class TimedHandler: ReadinessHandler {
    /// Called on the loop when the deadline has passed.
    func deadlinePassed() {}

    /// Called on the loop when a connection that had moved much gets its next share.
    func resume() {}
}

/// The one timer of a connection. It does not keep the connection alive: closing the connection cancels it.
final class ConnectionTimer: Timer {
    unowned(unsafe) var handler: TimedHandler?

    override func fired() { self.handler?.deadlinePassed() }
}
