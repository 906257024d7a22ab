import Identifiers
import Testing

@Suite struct SlugTests {
    @Test(arguments: ["a", "0", "orders", "orders-v2", "a-b-c", String(repeating: "a", count: 63)])
    func acceptsSlugs(text: String) {
        #expect(Slug.validate(text) == nil)
    }

    @Test(arguments: [
        ("", "must not be empty"),
        (String(repeating: "a", count: 64), "must have at most 63 characters"),
        ("Orders", "must contain only lower-case letters, digits and hyphens (a-z, 0-9, -)"),
        ("a_b", "must contain only lower-case letters, digits and hyphens (a-z, 0-9, -)"),
        ("é", "must contain only lower-case letters, digits and hyphens (a-z, 0-9, -)"),
        ("a b", "must contain only lower-case letters, digits and hyphens (a-z, 0-9, -)"),
        ("a\n", "must contain only lower-case letters, digits and hyphens (a-z, 0-9, -)"),
        ("-a", "must begin and end with a letter or a digit"),
        ("a-", "must begin and end with a letter or a digit"),
        ("-", "must begin and end with a letter or a digit"),
    ])
    func saysWhatIsWrong(text: String, problem: String) {
        #expect(Slug.validate(text) == problem)
    }
}
