/// How grave a log line is.
package enum LogLevel: UInt8, Sendable, Comparable, CaseIterable {
    /// What only someone who debugs the platform wants.
    case debug
    /// What happens in normal operation and is worth a line: started, deployed, reloaded.
    case info
    /// Works on, but someone should look: a retry, a full queue, a peer away.
    case warning
    /// Failed: a request, a job or a file is lost unless someone acts.
    case error

    /// As configuration and log lines spell it.
    package var name: String {
        switch self {
        case .debug: return "debug"
        case .info: return "info"
        case .warning: return "warning"
        case .error: return "error"
        }
    }

    package init?(name: String) {
        guard let level: LogLevel = LogLevel.allCases.first(where: { $0.name == name }) else { return nil }
        self = level
    }

    package static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}
