import Patterns
import Testing

struct RegularExpressionTests {
    @Test(
        arguments: [
            ("b+", "abbc", true), ("^b", "abbc", false), ("", "x", true), ("é", "café", true), (".", "\u{1F600}", true),
            ("^.$", "\u{1F600}", true), ("a$", "a\n", false), ("(?i)ABC", "xabcx", true), ("\\d{3}", "ab12", false),
        ])
    func findsAMatch(_ source: String, _ text: String, _ isMatch: Bool) throws {
        for makesMachineCode: Bool in [true, false] {
            let expression: RegularExpression = try RegularExpression(source, makesMachineCode: makesMachineCode)
            #expect(try expression.matches(text) == isMatch)
        }
    }

    @Test func matchesTheWholeTextOrItsStartOnly() throws {
        #expect(try !RegularExpression("b", scope: .whole).matches("abc"))
        #expect(try RegularExpression("a|abc", scope: .whole).matches("abc"))
        #expect(try !RegularExpression("b", scope: .start).matches("abc"))
        #expect(try RegularExpression("a", scope: .start).matches("abc"))
    }

    @Test func tellsWhereGroupsStand() throws {
        let expression: RegularExpression = try RegularExpression("/(?<area>[a-z]+)(?:/(x))?/(\\d+)")
        let match: PatternMatch? = try expression.firstMatch(in: Array("--/orders/17--".utf8))
        #expect(match?.groups == [2..<12, 3..<9, nil, 10..<12])
        #expect(expression.groupNames.map(\.name) == ["area"])
        #expect(try expression.firstMatch(in: Array("/orders".utf8)) == nil)
    }

    @Test(
        arguments: [
            ("(a", 2), ("[z-a]", 3), ("a{2,1}", 5), ("\\C", 2), ("a\\Gb", 1), ("(?<x>a)(?<x>b)", 12), ("*a", 0),
        ])
    func saysWhereItMakesNoSense(_ source: String, _ offset: Int) {
        let error: PatternSyntaxError? = #expect(throws: PatternSyntaxError.self) { try RegularExpression(source) }
        #expect(error?.offset == offset, "\(String(describing: error))")
        #expect(error?.message.isEmpty == false)
    }

    @Test func refusesAnExpressionBeyondItsLimits() {
        #expect(throws: PatternSyntaxError.self) { try RegularExpression(String(repeating: "a", count: 4097)) }
        #expect(throws: PatternSyntaxError.self) { try RegularExpression(String(repeating: "(a)", count: 64)) }
        let deep: String = String(repeating: "(?:", count: 65) + String(repeating: ")", count: 65)
        #expect(throws: PatternSyntaxError.self) { try RegularExpression(deep) }
        #expect(throws: PatternSyntaxError.self) {
            try RegularExpression("((((((a{1,1000}){1,1000}){1,1000}){1,1000}){1,1000}){1,1000})")
        }
    }

    @Test(
        arguments: [
            ("^(a+)+$", "a", "b"), ("(a|aa)+$", "a", "b"), ("(x+x+)+y", "x", ""),
            ("^(([a-z])+.)+[A-Z]([a-z])+$", "a", ""),
            ("(.*)*[0-9]z", "ab", "!"), ("^(?:(?:a?){30}){30}$", "a", "c"), ("(?=(a+))a*b\\1", "a", ""),
        ])
    func givesUpOnACatastrophe(_ source: String, _ unit: String, _ end: String) throws {
        for makesMachineCode: Bool in [true, false] {
            let expression: RegularExpression = try RegularExpression(source, makesMachineCode: makesMachineCode)
            for count: Int in [50, 1000, 20_000] {
                let text: String = String(repeating: unit, count: count) + end
                // Giving up and finding out cheaply that nothing matches are both fine; not coming back is not.
                do {
                    #expect(try !expression.matches(text))
                } catch {
                    #expect(error == .tooMuchWork)
                }
            }
        }
    }

    @Test func reportsThatItGaveUp() throws {
        let expression: RegularExpression = try RegularExpression("^(a+)+$")
        let text: String = String(repeating: "a", count: 40) + "b"
        #expect(throws: PatternFailure.tooMuchWork) { try expression.matches(text) }
        let interpreted: RegularExpression = try RegularExpression("^(a+)+$", makesMachineCode: false)
        #expect(throws: PatternFailure.tooMuchWork) { try interpreted.matches(text) }
    }

    @Test func looksAtTheClockInALongText() throws {
        // Each place reads to the end of the text: quadratic without any going back.
        var limits: PatternLimits = PatternLimits(textBytesMax: 8 << 20)
        limits.nanosecondsMax = 1_000_000
        let expression: RegularExpression = try RegularExpression("[ab]*+[cd]", limits: limits)
        let text: String = String(repeating: "ab", count: 2 << 20)
        #expect(throws: PatternFailure.tooMuchWork) { try expression.matches(text) }
    }

    @Test func findsAMatchFarInALongText() throws {
        let expression: RegularExpression = try RegularExpression("é+x")
        for count: Int in [2046, 2047, 2048, 2049, 10_000, 20_000] {
            let text: [UInt8] = [UInt8](repeating: UInt8(ascii: "a"), count: count)
            let match: PatternMatch? = try expression.firstMatch(in: text + Array("ééx".utf8))
            #expect(match?.range == count..<(count + 5))
        }
    }

    @Test func refusesATextThatIsTooLong() throws {
        let expression: RegularExpression = try RegularExpression("a")
        let text: [UInt8] = [UInt8](repeating: UInt8(ascii: "b"), count: (1 << 16) + 1)
        #expect(throws: PatternFailure.textTooLong(max: 1 << 16)) { try expression.matches(text) }
    }

    @Test(arguments: [0, 100, 6_000])
    func longTextThatIsNotUTF8MatchesNothing(place: Int) throws {
        // Longer than what is looked through at once.
        var text: [UInt8] = [UInt8](repeating: UInt8(ascii: "b"), count: 6_500) + Array("a".utf8)
        #expect(try RegularExpression("a").matches(text))
        text[place] = 0xcb
        #expect(try !RegularExpression("a").matches(text))
        #expect(try !RegularExpression("a", makesMachineCode: false).matches(text))
    }

    @Test func textThatIsNotUTF8MatchesNothing() throws {
        let expression: RegularExpression = try RegularExpression(".*")
        #expect(try !expression.matches([0x61, 0xff]))
        #expect(try expression.matches([]))
    }

    @Test func manyThreadsUseOneExpression() async throws {
        let expression: RegularExpression = try RegularExpression("(\\d+)-(\\d+)")
        await withTaskGroup(of: Bool.self) { group in
            for worker: Int in 0..<8 {
                group.addTask {
                    for index: Int in 0..<500 {
                        let text: String = "\(String(repeating: "x", count: worker))\(index)-\(worker)"
                        guard let match = try? expression.firstMatch(in: Array(text.utf8)),
                            match.range.lowerBound == worker
                        else { return false }
                    }
                    return true
                }
            }
            for await isRight: Bool in group { #expect(isRight) }
        }
    }

    @Test(
        arguments: [
            ("/v(\\d+)/(.*)", "/$2?v=$1", "/v12/orders", "/orders?v=12"), ("o", "$$$0", "foo", "f$oo"),
            ("(?<a>f)(x)?", "${a}[$2]", "foo", "f[]oo"), ("x", "y", "foo", nil), ("", "-", "ab", "-ab"),
        ] as [(String, String, String, String?)])
    func replacesTheFirstMatch(_ source: String, _ by: String, _ text: String, _ wanted: String?) throws {
        let expression: RegularExpression = try RegularExpression(source)
        let replacement: PatternReplacement = try PatternReplacement(by, for: expression)
        let result: [UInt8]? = try expression.replacing(Array(text.utf8), with: replacement)
        #expect(result.map { String(decoding: $0, as: UTF8.self) } == wanted)
    }

    @Test func replacesAllMatches() throws {
        let expression: RegularExpression = try RegularExpression("b*")
        let replacement: PatternReplacement = try PatternReplacement("-", for: expression)
        let result: [UInt8]? = try expression.replacing(Array("abbé".utf8), with: replacement, all: true)
        #expect(result.map { String(decoding: $0, as: UTF8.self) } == "-a--é-")
        let many: [UInt8] = [UInt8](repeating: UInt8(ascii: "b"), count: 5000)
        let one: RegularExpression = try RegularExpression("b")
        #expect(throws: PatternFailure.tooMuchWork) { try one.replacing(many, with: replacement, all: true) }
    }

    @Test(arguments: ["$", "$x", "${", "${none}", "$3", "${9}"])
    func refusesAReplacementItCannotMake(_ text: String) throws {
        let expression: RegularExpression = try RegularExpression("(a)(b)")
        #expect(throws: PatternSyntaxError.self) { try PatternReplacement(text, for: expression) }
    }
}
