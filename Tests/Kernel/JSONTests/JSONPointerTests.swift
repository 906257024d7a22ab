import JSON
import Testing

struct JSONPointerTests {
    /// RFC 6901 section 5.
    static let document: JSONValue = [
        "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8,
    ]

    @Test(
        arguments: [
            ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2), ("/e^f", 3), ("/g|h", 4),
            ("/i\\j", 5), ("/k\"l", 6), ("/ ", 7), ("/m~0n", 8),
        ] as [(String, JSONValue)])
    func findsThePlacesOfTheStandardsExample(_ text: String, _ value: JSONValue) throws {
        let pointer: JSONPointer = try #require(JSONPointer(parsing: text))
        #expect(pointer.resolve(in: Self.document) == value)
        #expect(pointer.text == text)
    }

    /// RFC 6901 section 6.
    @Test(arguments: [("#", ""), ("#/a~1b", "/a~1b"), ("#/c%25d", "/c%d"), ("#/k%22l", "/k\"l"), ("#/%C3%A9", "/é")])
    func readsFragments(_ fragment: String, _ text: String) {
        #expect(JSONPointer(fragment: fragment)?.text == text)
    }

    @Test func theEmptyPointerIsTheWholeDocument() {
        #expect(JSONPointer(parsing: "")?.resolve(in: Self.document) == Self.document)
    }

    @Test(arguments: ["foo", "/a~", "/a~2", "#/foo"])
    func refuses(_ text: String) {
        #expect(JSONPointer(parsing: text) == nil)
    }

    @Test(arguments: ["", "/foo", "#/a%2", "#/%FF", "#a"])
    func refusesFragment(_ text: String) {
        #expect(JSONPointer(fragment: text) == nil)
    }

    @Test(arguments: [
        "/foo/2", "/foo/00", "/foo/-", "/foo/+1", "/bar", "/foo/bar", "/a~1b/c", "/foo/99999999999999999999",
    ])
    func findsNothingAt(_ text: String) throws {
        #expect(try #require(JSONPointer(parsing: text)).resolve(in: Self.document) == nil)
    }

    @Test func tokensAreEscapedWhenWritten() {
        #expect(JSONPointer.root.appending("a/b").appending(3).appending("~").text == "/a~1b/3/~0")
    }
}
