import Bytes

/// A route's path as it is written: exact (`/orders/open`), a template (`/orders/{id}`), a prefix (`/orders/*`) or a
/// regular expression.
///
/// - A parameter is a whole segment and matches one segment that is not empty, or stands in a segment beside text
///   (`/files/{name}.json`); it may have a rule (`/orders/{id:[0-9]+}`). See `SegmentPattern`.
/// - A prefix `/orders/*` matches `/orders`, `/orders/` and everything below; `/*` matches every path. Parameters may stand
///   before the star.
/// - Literal segments are kept in the normal form of request paths: unreserved characters plain, everything else that a
///   segment cannot hold percent-encoded with upper-case digits (so `/café` may be written as it is read).
/// - A regular expression (`/v\d+/orders/.*`) matches the whole path in its normal form.
/// - A trailing slash is part of an exact path: `/a` and `/a/` are two paths.
package struct PathPattern: Sendable, Hashable {
    package enum Kind: Int, Sendable, Comparable {
        case exact = 0
        case template = 1
        case prefix = 2
        case regex = 3

        package static func < (left: Kind, right: Kind) -> Bool { left.rawValue < right.rawValue }
    }

    package enum Segment: Sendable, Hashable {
        /// Normal form; empty only as the last segment of a path with a trailing slash.
        case literal(String)
        /// The parameter's name.
        case parameter(String)
        /// Parameters beside text or with rules.
        case pattern(SegmentPattern)

        package var isLiteral: Bool {
            if case .literal = self { return true }
            return false
        }

        package var isPattern: Bool {
            if case .pattern = self { return true }
            return false
        }
    }

    package let kind: Kind
    /// Between the slashes, without a prefix's star.
    package let segments: [Segment]
    /// As written, literals in normal form; behind `~` for a regular expression.
    package let text: String
    /// Of kind `regex` only.
    package let expression: TextExpression?

    /// Bytes of a pattern at most.
    package static let lengthMax: Int = 2048
    /// Segments of a pattern at most.
    package static let segmentsMax: Int = 64
    /// Parameters of a pattern at most.
    package static let parametersMax: Int = 16

    /// Reads a pattern; the error says what was expected.
    package init(parsing text: String) throws(PatternError) {
        guard !text.hasPrefix("~") else {
            throw PatternError("expected a regular expression in 'regex', not in 'path'")
        }
        guard text.utf8.first == UInt8(ascii: "/") else { throw PatternError("expected a path that starts with '/'") }
        guard text.utf8.count <= Self.lengthMax else {
            throw PatternError("expected a path of at most \(Self.lengthMax) bytes")
        }
        var parts: [ArraySlice<UInt8>] = try Self.split(Array(text.utf8))
        let isPrefix: Bool = parts.last == [UInt8(ascii: "*")]
        if isPrefix { parts.removeLast() }
        guard parts.count <= Self.segmentsMax else {
            throw PatternError("expected a path of at most \(Self.segmentsMax) segments")
        }
        self.segments = try Self.segments(of: parts, mayEndEmpty: !isPrefix)
        let parameters: Int = try Self.countParameters(self.segments)
        self.kind = isPrefix ? .prefix : (parameters > 0 ? .template : .exact)
        self.text = Self.render(self.segments, isPrefix: isPrefix)
        self.expression = nil
    }

    /// A path that a regular expression matches as a whole.
    package init(regex: TextExpression) {
        self.kind = .regex
        self.segments = []
        self.text = "~" + regex.source
        self.expression = regex
    }

    private init(kind: Kind, segments: [Segment]) {
        self.kind = kind
        self.segments = segments
        self.text = Self.render(segments, isPrefix: kind == .prefix)
        self.expression = nil
    }

    /// The pattern below one more literal segment, itself in normal form. A regular expression stays as it is.
    func under(segment: String) -> PathPattern {
        if self.kind == .regex { return self }
        // "/" is one empty segment: below another one it is a trailing slash.
        return PathPattern(kind: self.kind, segments: [.literal(segment)] + self.segments)
    }

    /// Whether the pattern's literal segments begin with those of a path.
    func begins(with prefix: String) -> Bool {
        let wanted: [Substring] = prefix.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        guard wanted.count <= self.segments.count else { return false }
        for (segment, text) in zip(self.segments, wanted) where segment != .literal(String(text)) { return false }
        return true
    }

    /// The number of literal segments; the order of templates.
    package var literalCount: Int {
        var count: Int = 0
        for segment in self.segments where segment.isLiteral { count += 1 }
        return count
    }

    /// The number of segments that are literal in part or have a rule: next in the order of templates.
    package var patternCount: Int {
        var count: Int = 0
        for segment in self.segments where segment.isPattern { count += 1 }
        return count
    }

    /// The pattern with its parameters' names left out: two patterns of one shape match the same paths.
    package var shape: String {
        if self.kind == .regex { return self.text }
        var text: String = ""
        for segment in self.segments {
            switch segment {
            case .literal(let literal): text += "/" + literal
            case .parameter: text += "/{}"
            case .pattern(let pattern): text += "/" + pattern.shape
            }
        }
        return self.kind == .prefix ? text + "/*" : text
    }

    /// What stands between the slashes, but for those in the rules of parameters.
    private static func split(_ bytes: [UInt8]) throws(PatternError) -> [ArraySlice<UInt8>] {
        var parts: [ArraySlice<UInt8>] = []
        var start: Int = 1
        var index: Int = 1
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "/"):
                parts.append(bytes[start..<index])
                start = index + 1
            case UInt8(ascii: "{"):
                guard let end: Int = SegmentBraces.closing(bytes, from: index) else {
                    throw PatternError("expected '{' and '}' around a parameter's name")
                }
                index = end
            default: break
            }
            index += 1
        }
        parts.append(bytes[start...])
        return parts
    }

    private static func segments(
        of parts: [ArraySlice<UInt8>], mayEndEmpty: Bool
    ) throws(PatternError) -> [Segment] {
        var segments: [Segment] = []
        segments.reserveCapacity(parts.count)
        for (index, part) in parts.enumerated() {
            if part.isEmpty {
                // "/" is one empty segment, "/a/" ends with one; anywhere else two slashes meet.
                guard mayEndEmpty && index == parts.count - 1 else {
                    throw PatternError("expected no empty segment ('//') in a path")
                }
            }
            segments.append(try Self.segment(Array(part)))
        }
        return segments
    }

    private static func segment(_ bytes: [UInt8]) throws(PatternError) -> Segment {
        var parts: [SegmentPattern.Part] = []
        var literal: [UInt8] = []
        var index: Int = 0
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "{") else {
                guard bytes[index] != UInt8(ascii: "}") else {
                    throw PatternError("expected '{' and '}' around a parameter's name")
                }
                literal.append(bytes[index])
                index += 1
                continue
            }
            guard let end: Int = SegmentBraces.closing(bytes, from: index) else {
                throw PatternError("expected '{' and '}' around a parameter's name")
            }
            if !literal.isEmpty { parts.append(.literal(try Self.normal(literal))) }
            literal = []
            let parameter: SegmentPattern.Part = try Self.parameter(bytes[(index + 1)..<end])
            if case .parameter(let name, nil) = parts.last {
                throw PatternError("expected text behind {\(name)}, or a rule that says where it ends")
            }
            parts.append(parameter)
            index = end + 1
        }
        if parts.isEmpty { return .literal(try Self.literal(bytes)) }
        if literal.isEmpty, parts.count == 1, case .parameter(let name, nil) = parts[0] { return .parameter(name) }
        if !literal.isEmpty { parts.append(.literal(try Self.normal(literal))) }
        return .pattern(try SegmentPattern(parts: parts))
    }

    /// What stands between the braces: a name, perhaps with a rule behind a colon.
    private static func parameter(_ bytes: ArraySlice<UInt8>) throws(PatternError) -> SegmentPattern.Part {
        let name: ArraySlice<UInt8> = bytes.prefix { $0 != UInt8(ascii: ":") }
        let isName: Bool =
            !name.isEmpty && name.count <= 64
            && name.allSatisfy { EntryRules.isAlphanumeric($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") }
        guard isName else { throw PatternError("expected a parameter's name of 1 to 64 letters, digits, '_' or '-'") }
        let text: String = String(decoding: name, as: UTF8.self)
        if name.count == bytes.count { return .parameter(name: text, rule: nil) }
        return .parameter(name: text, rule: String(decoding: bytes[(name.endIndex + 1)...], as: UTF8.self))
    }

    /// A literal segment in normal form.
    private static func literal(_ bytes: [UInt8]) throws(PatternError) -> String {
        let text: String = try Self.normal(bytes)
        guard text != "." && text != ".." else { throw PatternError("expected a path without '.' and '..' segments") }
        return text
    }

    /// Brings literal text into normal form and refuses what no request path can hold.
    private static func normal(_ bytes: [UInt8]) throws(PatternError) -> String {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var index: Int = 0
        while index < bytes.count {
            let byte: UInt8 = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "%"):
                guard index + 1 < bytes.count, let high: UInt8 = Hex.value(of: bytes[index]),
                    let low: UInt8 = Hex.value(of: bytes[index + 1])
                else { throw PatternError("expected two hexadecimal digits after '%'") }
                index += 2
                PathCharacters.appendNormal(high << 4 | low, to: &out)
            case UInt8(ascii: "*"):
                throw PatternError("expected '*' only as the last segment of a path")
            case UInt8(ascii: "?"), UInt8(ascii: "#"), UInt8(ascii: "\\"):
                throw PatternError("expected a path without '?', '#' and '\\'")
            default:
                if PathCharacters.isPlain(byte) {
                    out.append(byte)
                } else {
                    PathCharacters.appendEncoded(byte, to: &out)
                }
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func countParameters(_ segments: [Segment]) throws(PatternError) -> Int {
        var names: Set<String> = []
        for segment in segments {
            var own: [String] = []
            if case .parameter(let name) = segment { own = [name] }
            if case .pattern(let pattern) = segment { own = pattern.names }
            for name in own where !names.insert(name).inserted {
                throw PatternError("expected the parameter '{\(name)}' only once")
            }
        }
        guard names.count <= Self.parametersMax else {
            throw PatternError("expected at most \(Self.parametersMax) parameters in a path")
        }
        return names.count
    }

    private static func render(_ segments: [Segment], isPrefix: Bool) -> String {
        var text: String = ""
        for segment in segments {
            switch segment {
            case .literal(let literal): text += "/" + literal
            case .parameter(let name): text += "/{\(name)}"
            case .pattern(let pattern): text += "/" + pattern.text
            }
        }
        return isPrefix ? text + "/*" : text
    }
}

/// Which bytes a path segment holds plain, RFC 3986 section 3.3, and the normal form of the others.
package enum PathCharacters {
    /// `unreserved` of RFC 3986 section 2.3: these are the same character encoded or not.
    package static func isUnreserved(_ byte: UInt8) -> Bool {
        EntryRules.isAlphanumeric(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
            || byte == UInt8(ascii: "_")
            || byte == UInt8(ascii: "~")
    }

    /// `pchar` without percent-encoding: what may stand plain in a segment.
    package static func isPlain(_ byte: UInt8) -> Bool {
        if Self.isUnreserved(byte) { return true }
        switch byte {
        case UInt8(ascii: "!"), UInt8(ascii: "$"), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "("),
            UInt8(ascii: ")"),
            UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "="),
            UInt8(ascii: ":"),
            UInt8(ascii: "@"):
            return true
        default: return false
        }
    }

    /// Appends a character that was percent-encoded: plain when unreserved, else encoded with upper-case digits.
    static func appendNormal(_ byte: UInt8, to out: inout [UInt8]) {
        if Self.isUnreserved(byte) { out.append(byte) } else { Self.appendEncoded(byte, to: &out) }
    }

    static func appendEncoded(_ byte: UInt8, to out: inout [UInt8]) {
        let digits: StaticString = "0123456789ABCDEF"
        out.append(UInt8(ascii: "%"))
        out.append(digits.utf8Start[Int(byte >> 4)])
        out.append(digits.utf8Start[Int(byte & 15)])
    }
}
