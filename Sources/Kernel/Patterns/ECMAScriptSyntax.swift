import Bytes

/// Reads an expression as ECMA-262 defines it with the flag `u` and writes it as PCRE2 understands it.
///
/// What means the same in both passes as it is. Escapes of punctuation that `u` forbids (`\-`, `\@`) pass too, since expressions
/// in the wild are full of them; letters that ECMA-262 gives no meaning (`\Z`, `\a`) are errors, and so is PCRE2's own syntax:
/// `(?i)`, `(?>`, `(*…)`, possessive quantifiers, `[:alpha:]` as a class.
struct ECMAScriptSyntax {
    private let source: [UInt8]
    private var index: Int = 0
    private var out: [UInt8] = []
    /// Whether a quantifier may stand here.
    private var mayRepeat: Bool = false

    /// White space and line ends of ECMA-262 that PCRE2's `\s` leaves out.
    private static let moreSpaces: String = "\\x{a0}\\x{feff}\\p{Zs}\\x{2028}\\x{2029}"

    static func translated(_ source: String) throws(PatternSyntaxError) -> [UInt8] {
        var syntax: ECMAScriptSyntax = ECMAScriptSyntax(source: Array(source.utf8))
        try syntax.run()
        return syntax.out
    }

    private init(source: [UInt8]) { self.source = source }

    private func error(_ message: String, at offset: Int? = nil) -> PatternSyntaxError {
        PatternSyntaxError(offset: offset ?? self.index, message: message)
    }

    private func peek(_ ahead: Int = 0) -> UInt8 {
        self.index + ahead < self.source.count ? self.source[self.index + ahead] : 0
    }

    private func starts(with text: String) -> Bool { self.source[self.index...].starts(with: text.utf8) }

    private mutating func emit(_ text: String) { self.out.append(contentsOf: text.utf8) }

    private mutating func run() throws(PatternSyntaxError) {
        while self.index < self.source.count {
            let byte: UInt8 = self.source[self.index]
            switch byte {
            case UInt8(ascii: "\\"):
                try self.escape(inClass: false)
                self.mayRepeat = true
            case UInt8(ascii: "["):
                try self.characterClass()
                self.mayRepeat = true
            case UInt8(ascii: "("): try self.open()
            case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"), UInt8(ascii: "{"): try self.quantifier(byte)
            case UInt8(ascii: "^"), UInt8(ascii: "|"): self.pass(mayRepeat: false)
            case UInt8(ascii: "$"): self.pass(mayRepeat: false)
            default: self.pass(mayRepeat: true)
            }
        }
    }

    private mutating func pass(mayRepeat: Bool) {
        // `#` and spaces are themselves: PCRE2's extended syntax is off and cannot be turned on.
        self.out.append(self.source[self.index])
        self.index += 1
        self.mayRepeat = mayRepeat
    }

    private mutating func open() throws(PatternSyntaxError) {
        self.mayRepeat = false
        for prefix in ["(?:", "(?=", "(?!", "(?<=", "(?<!"] where self.starts(with: prefix) {
            self.emit(prefix)
            self.index += prefix.utf8.count
            return
        }
        if self.starts(with: "(?<") {
            self.emit("(?<")
            self.index += 3
            return
        }
        if self.starts(with: "(?") || self.starts(with: "(*") {
            throw self.error("expected '(', '(?:', '(?=', '(?!', '(?<=', '(?<!' or '(?<name>'")
        }
        self.pass(mayRepeat: false)
    }

    /// `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}`, each perhaps with `?`; nothing else may follow.
    private mutating func quantifier(_ byte: UInt8) throws(PatternSyntaxError) {
        if byte == UInt8(ascii: "{") {
            guard let end: Int = self.boundsEnd() else {
                // Lenient: a brace that is no quantifier is itself.
                self.emit("\\{")
                self.index += 1
                self.mayRepeat = true
                return
            }
            guard self.mayRepeat else { throw self.error("expected something to repeat before a quantifier") }
            self.out.append(contentsOf: self.source[self.index..<end])
            self.index = end
        } else {
            guard self.mayRepeat else { throw self.error("expected something to repeat before a quantifier") }
            self.out.append(byte)
            self.index += 1
        }
        if self.peek() == UInt8(ascii: "?") {
            self.out.append(UInt8(ascii: "?"))
            self.index += 1
        }
        self.mayRepeat = false
    }

    /// Where `{n}`, `{n,}` or `{n,m}` ends, or nil when this is none of them.
    private func boundsEnd() -> Int? {
        var index: Int = self.index + 1
        let first: Int = self.skipDigits(from: index)
        if first == index { return nil }
        index = first
        if index < self.source.count, self.source[index] == UInt8(ascii: ",") {
            index = self.skipDigits(from: index + 1)
        }
        guard index < self.source.count, self.source[index] == UInt8(ascii: "}") else { return nil }
        return index + 1
    }

    private func skipDigits(from start: Int) -> Int {
        var index: Int = start
        while index < self.source.count, Self.isDigit(self.source[index]) { index += 1 }
        return index
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    // MARK: Classes

    private mutating func characterClass() throws(PatternSyntaxError) {
        let begin: Int = self.index
        self.out.append(UInt8(ascii: "["))
        self.index += 1
        if self.peek() == UInt8(ascii: "^") { self.pass(mayRepeat: true) }
        while self.index < self.source.count {
            switch self.source[self.index] {
            case UInt8(ascii: "]"):
                self.pass(mayRepeat: true)
                return
            case UInt8(ascii: "["):
                // Otherwise `[:` and `[.` would begin a POSIX class.
                self.emit("\\[")
                self.index += 1
            case UInt8(ascii: "\\"): try self.escape(inClass: true)
            default: self.pass(mayRepeat: true)
            }
        }
        throw self.error("expected ']' at the end of a class", at: begin)
    }

    // MARK: Escapes

    private mutating func escape(inClass: Bool) throws(PatternSyntaxError) {
        let begin: Int = self.index
        self.index += 1
        guard self.index < self.source.count else { throw self.error("expected something after '\\'", at: begin) }
        let letter: UInt8 = self.source[self.index]
        self.index += 1
        switch letter {
        case UInt8(ascii: "d"), UInt8(ascii: "D"), UInt8(ascii: "w"), UInt8(ascii: "W"), UInt8(ascii: "t"),
            UInt8(ascii: "n"), UInt8(ascii: "f"), UInt8(ascii: "r"), UInt8(ascii: "b"):
            self.out.append(contentsOf: [UInt8(ascii: "\\"), letter])
        case UInt8(ascii: "s"): self.emit(inClass ? "\\s\(Self.moreSpaces)" : "[\\s\(Self.moreSpaces)]")
        case UInt8(ascii: "S"): self.emit(inClass ? "\\S" : "[^\\s\(Self.moreSpaces)]")
        case UInt8(ascii: "v"): self.emit("\\x{b}")
        case UInt8(ascii: "B") where !inClass: self.emit("\\B")
        case UInt8(ascii: "c"): try self.control(begin)
        case UInt8(ascii: "x"): self.emit(scalar: try self.hexadecimal(digits: 2, begin))
        case UInt8(ascii: "u"): try self.unicode(begin)
        case UInt8(ascii: "p"), UInt8(ascii: "P"): try self.property(letter, begin)
        case UInt8(ascii: "k") where !inClass: try self.namedGroup(begin)
        case UInt8(ascii: "0") where !Self.isDigit(self.peek()): self.emit("\\x{0}")
        case UInt8(ascii: "1")...UInt8(ascii: "9") where !inClass:
            let end: Int = self.skipDigits(from: self.index)
            // `\g{12}` cannot be taken for an octal number, as `\12` can.
            self.emit("\\g{\(String(decoding: self.source[(self.index - 1)..<end], as: UTF8.self))}")
            self.index = end
        default: try self.identity(letter, begin)
        }
    }

    /// Punctuation stands for itself; a letter or digit without a meaning is a mistake.
    private mutating func identity(_ letter: UInt8, _ begin: Int) throws(PatternSyntaxError) {
        let isWord: Bool =
            Self.isDigit(letter) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(letter | 0x20)
        if isWord || letter >= 0x80 {
            throw self.error("expected an escape of ECMA-262, found '\\' before another character", at: begin)
        }
        self.out.append(contentsOf: [UInt8(ascii: "\\"), letter])
    }

    private mutating func control(_ begin: Int) throws(PatternSyntaxError) {
        let letter: UInt8 = self.peek()
        guard (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(letter | 0x20) else {
            throw self.error("expected a letter after '\\c'", at: begin)
        }
        self.index += 1
        self.emit(scalar: UInt32(letter & 0x1f))
    }

    private mutating func emit(scalar: UInt32) { self.emit("\\x{\(String(scalar, radix: 16))}") }

    private mutating func hexadecimal(digits: Int, _ begin: Int) throws(PatternSyntaxError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<digits {
            guard let digit: UInt8 = Hex.value(of: self.peek()) else {
                throw self.error("expected \(digits) hexadecimal digits", at: begin)
            }
            value = value << 4 | UInt32(digit)
            self.index += 1
        }
        return value
    }

    /// `\uFFFF`, a pair of surrogates, or `\u{10FFFF}`.
    private mutating func unicode(_ begin: Int) throws(PatternSyntaxError) {
        var value: UInt32 = 0
        if self.peek() == UInt8(ascii: "{") {
            self.index += 1
            var count: Int = 0
            while let digit: UInt8 = Hex.value(of: self.peek()), count < 8 {
                value = value << 4 | UInt32(digit)
                self.index += 1
                count += 1
            }
            guard count > 0, self.peek() == UInt8(ascii: "}") else {
                throw self.error("expected hexadecimal digits and '}' after '\\u{'", at: begin)
            }
            self.index += 1
        } else {
            value = try self.hexadecimal(digits: 4, begin)
            if (0xd800...0xdbff).contains(value), self.starts(with: "\\u") {
                self.index += 2
                let low: UInt32 = try self.hexadecimal(digits: 4, begin)
                guard (0xdc00...0xdfff).contains(low) else {
                    throw self.error("expected a pair of surrogates", at: begin)
                }
                value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
            }
        }
        guard Unicode.Scalar(value) != nil else { throw self.error("expected a Unicode character", at: begin) }
        self.emit(scalar: value)
    }

    private mutating func namedGroup(_ begin: Int) throws(PatternSyntaxError) {
        guard self.peek() == UInt8(ascii: "<"),
            let end: Int = self.source[self.index...].firstIndex(of: UInt8(ascii: ">"))
        else { throw self.error("expected '<name>' after '\\k'", at: begin) }
        self.emit("\\k")
        self.out.append(contentsOf: self.source[self.index...end])
        self.index = end + 1
    }

    /// `\p{Letter}`, `\p{L}`, `\p{General_Category=L}`, `\p{Script=Greek}`, `\p{Alphabetic}`.
    private mutating func property(_ letter: UInt8, _ begin: Int) throws(PatternSyntaxError) {
        guard self.peek() == UInt8(ascii: "{"),
            let end: Int = self.source[self.index...].firstIndex(of: UInt8(ascii: "}"))
        else { throw self.error("expected '{name}' after '\\p'", at: begin) }
        var name: String = String(decoding: self.source[(self.index + 1)..<end], as: UTF8.self)
        self.index = end + 1
        for prefix in ["General_Category=", "gc="] where name.hasPrefix(prefix) {
            name.removeFirst(prefix.count)
        }
        self.out.append(contentsOf: [UInt8(ascii: "\\"), letter])
        self.emit("{\(UnicodeCategory.shortNames[name] ?? name)}")
    }
}

/// General categories by the long names ECMA-262 knows and PCRE2 does not.
enum UnicodeCategory {
    static let shortNames: [String: String] = [
        "Letter": "L", "Cased_Letter": "L&", "LC": "L&", "Uppercase_Letter": "Lu", "Lowercase_Letter": "Ll",
        "Titlecase_Letter": "Lt", "Modifier_Letter": "Lm", "Other_Letter": "Lo", "Mark": "M", "Combining_Mark": "M",
        "Nonspacing_Mark": "Mn", "Spacing_Mark": "Mc", "Enclosing_Mark": "Me", "Number": "N", "Decimal_Number": "Nd",
        "digit": "Nd", "Letter_Number": "Nl", "Other_Number": "No", "Punctuation": "P", "punct": "P",
        "Connector_Punctuation": "Pc", "Dash_Punctuation": "Pd", "Open_Punctuation": "Ps", "Close_Punctuation": "Pe",
        "Initial_Punctuation": "Pi", "Final_Punctuation": "Pf", "Other_Punctuation": "Po", "Symbol": "S",
        "Math_Symbol": "Sm", "Currency_Symbol": "Sc", "Modifier_Symbol": "Sk", "Other_Symbol": "So", "Separator": "Z",
        "Space_Separator": "Zs", "Line_Separator": "Zl", "Paragraph_Separator": "Zp", "Other": "C", "Control": "Cc",
        "cntrl": "Cc", "Format": "Cf", "Surrogate": "Cs", "Private_Use": "Co", "Unassigned": "Cn",
    ]
}
