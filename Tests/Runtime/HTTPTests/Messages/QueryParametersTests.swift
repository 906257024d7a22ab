import Testing

@testable import HTTP

@Suite struct QueryParametersTests {
    @Test(
        arguments: [
            ("", []), ("a=1", [("a", "1")]), ("a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
            ("a", [("a", "")]), ("a=", [("a", "")]), ("=1", [("", "1")]), ("&&a=1&", [("a", "1")]),
            ("a=b=c", [("a", "b=c")]), ("q=two+words%21&%C3%A9=%26", [("q", "two words!"), ("é", "&")]),
        ] as [(String, [(String, String)])])
    func reads(text: String, pairs: [(String, String)]) throws {
        let parsed: QueryParameters = try QueryParameters.parse(text)
        #expect(parsed.pairs.map { $0.name } == pairs.map { $0.0 })
        #expect(parsed.pairs.map { $0.value } == pairs.map { $0.1 })
    }

    @Test func findsTheFirstAndAll() throws {
        let parsed: QueryParameters = try QueryParameters.parse("a=1&b=2&a=3")
        #expect(parsed["a"] == "1")
        #expect(parsed.all("a") == ["1", "3"])
        #expect(parsed["A"] == nil)
    }

    @Test(arguments: [("a=1&b=%zz", 4), ("%=1", 0), ("a=%FF", 0), ("x=1&y=2&a%00=1", 8)])
    func namesThePlaceOfWhatIsBroken(text: String, offset: Int) {
        let error: QueryError? = #expect(throws: QueryError.self) { try QueryParameters.parse(text) }
        #expect(error?.offset == offset)
    }

    @Test func refusesTooManyParameters() {
        let text: String = String(repeating: "a=1&", count: QueryParameters.countMax)
        #expect(throws: Never.self) { try QueryParameters.parse(text) }
        #expect(throws: QueryError.self) { try QueryParameters.parse(text + "b=1") }
    }

    @Test func formsAreASCII() throws {
        #expect(try QueryParameters.parseForm(Array("a=1+2".utf8))["a"] == "1 2")
        #expect(throws: QueryError(offset: 2, expected: "printable ASCII, everything else as %XX")) {
            try QueryParameters.parseForm(Array("a=é".utf8))
        }
    }

    @Test func writesWhatItReads() throws {
        var parameters: QueryParameters = QueryParameters()
        parameters.append("a b", "1&2=3")
        parameters.append("é", "+%")
        #expect(try QueryParameters.parse(parameters.encoded) == parameters)
    }
}
