import Patterns
import Testing

struct ECMAScriptSyntaxTests {
    @Test(
        arguments: [
            ("^\\d+$", "12", true), ("^\\d+$", "\u{0967}", false), ("^\\w$", "é", false), ("\\s", "\u{00a0}", true),
            ("\\s", "\u{feff}", true), ("^\\S$", "\u{2003}", false), ("[\\s]", "\u{2028}", true), ("^a$", "a\n", false),
            ("^.$", "\n", false), ("^.$", "\u{1F432}", true), ("\\u{1F432}", "\u{1F432}", true),
            ("\\uD83D\\uDC32", "\u{1F432}", true), ("\\x41\\u0042", "AB", true), ("^\\cC$", "\u{3}", true),
            ("^\\v$", "\u{b}", true), ("^\\v$", "\n", false), ("^\\0$", "\u{0}", true),
            ("\\p{Letter}cole", "École", true),
            ("^\\p{digit}+$", "42", true), ("\\p{Script=Greek}", "α", true), ("\\p{gc=Lu}", "a", false),
            ("^\\P{L}$", "1", true), ("[[:alpha:]]", "a:]", true), ("^[[:a]+$", ":[a", true), ("[]", "a", false),
            ("[^]", "\n", true), ("^(?:(a)|b)\\1$", "b", true), ("(?<x>a)\\k<x>", "aa", true), ("(?<!a)b", "ab", false),
            ("\\-\\/\\@\\.", "-/@.", true), ("{a}", "{a}", true), ("a{2}?", "aa", true), ("^[\\b]$", "\u{8}", true),
            ("^a{,2}$", "a{,2}", true), ("#a b", "#a b", true),
            ("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\\10", "abcdefghijj", true),
        ])
    func meansWhatECMA262Says(_ source: String, _ text: String, _ isMatch: Bool) throws {
        #expect(try RegularExpression(source, dialect: .ecmaScript).matches(text) == isMatch)
    }

    @Test(
        arguments: [
            "\\Z", "\\A", "\\a", "\\e", "\\G", "\\h", "\\Q", "\\_a\\", "(?i)a", "(?>a)", "(*ACCEPT)", "(?#x)", "a++",
            "a**",
            "^*", "(?P<n>a)", "\\c1", "\\xg1", "\\u12", "\\u{110000}", "\\uD800", "\\u{", "\\p", "\\p{NoSuchThing}",
            "[a", "(a",
            "\\k<none>", "\\2(a)", "x{2}{3}", "\\00", "\\é",
        ])
    func refusesWhatECMA262DoesNotKnow(_ source: String) {
        #expect(throws: PatternSyntaxError.self) { try RegularExpression(source, dialect: .ecmaScript) }
    }
}
