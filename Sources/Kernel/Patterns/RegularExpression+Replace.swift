/// What takes a match's place: text with `$1`, `${1}`, `${name}`, `$0` for the whole match and `$$` for a dollar.
package struct PatternReplacement: Sendable {
    enum Part: Sendable, Equatable {
        case text([UInt8])
        case group(Int)
    }

    let parts: [Part]
    package let source: String

    /// Reads a replacement for matches of `expression`; the error says what was expected.
    package init(_ source: String, for expression: RegularExpression) throws(PatternSyntaxError) {
        self.source = source
        self.parts = try Self.parse(Array(source.utf8), expression)
    }

    private static func parse(
        _ bytes: [UInt8], _ expression: RegularExpression
    ) throws(PatternSyntaxError) -> [Part] {
        var parts: [Part] = []
        var text: [UInt8] = []
        var index: Int = 0
        while index < bytes.count {
            let byte: UInt8 = bytes[index]
            index += 1
            guard byte == UInt8(ascii: "$") else {
                text.append(byte)
                continue
            }
            if index < bytes.count, bytes[index] == byte {
                text.append(byte)
                index += 1
                continue
            }
            let place: Int = index - 1
            let number: Int = try self.group(bytes, &index, expression)
            guard number <= expression.groupCount else {
                throw PatternSyntaxError(
                    offset: place, message: "expected a group up to $\(expression.groupCount), found $\(number)")
            }
            if !text.isEmpty { parts.append(.text(text)) }
            text = []
            parts.append(.group(number))
        }
        if !text.isEmpty { parts.append(.text(text)) }
        return parts
    }

    /// Reads what follows a dollar.
    private static func group(
        _ bytes: [UInt8], _ index: inout Int, _ expression: RegularExpression
    ) throws(PatternSyntaxError) -> Int {
        let expected: PatternSyntaxError = PatternSyntaxError(
            offset: index - 1, message: "expected $1, ${1}, ${name} or $$")
        if index < bytes.count, bytes[index] == UInt8(ascii: "{") {
            guard let end: Int = bytes[index...].firstIndex(of: UInt8(ascii: "}")) else { throw expected }
            let name: String = String(decoding: bytes[(index + 1)..<end], as: UTF8.self)
            index = end + 1
            if let number: Int = Int(name), number >= 0 { return number }
            for (known, number) in expression.groupNames where known == name { return number }
            throw PatternSyntaxError(
                offset: expected.offset, message: "expected a group of the expression, found \(name)")
        }
        let digits: ArraySlice<UInt8> = bytes[index...].prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
        guard !digits.isEmpty, digits.count <= 2, let number: Int = Int(String(decoding: digits, as: UTF8.self)) else {
            throw expected
        }
        index += digits.count
        return number
    }

    func append(_ match: PatternMatch, of text: [UInt8], to out: inout [UInt8]) {
        for part in self.parts {
            switch part {
            case .text(let bytes): out.append(contentsOf: bytes)
            case .group(let number):
                if let range: Range<Int> = match.groups[number] { out.append(contentsOf: text[range]) }
            }
        }
    }
}

extension RegularExpression {
    /// The text with its first match, or all of them, replaced; nil when there is none. At most `bytesMax` bytes come out.
    package func replacing(
        _ text: [UInt8], with replacement: PatternReplacement, all: Bool = false, bytesMax: Int = 1 << 16
    ) throws(PatternFailure) -> [UInt8]? {
        var out: [UInt8] = []
        var copied: Int = 0
        var start: Int = 0
        var count: Int = 0
        while start <= text.count, let match: PatternMatch = try self.firstMatch(in: text, from: start) {
            let range: Range<Int> = match.range
            // `\K` in a look-behind can give a match that begins before the search did.
            if range.lowerBound < copied { break }
            count += 1
            out.append(contentsOf: text[copied..<range.lowerBound])
            replacement.append(match, of: text, to: &out)
            copied = range.upperBound
            guard out.count <= bytesMax else { throw .textTooLong(max: bytesMax) }
            guard count <= Self.replacementsMax else { throw .tooMuchWork }
            if !all { break }
            start = range.isEmpty ? Self.afterCharacter(text, at: copied) : copied
        }
        if count == 0 { return nil }
        out.append(contentsOf: text[copied...])
        return out
    }

    /// Matches of one text replaced at most.
    private static let replacementsMax: Int = 1000

    private static func afterCharacter(_ text: [UInt8], at index: Int) -> Int {
        var index: Int = index + 1
        while index < text.count && text[index] & 0xc0 == 0x80 { index += 1 }
        return index
    }
}
