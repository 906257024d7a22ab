/// How long a follower waits after a call that failed before it calls again: longer each time.
///
/// A control plane that does not know the call (404, 405, 501: it is older than this gateway) is asked again now and then, because
/// it may be replaced; one that is away, often, because what it has to say may be urgent.
struct LinkPause {
    /// The longest pause for a call that the control plane does not know.
    static let unknownMax: Duration = .seconds(60)

    private var next: Duration = GatewayAgent.pauseMin

    /// The call succeeded.
    mutating func reset() { self.next = GatewayAgent.pauseMin }

    /// The pause behind this failure.
    mutating func take(after failure: any Error) -> Duration {
        let longest: Duration = Self.isUnknown(failure) ? Self.unknownMax : GatewayAgent.pauseMax
        let pause: Duration = min(self.next, longest)
        self.next = pause * 2
        return pause
    }

    /// Whether the control plane answered that it has no such call.
    static func isUnknown(_ failure: any Error) -> Bool {
        guard case LinkError.refused(let status, _)? = failure as? LinkError else { return false }
        return status == 404 || status == 405 || status == 501
    }
}
