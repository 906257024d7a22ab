import Testing

@testable import OpenAPI

struct PathTemplateTests {
    @Test(
        arguments: [
            ("/", [], "/"), ("/a/{b}/c", ["b"], "/a/{}/c"), ("/{a}/{b}.{c}", ["a", "b", "c"], "/{}/{}.{}"),
            ("/a%20b/é", [], "/a%20b/é"),
        ] as [(String, [String], String)])
    func findsParameters(_ text: String, _ parameters: [String], _ pattern: String) throws {
        let template: PathTemplate = try PathTemplate(text)
        #expect(template.parameters == parameters)
        #expect(template.pattern == pattern)
    }

    @Test(
        arguments: [
            ("", "expected a path that begins with \"/\""), ("a", "expected a path that begins with \"/\""),
            ("/{a", "expected '}' after '{' in the path"), ("/a}", "expected '{' before '}' in the path"),
            ("/{}", "expected a name between '{' and '}' in the path"),
            ("/{a{b}}", "expected '}' before the next '{' of the path"),
            ("/{a/b}", "expected '}' before the next '/' of the path"),
            ("/{a}/{a}", "expected each parameter once in the path"),
            ("/a?b", "expected a path without query and fragment"),
            ("/a\n", "expected a path without white space and control characters"),
        ])
    func refuses(_ text: String, _ message: String) {
        let error: PathTemplate.Malformed? = #expect(throws: PathTemplate.Malformed.self) { try PathTemplate(text) }
        #expect(error?.message == message)
    }
}
