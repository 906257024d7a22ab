/// One command of the command line: how it is called, what it says of itself, what it does.
struct Command: Sendable {
    /// An option; one without `value` is a switch.
    struct Option: Sendable {
        let name: String
        /// One letter that stands for the name: `-H`; nil: none.
        let letter: Character?
        let value: String?
        let summary: String

        init(_ name: String, letter: Character? = nil, _ value: String? = nil, _ summary: String) {
            self.letter = letter
            self.name = name
            self.value = value
            self.summary = summary
        }
    }

    /// The words that name it, for example `["apis", "import"]`.
    let words: [String]
    /// The operands as shown in the usage line, for example `["FILE"]`; one ending in `?` may be left out.
    let operands: [String]
    let summary: String
    let options: [Option]
    let example: String
    let run: @Sendable (Arguments, Console) async throws -> Void

    init(
        _ words: String, operands: [String] = [], summary: String, options: [Option] = [], example: String,
        run: @escaping @Sendable (Arguments, Console) async throws -> Void
    ) {
        self.words = words.split(separator: " ").map(String.init)
        self.operands = operands
        self.summary = summary
        self.options = options
        self.example = example
        self.run = run
    }

    /// Options every command takes.
    static let shared: [Option] = [
        Option("output", "table|json", "how results are printed (table)"),
        Option("url", "URL", "the control plane (PASSERELLE_URL, or what login saved)"),
        Option("ca", "FILE", "authorities to trust for it, PEM (PASSERELLE_CA, saved by login, or this machine's)"),
        Option("client-certificate", "FILE", "what to show it, PEM (PASSERELLE_CLIENT_CERTIFICATE, saved by login)"),
        Option("client-key", "FILE", "its private key, PEM (PASSERELLE_CLIENT_KEY, or in the certificate's file)"),
        Option("tenant", "TENANT", "the tenant (PASSERELLE_TENANT, or what login saved)"),
        Option("help", nil, "this text"),
    ]

    var name: String { self.words.joined(separator: " ") }

    var usage: String {
        let operands: [String] = self.operands.map { $0.hasSuffix("?") ? "[\($0.dropLast())]" : $0 }
        return (["passerelle", self.name] + operands + ["[OPTIONS]"]).joined(separator: " ")
    }

    var help: String {
        var text: String = "\(self.summary)\n\nUsage: \(self.usage)\n\nOptions:\n"
        for option in self.options + Self.shared {
            let left: String =
                (option.letter.map { "-\($0), " } ?? "") + "--\(option.name)" + (option.value.map { " \($0)" } ?? "")
            text += "  \(Table.padded(left, to: 28)) \(option.summary)\n"
        }
        text += "\nExample:\n  \(self.example)\n"
        return text
    }
}

/// What ends a command other than success. Usage errors exit with 2, failures with 1.
enum CommandError: Error {
    case usage(String)
    case failed(String)
}
