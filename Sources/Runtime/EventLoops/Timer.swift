/// A deadline on one loop, told to `fired()`. The object is its own node in the wheel: arming it allocates nothing.
///
/// Moving a deadline later costs one store: the wheel looks at the deadline again when the node's old slot comes.
/// `open`, because Swift has no subclassing across modules that stops at the package.
open class Timer {
    /// Monotonic nanoseconds at which it fires; `never` while disarmed.
    package internal(set) var deadline: UInt64 = Timer.never
    /// The tick of the slot that holds the node, while it is queued. Never later than the deadline's, but for the horizon.
    var queuedTick: UInt64 = 0
    var isQueued: Bool = false
    var previous: Unmanaged<Timer>?
    var next: Unmanaged<Timer>?

    package static let never: UInt64 = .max

    /// Nothing to set up: arming happens on the loop.
    public init() {}

    /// Called once on the loop's thread when the deadline has passed; the timer is disarmed then and may be armed again.
    open func fired() {}

    package final var isArmed: Bool { self.deadline != Timer.never }
}

/// A timer that runs a closure; for places where one allocation does not matter.
package final class ActionTimer: Timer {
    private let action: () -> Void

    package init(_ action: @escaping () -> Void) { self.action = action }

    override package func fired() { self.action() }
}
