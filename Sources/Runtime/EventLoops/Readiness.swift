public import CLinux

/// What a handler wants to hear about its descriptor. Hang-ups and errors are always told.
package struct Interest: OptionSet, Sendable {
    package let rawValue: UInt32

    @inlinable package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let read: Interest = Interest(rawValue: CLINUX_EPOLLIN | CLINUX_EPOLLRDHUP)
    package static let write: Interest = Interest(rawValue: CLINUX_EPOLLOUT)
    /// Told once per change instead of as long as it lasts: the handler reads or writes until the kernel has no more, and
    /// never has to change its registration.
    package static let edgeTriggered: Interest = Interest(rawValue: CLINUX_EPOLLET)
}

/// What the kernel said about a descriptor. Public only because an `open` method mentions it.
public struct Readiness: OptionSet, Sendable {
    /// The bits of epoll.
    public let rawValue: UInt32

    /// Takes the bits as epoll delivers them.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Bytes, an end of stream or a connection wait to be read.
    @inlinable package var isReadable: Bool {
        self.rawValue & (CLINUX_EPOLLIN | CLINUX_EPOLLRDHUP | CLINUX_EPOLLHUP | CLINUX_EPOLLERR) != 0
    }

    /// A write would make progress, or fail at once.
    @inlinable package var isWritable: Bool {
        self.rawValue & (CLINUX_EPOLLOUT | CLINUX_EPOLLHUP | CLINUX_EPOLLERR) != 0
    }

    /// The peer will send nothing more; what it sent before may still wait to be read.
    @inlinable package var peerFinished: Bool { self.rawValue & (CLINUX_EPOLLRDHUP | CLINUX_EPOLLHUP) != 0 }

    /// Both directions are gone, or the socket failed.
    @inlinable package var isBroken: Bool { self.rawValue & (CLINUX_EPOLLHUP | CLINUX_EPOLLERR) != 0 }
}

/// Receives the readiness of one descriptor, on the loop's thread. Subclass it per kind of connection.
///
/// `open`, because Swift has no subclassing across modules that stops at the package.
open class ReadinessHandler {
    /// Nothing to set up: registration happens on the loop.
    public init() {}

    /// Called between two turns of the loop whenever the descriptor is ready. May deregister itself or any other handler:
    /// the loop keeps an object alive until the end of the turn in which it was deregistered.
    open func ready(_ events: Readiness) {}

    /// Called once at the end of a turn in which `EventLoop.callAtTurnEnd` was asked for it.
    open func turnEnded() {}
}
