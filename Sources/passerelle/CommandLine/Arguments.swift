/// The words after a command's name, split into operands and options by what the command declares.
struct Arguments: Sendable {
    private(set) var operands: [String] = []
    private var values: [String: [String]] = [:]
    private let command: Command

    /// - Throws: a usage error that names the word which is not understood.
    init(_ words: [String], for command: Command) throws(CommandError) {
        self.command = command
        var rest: ArraySlice<String> = words[...]
        var optionsEnded: Bool = false
        while let word: String = rest.popFirst() {
            if word == "--", !optionsEnded {
                optionsEnded = true
            } else if word.hasPrefix("--"), !optionsEnded {
                try self.takeOption(word, &rest)
            } else if word.hasPrefix("-"), word.count == 2, !optionsEnded,
                let option: Command.Option = command.options.first(where: { $0.letter == word.last })
            {
                try self.takeOption("--\(option.name)", &rest)
            } else {
                self.operands.append(word)
            }
        }
        try self.checkOperands()
    }

    private mutating func takeOption(_ word: String, _ rest: inout ArraySlice<String>) throws(CommandError) {
        let parts: [Substring] = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name: String = String(parts[0])
        guard let option: Command.Option = (self.command.options + Command.shared).first(where: { $0.name == name })
        else {
            throw .usage("There is no option --\(name). 'passerelle \(self.command.name) --help' lists the options.")
        }
        guard let value: String = option.value else {
            guard parts.count == 1 else { throw .usage("--\(name) takes no value.") }
            self.values[name, default: []].append("true")
            return
        }
        if parts.count == 2 {
            self.values[name, default: []].append(String(parts[1]))
        } else if let next: String = rest.popFirst() {
            self.values[name, default: []].append(next)
        } else {
            throw .usage("--\(name) needs a value: --\(name) \(value)")
        }
    }

    private func checkOperands() throws(CommandError) {
        if self.has("help") { return }
        let required: [String] = self.command.operands.filter { !$0.hasSuffix("?") }
        if self.operands.count < required.count {
            throw .usage("\(required[self.operands.count]) is missing.\nUsage: \(self.command.usage)")
        }
        if self.operands.count > self.command.operands.count {
            throw .usage(
                "'\(self.operands[self.command.operands.count])' is one word too many.\nUsage: \(self.command.usage)")
        }
    }

    func has(_ option: String) -> Bool { self.values[option] != nil }

    /// The option's value; the last one where it is given several times.
    subscript(option: String) -> String? { self.values[option]?.last }

    func all(_ option: String) -> [String] { self.values[option] ?? [] }

    func required(_ option: String) throws(CommandError) -> String {
        guard let value: String = self[option] else {
            throw .usage("--\(option) is missing.\nUsage: \(self.command.usage)")
        }
        return value
    }

    /// A whole number in `range`.
    func integer(_ option: String, in range: ClosedRange<Int>) throws(CommandError) -> Int? {
        guard let text: String = self[option] else { return nil }
        guard let value: Int = Int(text), range.contains(value) else {
            throw .usage(
                "--\(option) is '\(text)'; expected a whole number from \(range.lowerBound) to \(range.upperBound).")
        }
        return value
    }

    func operand(_ index: Int) -> String? { index < self.operands.count ? self.operands[index] : nil }
}
