import Bytes

/// Finds the command the words name and runs it; decides the exit code.
enum CommandLineTool {
    /// - Returns: the exit code: 0, 1 (failed) or 2 (usage).
    static func run(_ words: [String]) async -> Int32 {
        let console: Console = Console(format: .table)
        let words: [String] = words == ["--version"] ? ["version"] : words
        guard let first: String = words.first, !["help", "--help", "-h"].contains(first) else {
            return Self.explain(Array(words.dropFirst()), console, isAsked: !words.isEmpty)
        }
        guard let command: Command = Self.find(words) else {
            console.error(Self.unknown(words))
            return 2
        }
        do {
            let arguments: Arguments = try Arguments(Array(words.dropFirst(command.words.count)), for: command)
            if arguments.has("help") {
                console.print(command.help)
                return 0
            }
            ControlPlaneTrust.take(from: arguments)
            guard let format: Console.Format = Console.Format(rawValue: arguments["output"] ?? "table") else {
                throw CommandError.usage("--output is '\(arguments["output"] ?? "")'; expected table or json.")
            }
            try await command.run(arguments, Console(format: format))
            return 0
        } catch CommandError.usage(let text) {
            console.error(text)
            return 2
        } catch CommandError.failed(let text) {
            console.error(text)
            return 1
        } catch {
            console.error("\(error)")
            return 1
        }
    }

    /// Shows what the command of these words takes; all commands where there is none.
    private static func explain(_ words: [String], _ console: Console, isAsked: Bool) -> Int32 {
        if words.isEmpty {
            console.print(Self.overview)
            return isAsked ? 0 : 2
        }
        if let command: Command = Self.find(words) {
            console.print(command.help)
            return 0
        }
        console.error(Self.unknown(words))
        return 2
    }

    /// The command with the most words that the line begins with.
    private static func find(_ words: [String]) -> Command? {
        var best: Command?
        for command in Commands.all where words.starts(with: command.words) {
            if command.words.count > (best?.words.count ?? 0) { best = command }
        }
        return best
    }

    private static func unknown(_ words: [String]) -> String {
        let noun: String = words[0]
        let verbs: [Command] = Commands.all.filter { $0.words.first == noun }
        if verbs.isEmpty {
            let nouns: [String] = Commands.all.compactMap { $0.words.first }
            let meant: String = NearestName.suggestion(for: noun, among: nouns).map { " Did you mean '\($0)'?" } ?? ""
            return "There is no command '\(noun)'.\(meant) 'passerelle help' lists the commands."
        }
        return "'passerelle \(noun)' takes:\n" + Self.lines(of: verbs, width: Self.width(of: verbs))
    }

    private static var overview: String {
        var text: String =
            "Passerelle: publishes APIs, carries their traffic, proves who did what.\n\nUsage: passerelle COMMAND [OPTIONS]\n\n"
        let width: Int = Self.width(of: Commands.all)
        for group in Commands.groups { text += "\(group.title)\n\(Self.lines(of: group.commands, width: width))\n\n" }
        text += "'passerelle COMMAND --help' shows the options and an example."
        return text
    }

    private static func width(of commands: [Command]) -> Int { commands.map(\.name.count).max() ?? 0 }

    private static func lines(of commands: [Command], width: Int) -> String {
        commands.map { "  \(Table.padded($0.name, to: width))  \($0.summary)" }.joined(separator: "\n")
    }
}
