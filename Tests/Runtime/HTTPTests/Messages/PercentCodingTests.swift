import Testing

@testable import HTTP

@Suite struct PercentCodingTests {
    @Test(arguments: [
        ("plain", "plain"), ("a%20b", "a b"), ("%C3%A9", "é"), ("%c3%a9", "é"), ("a+b", "a+b"), ("%2F", "/"), ("", ""),
        ("%25", "%"),
    ])
    func decodes(text: String, expected: String) {
        #expect(PercentCoding.decode(text) == expected)
    }

    @Test(arguments: ["%", "a%2", "%zz", "%2g", "%C3", "%FF", "a%00b", "%C0%AF", "%ED%A0%80", "\0"])
    func refusesBrokenEscapesAndText(text: String) {
        #expect(PercentCoding.decode(text) == nil)
    }

    @Test func readsPlusAsSpaceOnlyInForms() {
        #expect(PercentCoding.decode("a+b%2B", plusIsSpace: true) == "a b+")
    }

    @Test(arguments: [
        ("a b/c?d=é", "a%20b%2Fc%3Fd%3D%C3%A9", "a%20b%2Fc%3Fd=%C3%A9"), ("-._~", "-._~", "-._~"),
        ("x:y@z", "x%3Ay%40z", "x:y@z"),
    ])
    func encodes(text: String, component: String, segment: String) {
        #expect(PercentCoding.encode(text) == component)
        #expect(PercentCoding.encode(text, keeping: .pathSegment) == segment)
    }

    @Test func everyCharacterSurvivesARoundTrip() {
        for code in UInt32(1)...0x2FF {
            guard let scalar: Unicode.Scalar = Unicode.Scalar(code) else { continue }
            let text: String = String(Character(scalar)) + "x"
            #expect(PercentCoding.decode(PercentCoding.encode(text)) == text)
            #expect(PercentCoding.decode(PercentCoding.encode(text, keeping: .pathSegment)) == text)
        }
    }
}
