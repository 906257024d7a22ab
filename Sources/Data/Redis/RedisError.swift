/// Why commands were not answered.
package enum RedisError: Error, Sendable, Equatable, CustomStringConvertible {
    /// No connection, or it ended.
    case unavailable(String)
    case timedOut
    /// The server does not let this user in, in its words.
    case refused(String)
    /// What came is no reply of Redis.
    case protocolBroken(String)
    case url(String)

    package var description: String {
        switch self {
        case .unavailable(let reason): "Redis cannot be reached: \(reason)"
        case .timedOut: "Redis did not answer in time"
        case .refused(let reason): "Redis refuses this user: \(reason)"
        case .protocolBroken(let what): "what answers is not Redis: \(what)"
        case .url(let problem): problem
        }
    }
}
