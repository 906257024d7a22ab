import Glibc
package import JSON
package import Time

/// How a line looks.
package enum LogFormat: Sendable {
    /// One JSON object a line: `{"time":"…","level":"info","message":"…","key":…}`.
    case json
    /// For people: `2026-01-02T03:04:05.678Z INFO    message key=value`.
    case text(colours: Bool)

    /// Text with colours on a terminal, JSON everywhere else. `NO_COLOR` (any value) keeps a terminal plain.
    package static func automatic(descriptor: Int32) -> LogFormat {
        guard isatty(descriptor) == 1 else { return .json }
        return .text(colours: getenv("NO_COLOR") == nil)
    }

    /// The finished line with its line feed. Never traps, whatever the fields hold.
    package func line(_ level: LogLevel, _ message: String, _ fields: JSONObject, time: Timestamp) -> [UInt8] {
        switch self {
        case .json: return LogFormat.jsonLine(level, message, fields, time)
        case .text(let colours): return LogFormat.textLine(level, message, fields, time, colours)
        }
    }

    private static func jsonLine(
        _ level: LogLevel, _ message: String, _ fields: JSONObject, _ time: Timestamp
    ) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.field("time")
        writer.string(time.rfc3339)
        writer.field("level")
        writer.string(level.name)
        writer.field("message")
        writer.string(LogValue.cut(message))
        for (key, value) in fields.members {
            writer.key(LogFormat.reserved.contains(key) ? "field." + key : key)
            writer.value(LogValue.tamed(value))
        }
        writer.endObject()
        return writer.bytes + [UInt8(ascii: "\n")]
    }

    /// Members every line has; a field of that name is written with `field.` before it.
    private static let reserved: Set<String> = ["time", "level", "message"]

    private static func textLine(
        _ level: LogLevel, _ message: String, _ fields: JSONObject, _ time: Timestamp, _ colours: Bool
    ) -> [UInt8] {
        var line: String = colours ? "\u{1B}[2m\(time.rfc3339)\u{1B}[0m " : time.rfc3339 + " "
        let name: String = level.name.uppercased() + String(repeating: " ", count: 7 - level.name.utf8.count)
        line += colours ? "\u{1B}[\(LogFormat.colour(level))m\(name)\u{1B}[0m " : name + " "
        line += LogValue.printable(LogValue.cut(message))
        for (key, value) in fields.members {
            let label: String = LogValue.printable(key) + "="
            line += colours ? " \u{1B}[2m\(label)\u{1B}[0m" : " " + label
            line += LogValue.plain(value)
        }
        return Array(line.utf8) + [UInt8(ascii: "\n")]
    }

    private static func colour(_ level: LogLevel) -> String {
        switch level {
        case .debug: return "2"
        case .info: return "32"
        case .warning: return "33"
        case .error: return "1;31"
        }
    }
}

/// Field values made safe for a line.
private enum LogValue {
    /// Longest text kept of one value or message.
    static let textBytesMax: Int = 8192

    /// At most `textBytesMax` bytes of the text, saying how much is missing.
    static func cut(_ text: String) -> String {
        let count: Int = text.utf8.count
        guard count > LogValue.textBytesMax else { return text }
        let kept = String(decoding: Array(text.utf8.prefix(LogValue.textBytesMax)), as: UTF8.self)
        return kept + "… (\(count - LogValue.textBytesMax) bytes more)"
    }

    /// The value with its texts cut and numbers JSON cannot say turned into text.
    static func tamed(_ value: JSONValue) -> JSONValue {
        switch value {
        case .string(let text): return .string(LogValue.cut(text))
        case .double(let number) where !number.isFinite: return .string("\(number)")
        case .array(let elements): return .array(elements.map { LogValue.tamed($0) })
        case .object(let object):
            var tamed = object
            for (key, member) in object.members { tamed[key] = LogValue.tamed(member) }
            return .object(tamed)
        default: return value
        }
    }

    /// For people: a simple word as it is, everything else as JSON.
    static func plain(_ value: JSONValue) -> String {
        let tamed: JSONValue = LogValue.tamed(value)
        if case .string(let text) = tamed, !text.isEmpty, text.utf8.allSatisfy({ LogValue.isWordByte($0) }) {
            return text
        }
        return LogValue.printable(tamed.jsonText)
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "=")
            && byte != UInt8(ascii: "\\")
    }

    /// The text with control characters spelled out: what came from outside must not drive the terminal or fake a line.
    static func printable(_ text: String) -> String {
        let isClean: Bool = text.unicodeScalars.allSatisfy { !LogValue.isControl($0) }
        if isClean { return text }
        var clean: String = ""
        for scalar in text.unicodeScalars {
            if LogValue.isControl(scalar) {
                clean += "\\u{" + String(scalar.value, radix: 16) + "}"
            } else {
                clean.unicodeScalars.append(scalar)
            }
        }
        return clean
    }

    /// C0, DEL, C1, line separators, and the marks that reorder text.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0...0x1F, 0x7F...0x9F, 0x2028...0x202E, 0x2066...0x2069, 0x200E, 0x200F: return true
        default: return false
        }
    }
}
