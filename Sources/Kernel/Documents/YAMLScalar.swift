import JSON

/// The core schema of YAML 1.2 (section 10.3.2): what a plain scalar means.
enum YAMLScalar {
    /// The value of a plain scalar; nil for `.inf` and `.nan`, which are no numbers to us, and for numbers too large for a double.
    static func kind(_ text: String) -> Node.Kind? {
        switch text {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE": return .bool(true)
        case "false", "False", "FALSE": return .bool(false)
        default: break
        }
        guard let first: UInt8 = text.utf8.first, self.maybeNumber(first) else { return .string(text) }
        if self.isInfinityOrNaN(text) { return nil }
        if let integer: Node.Kind = self.integer(text) { return integer }
        guard self.isFloat(Array(text.utf8)) else { return .string(text) }
        guard let value: Double = self.double(text), value.isFinite else { return nil }
        return .double(value)
    }

    /// The value of a scalar with an explicit core tag ("int", "float", "bool", "null", "str"); nil when it is none.
    static func kind(_ text: String, tag: Substring) -> Node.Kind? {
        if tag == "str" { return .string(text) }
        let kind: Node.Kind? = self.kind(text)
        switch (tag, kind) {
        case ("int", .int), ("bool", .bool), ("null", .null), ("float", .double): return kind
        case ("float", .int(let value)): return .double(Double(value))
        default: return nil
        }
    }

    private static func maybeNumber(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."): return true
        default: return false
        }
    }

    private static func isInfinityOrNaN(_ text: String) -> Bool {
        switch text {
        case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", ".nan", ".NaN", ".NAN":
            return true
        default: return false
        }
    }

    /// Decimal, `0o` octal or `0x` hexadecimal; beyond 64 bits a double.
    private static func integer(_ text: String) -> Node.Kind? {
        if text.hasPrefix("0o") { return self.integer(text.dropFirst(2), radix: 8) }
        if text.hasPrefix("0x") { return self.integer(text.dropFirst(2), radix: 16) }
        let signed: Bool = text.utf8.first == UInt8(ascii: "-") || text.utf8.first == UInt8(ascii: "+")
        let digits: Substring = text.dropFirst(signed ? 1 : 0)
        guard !digits.isEmpty, self.areDigits(digits) else { return nil }
        if let value: Int64 = Int64(text) { return .int(value) }
        return nil
    }

    private static func integer(_ digits: Substring, radix: Int) -> Node.Kind? {
        // Int64 takes a sign, which these forms do not have.
        guard let first: UInt8 = digits.utf8.first, first != UInt8(ascii: "+"), first != UInt8(ascii: "-"),
            let value: Int64 = Int64(digits, radix: radix)
        else { return nil }
        return .int(value)
    }

    private static func areDigits(_ text: Substring) -> Bool {
        for byte: UInt8 in text.utf8 where byte < UInt8(ascii: "0") || byte > UInt8(ascii: "9") { return false }
        return true
    }

    /// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
    private static func isFloat(_ text: [UInt8]) -> Bool {
        var index: Int = text[0] == UInt8(ascii: "-") || text[0] == UInt8(ascii: "+") ? 1 : 0
        let whole: Int = self.skipDigits(text, &index)
        if index < text.count, text[index] == UInt8(ascii: ".") {
            index += 1
            if self.skipDigits(text, &index) == 0, whole == 0 { return false }
        } else if whole == 0 {
            return false
        }
        if index < text.count, text[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            if index < text.count, text[index] == UInt8(ascii: "-") || text[index] == UInt8(ascii: "+") { index += 1 }
            if self.skipDigits(text, &index) == 0 { return false }
        }
        return index == text.count
    }

    private static func skipDigits(_ text: [UInt8], _ index: inout Int) -> Int {
        let start: Int = index
        while index < text.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[index]) { index += 1 }
        return index - start
    }

    /// Longer numbers are refused: no double needs as many digits.
    private static let numberBytesMax: Int = 1024

    private static func double(_ text: String) -> Double? {
        guard text.utf8.count <= self.numberBytesMax else { return nil }
        // Swift wants a digit on both sides of the point, YAML on one.
        var digits: String = text.first == "+" ? String(text.dropFirst()) : text
        if digits.hasPrefix(".") { digits = "0" + digits }
        if digits.hasPrefix("-.") { digits = "-0" + digits.dropFirst() }
        return Double(digits) ?? Double(digits.split(separator: ".", maxSplits: 1).joined(separator: ".0"))
    }
}
