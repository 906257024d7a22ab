import CPCRE2

/// A compiled regular expression (PCRE2, UTF-8). Made once, used by any number of threads.
///
/// Matching is bounded in three ways, and passing a bound is an error, never a hang: steps from one place of the text, memory,
/// and processor time over all places (`PatternLimits`). Machine code is made where the system allows it; where it does not
/// (no memory may be made executable), the same expression is interpreted.
package final class RegularExpression: @unchecked Sendable {
    // Safe to share: pcre2api(3), "Multithreading": "the compiled form can be used in any thread ... provided it is not
    // being changed", and nothing changes it after `init`.
    private let code: OpaquePointer
    /// As it was written.
    package let source: String
    package let limits: PatternLimits
    /// The number of groups that capture.
    package let groupCount: Int
    /// Names of groups with their numbers, in order of name.
    package let groupNames: [(name: String, number: Int)]
    /// Whether it matches at one place of a text only, so that no other place is tried.
    private let isAnchored: Bool
    /// Whether machine code was made.
    package let isMachineCode: Bool

    /// Compiles `source`; the error says where it stops to make sense. Cost: microseconds to milliseconds, by its length.
    package init(
        _ source: String, dialect: PatternDialect = .perl, scope: PatternScope = .anywhere,
        ignoresCase: Bool = false, limits: PatternLimits = .standard, makesMachineCode: Bool = true
    ) throws(PatternSyntaxError) {
        guard source.utf8.count <= PatternLimits.sourceBytesMax else {
            throw PatternSyntaxError(
                offset: 0, message: "expected an expression of at most \(PatternLimits.sourceBytesMax) bytes")
        }
        let text: [UInt8]
        switch dialect {
        case .perl: text = try PerlSyntax.checked(Array(source.utf8))
        case .ecmaScript: text = try ECMAScriptSyntax.translated(source)
        }
        let code: OpaquePointer = try Self.compile(text, scope, ignoresCase: ignoresCase, dialect)
        let groupCount: Int = Int(Self.number(code, UInt32(PCRE2_INFO_CAPTURECOUNT)))
        guard groupCount < PatternLimits.groupsMax else {
            pcre2_code_free_8(code)
            throw PatternSyntaxError(
                offset: 0, message: "expected at most \(PatternLimits.groupsMax - 1) groups, found \(groupCount)")
        }
        self.isMachineCode = makesMachineCode && pcre2_jit_compile_8(code, PCRE2_JIT_COMPLETE) == 0
        self.code = code
        self.source = source
        self.limits = limits
        self.groupCount = groupCount
        self.groupNames = Self.names(code)
        self.isAnchored = Self.number(code, UInt32(PCRE2_INFO_ALLOPTIONS)) & PCRE2_ANCHORED != 0
    }

    deinit { pcre2_code_free_8(self.code) }

    // MARK: Matching

    /// Whether the expression matches. Text that is not UTF-8 matches nothing.
    package func matches(_ text: UnsafeRawBufferPointer) throws(PatternFailure) -> Bool {
        try self.search(text, from: 0, MatchScratch.current)
    }

    package func matches(_ text: [UInt8]) throws(PatternFailure) -> Bool {
        let found: Result<Bool, PatternFailure> = text.withUnsafeBytes { bytes in
            do throws(PatternFailure) { return .success(try self.matches(bytes)) } catch { return .failure(error) }
        }
        return try found.get()
    }

    package func matches(_ text: String) throws(PatternFailure) -> Bool { try self.matches(Array(text.utf8)) }

    /// The first match at or behind `start`, or nil. Text that is not UTF-8 matches nothing.
    package func firstMatch(
        in text: [UInt8], from start: Int = 0
    ) throws(PatternFailure) -> PatternMatch? {
        let scratch: MatchScratch = MatchScratch.current
        let found: Result<Bool, PatternFailure> = text.withUnsafeBytes { bytes in
            do throws(PatternFailure) { return .success(try self.search(bytes, from: start, scratch)) } catch {
                return .failure(error)
            }
        }
        return try found.get() ? scratch.match(groups: self.groupCount) : nil
    }

    /// Looks through the text piece by piece: only so the time for a long text is known while it is searched.
    private func search(
        _ text: UnsafeRawBufferPointer, from start: Int, _ scratch: MatchScratch
    ) throws(PatternFailure) -> Bool {
        guard text.count <= self.limits.textBytesMax else { throw .textTooLong(max: self.limits.textBytesMax) }
        scratch.prepare(self.limits, textBytes: text.count)
        if self.isAnchored || text.count - start <= MatchScratch.firstPiece {
            return try self.attempt(text, from: start, upTo: text.count, scratch, isChecked: false) == .match
        }
        let began: UInt64 = ThreadTime.now()
        var piece: Int = MatchScratch.firstPiece
        var place: Int = start
        var pieceBegan: UInt64 = began
        while place <= text.count {
            let end: Int = min(text.count, place + piece - 1)
            switch try self.attempt(text, from: place, upTo: end, scratch, isChecked: place > start) {
            case .match: return true
            case .noMatch: break
            // The next piece would not be checked again.
            case .notUTF8: return false
            }
            place = Self.characterStart(text, at: end + 1)
            let now: UInt64 = ThreadTime.now()
            if now &- began > self.limits.nanosecondsMax { throw .tooMuchWork }
            // Easy texts are done in a few large pieces, hard ones stay under the clock.
            if now &- pieceBegan < MatchScratch.easyNanoseconds { piece *= 4 }
            pieceBegan = now
        }
        return false
    }

    /// The first byte at or behind `index` that begins a character.
    private static func characterStart(_ text: UnsafeRawBufferPointer, at index: Int) -> Int {
        var index: Int = index
        while index < text.count && text[index] & 0xc0 == 0x80 { index += 1 }
        return index
    }

    private enum Outcome {
        case match
        case noMatch
        case notUTF8
    }

    /// Tries the places from `start` to `end`. `isChecked`: all of the text behind `start` is known to be UTF-8; what was not found
    /// to be so must never come here as if it were, since nothing looks at it again.
    private func attempt(
        _ text: UnsafeRawBufferPointer, from start: Int, upTo end: Int, _ scratch: MatchScratch, isChecked: Bool
    ) throws(PatternFailure) -> Outcome {
        scratch.limit(offset: end)
        let result: Int32 = scratch.match(self.code, text, from: start, options: isChecked ? PCRE2_NO_UTF_CHECK : 0)
        if result >= 0 { return .match }
        switch result {
        case PCRE2_ERROR_NOMATCH: return .noMatch
        case PCRE2_ERROR_MATCHLIMIT, PCRE2_ERROR_DEPTHLIMIT, PCRE2_ERROR_HEAPLIMIT, PCRE2_ERROR_JIT_STACKLIMIT,
            PCRE2_ERROR_NOMEMORY, PCRE2_ERROR_RECURSELOOP:
            throw .tooMuchWork
        default:
            // -3 to -22: the text is no UTF-8; -36: `start` is inside a character.
            return .notUTF8
        }
    }

    // MARK: Making

    private static func compile(
        _ text: [UInt8], _ scope: PatternScope, ignoresCase: Bool, _ dialect: PatternDialect
    ) throws(PatternSyntaxError) -> OpaquePointer {
        var options: UInt32 =
            PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY | PCRE2_USE_OFFSET_LIMIT
        if scope == .whole { options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED }
        if scope == .start { options |= PCRE2_ANCHORED }
        if ignoresCase { options |= PCRE2_CASELESS }
        if dialect == .ecmaScript { options |= PCRE2_MATCH_UNSET_BACKREF | PCRE2_ALLOW_EMPTY_CLASS }
        let context: OpaquePointer? = pcre2_compile_context_create_8(nil)
        defer { pcre2_compile_context_free_8(context) }
        pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_ANYCRLF))
        pcre2_set_parens_nest_limit_8(context, PatternLimits.nestingMax)
        var failure: Int32 = 0
        var offset: Int = 0
        let code: OpaquePointer? = text.withUnsafeBufferPointer { bytes in
            // An empty array has no address, yet an empty expression is one.
            var empty: UInt8 = 0
            return withUnsafePointer(to: &empty) {
                pcre2_compile_8(bytes.baseAddress ?? $0, bytes.count, options, &failure, &offset, context)
            }
        }
        guard let code else {
            throw PatternSyntaxError(offset: min(offset, text.count), message: Self.words(failure))
        }
        return code
    }

    private static func words(_ failure: Int32) -> String {
        var buffer: [UInt8] = [UInt8](repeating: 0, count: 256)
        let count: Int32 = pcre2_get_error_message_8(failure, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<Int(count)], as: UTF8.self) : "not a regular expression"
    }

    private static func number(_ code: OpaquePointer, _ what: UInt32) -> UInt32 {
        var value: UInt32 = 0
        _ = pcre2_pattern_info_8(code, what, &value)
        return value
    }

    private static func names(_ code: OpaquePointer) -> [(name: String, number: Int)] {
        let count: Int = Int(self.number(code, UInt32(PCRE2_INFO_NAMECOUNT)))
        let size: Int = Int(self.number(code, UInt32(PCRE2_INFO_NAMEENTRYSIZE)))
        var table: UnsafePointer<UInt8>? = nil
        guard count > 0, pcre2_pattern_info_8(code, UInt32(PCRE2_INFO_NAMETABLE), &table) == 0, let table else {
            return []
        }
        var names: [(name: String, number: Int)] = []
        for index in 0..<count {
            // An entry: the number in two bytes, the name, a zero byte.
            let entry: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(start: table + index * size, count: size)
            let name: ArraySlice<UInt8> = Array(entry)[2...].prefix { $0 != 0 }
            names.append((String(decoding: name, as: UTF8.self), Int(entry[0]) << 8 | Int(entry[1])))
        }
        return names
    }
}

/// Where the groups of a match stand in the text, in bytes; group 0 is the whole match.
package struct PatternMatch: Sendable {
    /// Nil for a group that took no part.
    package let groups: [Range<Int>?]

    /// The whole match.
    package var range: Range<Int> { self.groups[0] ?? 0..<0 }
}

/// Where an expression has to match.
package enum PatternScope: Sendable {
    /// Somewhere in the text.
    case anywhere
    /// At the text's beginning.
    case start
    /// The whole text.
    case whole
}

/// Which language an expression is written in.
package enum PatternDialect: Sendable {
    /// PCRE2's own, less `\C` and `\G`.
    case perl
    /// ECMA-262 with the flag `u`, as JSON Schema asks for.
    case ecmaScript
}
