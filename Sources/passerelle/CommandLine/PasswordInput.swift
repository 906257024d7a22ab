import Files
import Glibc

/// Reads a password without showing it, and never from an argument, which other users of the machine could see.
enum PasswordInput {
    /// Longest password, bytes.
    static let bytesMax: Int = 1_024

    /// - Parameter variable: the environment variable that may hold it.
    static func read(
        file: String?, bytesMax: Int = PasswordInput.bytesMax, variable: String = "PASSERELLE_PASSWORD", prompt: String
    ) throws(CommandError) -> String {
        if let file: String, file != "-" {
            do {
                return Self.firstLine(try Files.read(file, bytesMax: bytesMax))
            } catch {
                throw .failed("The password file cannot be read: \(error)")
            }
        }
        if file == nil, let password: String = Login.environment(variable) { return password }
        return file == nil && isatty(0) == 1 ? try Self.ask(prompt) : Self.firstLine(Self.standardInput(bytesMax))
    }

    private static func ask(_ prompt: String) throws(CommandError) -> String {
        var settings: termios = termios()
        guard tcgetattr(0, &settings) == 0 else { throw .failed("The terminal cannot be read.") }
        var quiet: termios = settings
        quiet.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(0, TCSAFLUSH, &quiet)
        defer { tcsetattr(0, TCSAFLUSH, &settings) }
        _ = prompt.withCString { write(2, $0, strlen($0)) }
        let line: String = Self.firstLine(Self.standardInput(Self.bytesMax))
        _ = write(2, "\n", 1)
        return line
    }

    private static func standardInput(_ bytesMax: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while bytes.count < bytesMax, Glibc.read(0, &byte, 1) == 1, byte != UInt8(ascii: "\n") {
            bytes.append(byte)
        }
        return bytes
    }

    private static func firstLine(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }, as: UTF8.self)
    }
}
