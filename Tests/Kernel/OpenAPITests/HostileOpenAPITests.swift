import Documents
import OpenAPI
import Testing

/// Documents made to exhaust the check: references and aliases that multiply, chains, circles, sheer size.
struct HostileOpenAPITests {
    private static let head: String = "openapi: 3.0.0\ninfo: {title: t, version: '1'}\n"

    private func error(_ text: String) -> OpenAPIError? {
        do {
            _ = try OpenAPIDocument.read(Array(text.utf8))
            return nil
        } catch {
            return error
        }
    }

    @Test func refusesAYAMLBomb() {
        var text: String = Self.head + "paths: {}\nx-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level: Int in 1..<20 {
            let aliases: [String] = Array(repeating: "*a\(level - 1)", count: 10)
            text += "x-\(level): &a\(level) [\(aliases.joined(separator: ", "))]\n"
        }
        #expect(
            self.error(text)?.problems.map(\.message) == [
                "expected aliases to stand for at most 100000 values in a document"
            ])
    }

    @Test func refusesATooLargeDocument() {
        let error: OpenAPIError? = self.error("{\"openapi\": \"" + String(repeating: "3", count: 10 << 20))
        #expect(
            error?.problems.first?.message.hasPrefix("expected a document of at most 10485760 bytes, found ") == true)
    }

    @Test func refusesLongChainsOfReferences() {
        var text: String =
            Self.head
            + "paths: {/a: {get: {parameters: [{$ref: '#/components/parameters/p0'}], responses: {'200': {description: x}}}}}\n"
        text += "components:\n  parameters:\n"
        for number: Int in 0..<2000 { text += "    p\(number): {$ref: '#/components/parameters/p\(number + 1)'}\n" }
        text += "    p2000: {name: a, in: query, schema: {}}\n"
        #expect(
            self.error(text)?.problems.first?.message
                == "expected a reference that ends, found one that leads back to itself")
    }

    @Test func chainsOfTargetsOutsideOfTheirSectionsTakeNoStack() {
        var text: String = Self.head + "paths: {}\ncomponents: {schemas: {start: {$ref: '#/x-0'}}}\n"
        for number: Int in 0..<20_000 { text += "x-\(number): {properties: {a: {$ref: '#/x-\(number + 1)'}}}\n" }
        text += "x-20000: {type: strin}\n"
        #expect(self.error(text)?.problems.map(\.pointer) == ["/x-20000/type"])
    }

    @Test func circlesOfManySchemasAreFound() {
        var text: String = Self.head + "paths: {}\ncomponents:\n  schemas:\n"
        for number: Int in 0..<5000 {
            text += "    s\(number): {allOf: [{$ref: '#/components/schemas/s\((number + 1) % 5000)'}]}\n"
        }
        #expect(self.error(text)?.problems.count == 1)
    }

    @Test func referencesIntoNestedPlacesDoNotMultiply() {
        var schema: String = "{type: object}"
        for _ in 0..<40 { schema = "{properties: {a: \(schema)}}" }
        var text: String = Self.head + "paths: {}\nx-deep: \(schema)\ncomponents:\n  schemas:\n"
        var pointer: String = "#/x-deep"
        for number: Int in 0..<40 {
            text += "    s\(number): {$ref: '\(pointer)'}\n"
            pointer += "/properties/a"
        }
        #expect(self.error(text) == nil)
    }

    @Test func manyProblemsAreCountedNotKept() {
        var text: String = Self.head + "paths:\n"
        for number: Int in 0..<20_000 { text += "  bad\(number): {}\n" }
        let error: OpenAPIError? = self.error(text)
        #expect(error?.problems.count == 100)
        #expect(error?.omitted == 19_900)
    }

    /// Millions of small things that could each cost a little too much.
    @Test(
        arguments: [
            "{\"openapi\":\"3.0.0\",\"paths\":{\"/" + String(repeating: "{a}", count: 1_000_000) + "\":{}}}",
            "{\"openapi\":\"3.0.0\",\"paths\":{\"/a\":{\"parameters\":[" + String(repeating: "{},", count: 50_000)
                + "{}]}}}",
            "{\"openapi\":\"3.0.0\",\"servers\":[{\"url\":\"" + String(repeating: "{", count: 1_000_000) + "\"}]}",
            "{\"openapi\":\"3.0.0\",\"paths\":{\"/a\":{\"get\":{\"parameters\":["
                + String(repeating: "{\"$ref\":\"#/paths/~1a/get/parameters/0\"},", count: 20_000) + "{}]}}}}",
            "{\"openapi\":\"3.1.0\",\"components\":{\"schemas\":{\"a\":{\"allOf\":["
                + String(repeating: "{\"$ref\":\"#/components/schemas/a\"},", count: 20_000) + "{}]}}}}",
            "{\"openapi\":\"3.0.0\",\"" + String(repeating: "a", count: 9_000_000) + "\":1}",
            "{\"openapi\":\"" + String(repeating: "3.0.0", count: 1_500_000) + "\"}",
        ])
    func decidesOnHugeDocuments(_ text: String) {
        #expect(self.error(text)?.problems.isEmpty == false)
    }
}
