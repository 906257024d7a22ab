import Testing

@testable import HTTP

@Suite struct HTTPFieldsTests {
    @Test func looksUpWithoutCaseAndKeepsOrder() {
        let fields: HTTPFields = ["Content-Type": "text/plain", "X-A": "1", "x-a": "2"]
        #expect(fields["content-TYPE"] == "text/plain")
        #expect(fields["X-a"] == "1")
        #expect(fields.all("x-A") == ["1", "2"])
        #expect(fields.map { $0.name } == ["Content-Type", "X-A", "x-a"])
        #expect(fields["missing"] == nil)
    }

    @Test func settingReplacesEveryLineAtThePlaceOfTheFirst() {
        var fields: HTTPFields = ["A": "1", "B": "2", "a": "3"]
        fields["a"] = "9"
        #expect(fields == ["a": "9", "B": "2"])
        fields["b"] = nil
        #expect(fields == ["a": "9"])
        fields["C"] = "4"
        #expect(fields == ["a": "9", "C": "4"])
        fields.remove("c")
        #expect(fields.count == 1)
    }

    @Test(arguments: [
        ("close", true), ("Close", true), ("keep-alive, close", true), (" close\t,x", true), ("closed", false),
        ("", false),
    ])
    func findsMembersOfLists(value: String, isThere: Bool) {
        let fields: HTTPFields = ["Connection": value]
        #expect(fields.has("connection", member: "close") == isThere)
    }

    @Test func findsMembersInAnyLine() {
        let fields: HTTPFields = ["Connection": "x", "connection": "close"]
        #expect(fields.has("connection", member: "CLOSE"))
    }

    @Test(arguments: [
        (200, "OK"), (404, "Not Found"), (431, "Request Header Fields Too Large"), (418, ""), (599, ""), (7, ""),
    ])
    func knowsReasonPhrases(code: Int, phrase: String) {
        #expect(HTTPStatus.reason(code) == phrase)
    }
}
