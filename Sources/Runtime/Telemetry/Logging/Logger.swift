package import JSON
import Synchronization
package import Time

/// Writes structured log lines. Never throws, never blocks; what must not be seen (secrets, credentials, personal data) the
/// caller leaves out.
///
/// A logger made by `with(_:)` adds its fields to every line and shares level and sink with the one it came from.
package final class Logger: Sendable {
    /// What loggers with different fields share.
    private final class Core: Sendable {
        let level: Atomic<UInt8>
        let format: LogFormat
        let sink: any LogSink
        let clock: any WallClock

        init(level: LogLevel, format: LogFormat, sink: any LogSink, clock: any WallClock) {
            self.level = Atomic(level.rawValue)
            self.format = format
            self.sink = sink
            self.clock = clock
        }
    }

    private let core: Core
    private let fields: JSONObject

    package init(level: LogLevel, format: LogFormat, sink: any LogSink, clock: any WallClock = SystemClock()) {
        self.core = Core(level: level, format: format, sink: sink, clock: clock)
        self.fields = [:]
    }

    private init(core: Core, fields: JSONObject) {
        self.core = core
        self.fields = fields
    }

    /// A logger to standard error: text on a terminal, JSON lines otherwise. One a process: it starts a thread.
    package static func standardError(level: LogLevel, clock: any WallClock = SystemClock()) -> Logger {
        let format: LogFormat = .automatic(descriptor: 2)
        let sink = DescriptorSink(descriptor: 2) { (count: UInt64) -> [UInt8] in
            let fields: JSONObject = ["count": .int(Int64(clamping: count))]
            return format.line(.warning, "log lines were dropped", fields, time: clock.now())
        }
        return Logger(level: level, format: format, sink: sink, clock: clock)
    }

    /// Says nothing.
    package static let silent = Logger(level: .error, format: .json, sink: SilentSink())

    /// Lines below this are not made. May be changed at any time, for this logger and all that share its core.
    package var level: LogLevel {
        get { LogLevel(rawValue: self.core.level.load(ordering: .relaxed)) ?? .error }
        set { self.core.level.store(newValue.rawValue, ordering: .relaxed) }
    }

    /// A logger that adds `fields` to every line.
    package func with(_ fields: JSONObject) -> Logger {
        Logger(core: self.core, fields: Logger.merged(self.fields, fields))
    }

    /// Writes one line. `fields` is evaluated only when the line is made; a field of the same name as one of the logger's wins.
    package func log(_ level: LogLevel, _ message: String, _ fields: @autoclosure () -> JSONObject = [:]) {
        guard level >= self.level else { return }
        let all: JSONObject = Logger.merged(self.fields, fields())
        self.core.sink.write(self.core.format.line(level, message, all, time: self.core.clock.now()))
    }

    package func debug(_ message: String, _ fields: @autoclosure () -> JSONObject = [:]) {
        self.log(.debug, message, fields())
    }

    package func info(_ message: String, _ fields: @autoclosure () -> JSONObject = [:]) {
        self.log(.info, message, fields())
    }

    package func warning(_ message: String, _ fields: @autoclosure () -> JSONObject = [:]) {
        self.log(.warning, message, fields())
    }

    package func error(_ message: String, _ fields: @autoclosure () -> JSONObject = [:]) {
        self.log(.error, message, fields())
    }

    /// Returns when everything logged so far is written, or after `limit`. Blocks: for the end of a process.
    package func flush(within limit: Duration = .seconds(1)) {
        self.core.sink.flush(within: limit)
    }

    private static func merged(_ first: JSONObject, _ second: JSONObject) -> JSONObject {
        if first.isEmpty { return second }
        var all: JSONObject = first
        for (key, value) in second.members { all[key] = value }
        return all
    }
}
