package import JSON
import Synchronization
package import Telemetry
package import Time

/// Keeps log lines for a test to look at.
package final class CapturedLog: LogSink {
    private let captured: Mutex<[[UInt8]]> = Mutex([])

    package init() {}

    /// A logger that writes JSON lines here.
    package func logger(level: LogLevel = .debug, clock: any WallClock = ManualClock()) -> Logger {
        Logger(level: level, format: .json, sink: self, clock: clock)
    }

    package func write(_ line: [UInt8]) { self.captured.withLock { $0.append(line) } }

    package func flush(within limit: Duration) {}

    /// All lines so far, without their line feeds.
    package var lines: [String] {
        self.captured.withLock { $0.map { String(decoding: $0.dropLast(), as: UTF8.self) } }
    }

    /// All lines so far as JSON; a line that is none becomes null.
    package var entries: [JSONValue] {
        self.lines.map { (try? JSONReader.parse($0)) ?? .null }
    }

    /// The lines with this message.
    package func entries(_ message: String) -> [JSONValue] {
        self.entries.filter { $0["message"]?.text == message }
    }

    /// Whether any line holds `text`: for asserting that a secret was not logged.
    package func contains(_ text: String) -> Bool {
        let wanted: [UInt8] = Array(text.utf8)
        return self.captured.withLock { (lines: inout [[UInt8]]) -> Bool in
            lines.contains { (line: [UInt8]) -> Bool in
                guard line.count >= wanted.count else { return false }
                return (0...(line.count - wanted.count)).contains {
                    line[$0..<($0 + wanted.count)].elementsEqual(wanted)
                }
            }
        }
    }
}
