import Patterns

/// What libFuzzer calls with every input: an expression, a line end, and a text to look through.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzPatterns(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: [UInt8] = Array(UnsafeRawBufferPointer(start: data, count: count))
    let end: Int = bytes.firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
    let source: String = String(decoding: bytes[..<end], as: UTF8.self)
    let text: [UInt8] = Array(bytes[min(end + 1, bytes.count)...])
    let limits: PatternLimits = PatternLimits(textBytesMax: 1 << 16, stepsMax: 2000, nanosecondsMax: 2_000_000)
    for dialect: PatternDialect in [.perl, .ecmaScript] {
        guard let expression = try? RegularExpression(source, dialect: dialect, limits: limits) else { continue }
        // What costs too much is refused, and nothing more is asked of it.
        guard let match: PatternMatch = try? expression.firstMatch(in: text) else { continue }
        for group: Range<Int>? in match.groups {
            precondition(group.map { $0.upperBound <= text.count } ?? true, "groups lie in the text")
        }
        if let replacement = try? PatternReplacement("<$0>", for: expression) {
            _ = try? expression.replacing(text, with: replacement, all: true)
        }
    }
    return 0
}
