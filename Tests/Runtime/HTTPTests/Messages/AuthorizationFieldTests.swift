import Testing

@testable import HTTP

struct AuthorizationFieldTests {
    @Test(
        arguments: [
            ("Bearer abc", .bearer("abc")), ("bEARER a.b-c_~+/=", .bearer("a.b-c_~+/=")),
            ("Bearer  abc", .bearer(" abc")),
            ("Basic YTpi", .basic(user: "a", password: "b")), ("basic YTpiOmM=", .basic(user: "a", password: "b:c")),
            ("Basic Og==", .basic(user: "", password: "")),
            ("Basic w6k6w7w=", .basic(user: "é", password: "ü")),
        ] as [(String, AuthorizationField)])
    func readsTokensAndPasswords(text: String, field: AuthorizationField) {
        #expect(AuthorizationField(text) == field)
    }

    @Test(
        arguments: [
            "", "Bearer", "Bearer ", "Basic", "Basic ", "abc", " Bearer abc", "Bearer\tabc", "Digest a", "Bearerabc",
            "Basic YWJj", "Basic YTpi=", "Basic YTpi\n", "Basic !!!!", "Basic /zr/", "Basic  YTpi", "Bearer:abc",
        ])
    func refusesEverythingElse(text: String) {
        #expect(AuthorizationField(text) == nil)
    }
}
