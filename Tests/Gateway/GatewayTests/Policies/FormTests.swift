import GatewayConfiguration
import JSON
import Testing

@testable import Gateway

/// Bodies of forms, checked by the schema of their fields.
struct FormTests {
    private static let document: String = """
        {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/f": {"post": {"requestBody": {"content": {
          "application/x-www-form-urlencoded": {"schema": {"$ref": "#/components/schemas/Form"},
            "encoding": {"ids": {"style": "form", "explode": false}, "deep": {"style": "deepObject"},
              "flat": {"explode": true}}},
          "multipart/form-data": {"schema": {"$ref": "#/components/schemas/Form"},
            "encoding": {"file": {"contentType": "image/png, image/*"},
              "code": {"headers": {"X-Level": {"required": true, "schema": {"type": "integer", "maximum": 9}},
                "X-Marks": {"$ref": "#/components/headers/Marks"}, "Content-Type": {"required": true}}}}}}}}}},
         "components": {"headers": {"Marks": {"schema": {"type": "array", "items": {"type": "integer"}}}}, "schemas": {
          "Name": {"required": ["name"], "properties": {"name": {"type": "string", "maxLength": 5}}},
          "Form": {"type": "object", "additionalProperties": {"type": "string"}, "allOf": [{"$ref": "#/components/schemas/Name"}],
           "properties": {"name": true, "age": {"type": "integer"}, "code": {"type": ["string", "integer"], "maxLength": 3},
            "tags": {"type": "array", "items": {"type": "integer"}}, "ids": {"type": "array", "items": {"type": "integer"}},
            "address": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
            "list": {"type": "array", "items": {"type": "object", "required": ["a"]}},
            "deep": {"type": "object", "properties": {"n": {"type": "integer"}}},
            "flat": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}},
            "file": {"type": "string", "format": "binary"}}}}}}
        """

    private static func findings(_ type: String, _ body: [UInt8]) throws -> [MessageFinding] {
        let policy: ValidationPolicy = try ValidationPolicy(document: try JSONReader.parse(Self.document))
        let found = try #require(policy.plan.operation("POST", path: "/f"))
        let check: MessageCheck = MessageCheck(policy: policy, operation: found.operation)
        let wanted: ValidatedBody = try #require(found.operation.body)
        guard case .shape(let shape) = check.rule(for: wanted, type: type, isEncoded: false) else {
            Issue.record("\(type) is not looked at")
            return []
        }
        return MessageCheck.body(body, policy.plan.requestSchemas, shape)
    }

    @Test(arguments: [
        "name=a", "name=a&age=7", "name=a+b", "name=%C3%A9%C3%A9", "name=a&tags=1&tags=2", "name=a&tags=1",
        "name=a&ids=1,2",
        "name=a&ids=1%2C2", "name=a&address=%7B%22city%22%3A%22x%22%7D",
        "name=a&list=%7B%22a%22%3A1%7D&list=%7B%22a%22%3A2%7D",
        "name=a&deep[n]=1", "name=a&deep%5Bn%5D=1", "name=a&x=1&y=2", "name=a&code=1234", "name=a&code=abc",
        "name=a&other=1",
        "name=",
    ])
    func takesFieldsThatFit(_ body: String) throws {
        let type: String = "application/x-www-form-urlencoded; charset=utf-8"
        let findings: [MessageFinding] = try Self.findings(type, Array(body.utf8))
        #expect(findings.isEmpty, "\(findings)")
    }

    @Test(arguments: [
        ("", "/name"), ("age=7", "/name"), ("name=abcdef", "/name"), ("name=a&age=x", "/age"),
        ("name=a&tags=1&tags=x", "/tags/1"),
        ("name=a&ids=1,x", "/ids/1"), ("name=a&age=1&age=2", "/age"), ("name=a&address=city", "/address"),
        ("name=a&address=%7B%7D", "/address/city"), ("name=a&list=%7B%22a%22%3A1%7D&list=%7B%7D", "/list/1/a"),
        ("name=a&deep[n]=x", "/deep/n"), ("name=a&x=1&y=z", "/flat/y"), ("name=a&code=abcd", "/code"),
        ("name=a&other=1&other=2", "/other"),
    ])
    func saysWhichFieldDoesNotFit(_ body: String, pointer: String) throws {
        let findings: [MessageFinding] = try Self.findings(
            "application/x-www-form-urlencoded", Array(body.utf8))
        #expect(findings.first?.place == "body")
        #expect(findings.first?.pointer == pointer, "\(findings)")
    }

    @Test func boundsAFormAndWantsUTF8() throws {
        let many: String = (0...FormReader.fieldsMax).map { "f\($0)=1" }.joined(separator: "&")
        #expect(try Self.findings(ValidatedForm.urlEncoded, Array(many.utf8)).count == 1)
        #expect(try Self.findings(ValidatedForm.urlEncoded, Array("name=".utf8) + [0xff]).count == 1)
    }

    // MARK: Parts

    private static func part(_ head: String, _ body: String) -> String {
        "--b\r\nContent-Disposition: form-data; \(head)\r\n\r\n\(body)\r\n"
    }

    private static let name: String = part("name=\"name\"", "a")
    private static let picture: String = part(
        "name=\"file\"; filename=\"a;b\\\"c.png\"\r\nContent-Type: image/png", "\r\n\u{0}--x\r\n-b")

    private static let fitting: [String] = {
        var list: [String] = [
            name, "preamble\r\n" + name, name.replacing("--b\r\n", with: "--b \t\r\n"), name + picture,
        ]
        list.append(name + part("name=age", "7"))
        list.append(name + part("name=\"tags\"", "1") + part("name=\"tags\"", "2"))
        list.append(name + part("name=\"address\"\r\nContent-Type: application/json", "{\"city\": \"x\"}"))
        list.append(name + part("name=\"other\"", ""))
        list.append(name + part("name=\"code\"\r\nx-level:7\r\nX-Marks: 1, 2 ", "a"))
        return list
    }()

    @Test(arguments: fitting)
    func takesPartsThatFit(_ parts: String) throws {
        for type in ["multipart/form-data; boundary=b", "Multipart/Form-Data;boundary=\"b\"; x=y"] {
            for end in ["--b--", "--b--\r\nepilogue"] {
                let findings: [MessageFinding] = try Self.findings(type, Array((parts + end).utf8))
                #expect(findings.isEmpty, "\(findings)")
            }
        }
    }

    private static let refused: [(String, String)] = {
        var list: [(String, String)] = [("", ""), ("--b", ""), ("--b--", "/name"), (name, "")]
        list.append((name + "--c--", ""))
        list.append((part("name=\"name\"", "abcdef") + "--b--", "/name"))
        list.append((name + part("name=\"age\"", "x") + "--b--", "/age"))
        list.append((name + part("filename=\"x\"", "x") + "--b--", ""))
        list.append((name + "--b\r\n\r\nx\r\n--b--", ""))
        list.append((name + "--bx\r\n--b--", ""))
        list.append((name.replacing("\r\n", with: "\n") + "--b--", ""))
        list.append((name + part("name=\"a\"; name=\"b\"", "x") + "--b--", ""))
        list.append((name + part("name=\"a", "x") + "--b--", ""))
        list.append((name + "--b\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nx\r\n--b--", ""))
        list.append((name + part("name=\"file\"\r\nContent-Type: text/html", "x") + "--b--", "/file"))
        list.append((name + part("name=\"code\"", "a") + "--b--", "/code"))
        list.append((name + part("name=\"code\"\r\nX-Level: 10", "a") + "--b--", "/code"))
        list.append((name + part("name=\"code\"\r\nX-Level: 1\r\nX-Marks: 1,x", "a") + "--b--", "/code"))
        list.append((name + part("name=\"code\"\r\nX-Level: 1\r\nX-Level: 2", "a") + "--b--", "/code"))
        list.append((name + "--b\r\n X: y\r\n\r\nx\r\n--b--", ""))
        let many: String = String(repeating: part("name=\"x\"", ""), count: MultipartReader.partsMax + 1)
        list.append((many + "--b--", ""))
        let long: String = String(repeating: "x", count: MultipartReader.headBytesMax)
        list.append((name + part("name=\"\(long)\"", "") + "--b--", ""))
        return list
    }()

    @Test(arguments: refused)
    func refusesPartsThatDoNotFit(_ body: String, _ pointer: String) throws {
        let findings: [MessageFinding] = try Self.findings("multipart/form-data; boundary=b", Array(body.utf8))
        #expect(findings.count == 1, "\(findings)")
        #expect(findings.first?.pointer == pointer, "\(findings)")
    }

    /// Whatever comes: an answer, within the body.
    @Test func survivesAnything() throws {
        let seed: UInt64 = UInt64.random(in: 1 ... .max)
        var random: SeededNumbers = SeededNumbers(seed: seed)
        let reader: MultipartReader = try #require(MultipartReader(contentType: "multipart/form-data; boundary=b"))
        var seeds: [[UInt8]] = Self.fitting.map { Array(($0 + "--b--").utf8) }
        for (body, _) in Self.refused { seeds.append(Array(body.utf8.prefix(1000))) }
        let marks: [UInt8] = [0x0D, 0x0A, 0x2D, 0x62, 0x22, 0x5C, 0x3B, 0xFF]
        for _ in 0..<5000 {
            var body: [UInt8] = seeds.randomElement(using: &random) ?? []
            for _ in 0..<3 where !body.isEmpty {
                let place: Int = Int.random(in: body.indices, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: body.remove(at: place)
                case 1: body[place] = marks.randomElement(using: &random) ?? 0
                default: body.insert(body.randomElement(using: &random) ?? 0, at: place)
                }
            }
            guard let parts: [MultipartReader.Part] = try? reader.parts(of: body) else { continue }
            let isInside: Bool = parts.allSatisfy { $0.body.endIndex <= body.count }
            #expect(isInside, "seed \(seed)")
        }
    }

    @Test(arguments: [
        "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"a\u{1}\"",
        "multipart/form-data; boundary=a; boundary=b", "multipart/form-data; boundary=\"a \"",
        "multipart/form-data; boundary=" + String(repeating: "a", count: 71),
    ])
    func wantsABoundaryThatMayBeOne(_ type: String) throws {
        #expect(MultipartReader(contentType: type) == nil)
        let findings: [MessageFinding] = try Self.findings(type, Array("--a--".utf8))
        #expect(findings.first?.name == "content-type")
    }
}
