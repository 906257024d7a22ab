import Bytes
package import Patterns

/// A path segment with text around its parameters, or with parameters that have a rule: `{name}.json`, `{from}-{to}`,
/// `{id:[0-9]+}`.
///
/// A parameter without a rule takes at least one character; of several, the first ones take as few as they can. A rule is a
/// regular expression (PCRE2) for the parameter's text as it stands in the path, percent-encoded where a path has to be.
/// Two are equal when they are written the same.
package struct SegmentPattern: Sendable, Hashable {
    package enum Part: Sendable, Hashable {
        /// In normal form.
        case literal(String)
        case parameter(name: String, rule: String?)
    }

    /// Literals and parameters in turn; at least one parameter.
    package let parts: [Part]
    /// What stands before the first parameter, and behind the last one.
    package let prefix: [UInt8]
    package let suffix: [UInt8]
    /// What the whole segment has to match; nil: one parameter without a rule, so prefix and suffix say all.
    package let expression: RegularExpression?

    init(parts: [Part]) throws(PatternError) {
        self.parts = parts
        self.prefix = Self.literal(parts.first)
        self.suffix = parts.count > 1 ? Self.literal(parts.last) : []
        var parameters: Int = 0
        var hasRule: Bool = false
        for case .parameter(_, let rule) in parts {
            parameters += 1
            if let rule {
                hasRule = true
                _ = try TextExpression(parsing: rule)
            }
        }
        if parameters == 1 && !hasRule {
            self.expression = nil
            return
        }
        do throws(PatternSyntaxError) {
            self.expression = try RegularExpression(Self.source(parts), scope: .whole)
        } catch {
            throw PatternError("expected rules that can stand together in a segment: \(error.message)")
        }
    }

    /// As it is written.
    package var text: String {
        var text: String = ""
        for part in self.parts {
            switch part {
            case .literal(let literal): text += literal
            case .parameter(let name, let rule): text += rule.map { "{\(name):\($0)}" } ?? "{\(name)}"
            }
        }
        return text
    }

    /// The same without the names: two of one shape match the same segments.
    package var shape: String {
        var text: String = ""
        for part in self.parts {
            switch part {
            case .literal(let literal): text += literal
            case .parameter(_, let rule): text += rule.map { "{:\($0)}" } ?? "{}"
            }
        }
        return text
    }

    package var names: [String] {
        var names: [String] = []
        for case .parameter(let name, _) in self.parts { names.append(name) }
        return names
    }

    /// Whether a segment fits. - Throws: when the rules cost more than a request may.
    package func matches(_ segment: [UInt8]) throws(PatternFailure) -> Bool {
        guard segment.count > self.prefix.count + self.suffix.count, segment.starts(with: self.prefix),
            segment.suffix(self.suffix.count).elementsEqual(self.suffix)
        else { return false }
        guard let expression: RegularExpression else { return true }
        return try expression.matches(segment)
    }

    /// The values of its parameters in a segment that fits; nil where none does.
    package func values(in segment: [UInt8]) -> [(name: String, value: String)]? {
        guard (try? self.matches(segment)) == true else { return nil }
        let names: [String] = self.names
        guard let expression: RegularExpression else {
            let value: ArraySlice<UInt8> = segment.dropFirst(self.prefix.count).dropLast(self.suffix.count)
            return [(names[0], String(decoding: value, as: UTF8.self))]
        }
        guard let match: PatternMatch = (try? expression.firstMatch(in: segment)) ?? nil else { return nil }
        var values: [(name: String, value: String)] = []
        for (index, name) in names.enumerated() {
            guard let group: Int = expression.groupNames.first(where: { $0.name == Self.group(index) })?.number,
                let range: Range<Int> = match.groups[group]
            else { continue }
            values.append((name, String(decoding: segment[range], as: UTF8.self)))
        }
        return values
    }

    package static func == (left: SegmentPattern, right: SegmentPattern) -> Bool { left.parts == right.parts }

    package func hash(into hasher: inout Hasher) { self.parts.hash(into: &hasher) }

    // MARK: Making

    private static func literal(_ part: Part?) -> [UInt8] {
        if case .literal(let text) = part { return Array(text.utf8) }
        return []
    }

    /// Parameters become groups of names that no rule is likely to use, so that a rule's own groups do no harm.
    private static func source(_ parts: [Part]) -> String {
        var source: String = ""
        var number: Int = 0
        for part in parts {
            switch part {
            case .literal(let text): source += self.quoted(text)
            case .parameter(_, let rule):
                source += "(?<\(self.group(number))>\(rule ?? ".+?"))"
                number += 1
            }
        }
        return source
    }

    private static func group(_ number: Int) -> String { "_parameter\(number)" }

    /// Normal form is ASCII: whatever is no letter or digit stands for itself behind a backslash.
    private static func quoted(_ text: String) -> String {
        var quoted: String = ""
        for character in text.unicodeScalars {
            let isPlain: Bool = EntryRules.isAlphanumeric(UInt8(truncatingIfNeeded: character.value))
            quoted += isPlain ? "" : "\\"
            quoted.unicodeScalars.append(character)
        }
        return quoted
    }
}

/// Finds where a parameter in braces ends.
enum SegmentBraces {
    /// The place of the brace that closes the one at `opening`; nil: there is none. In a rule, braces that are escaped or in a
    /// class of characters do not count, and others stand in pairs.
    static func closing(_ bytes: [UInt8], from opening: Int) -> Int? {
        var depth: Int = 0
        var isInClass: Bool = false
        var index: Int = opening
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\\"): index += 1
            case UInt8(ascii: "[") where !isInClass:
                isInClass = true
                // A bracket that comes first is a member of the class.
                if index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "^") { index += 1 }
                if index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "]") { index += 1 }
            case UInt8(ascii: "]"): isInClass = false
            case UInt8(ascii: "{") where !isInClass: depth += 1
            case UInt8(ascii: "}") where !isInClass:
                depth -= 1
                if depth == 0 { return index }
            default: break
            }
            index += 1
        }
        return nil
    }
}
